package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// limit is what the failing services are given in the tests here, and longLimit
// where the time is measured in such limits: a busy machine adds to that.
const (
	limit     = time.Second
	longLimit = 3 * limit
)

// failures are the ways in which a server fails.
var failures = map[string]func(*sigstore.Proxy){
	"down":              (*sigstore.Proxy).Down,
	"slow":              func(p *sigstore.Proxy) { p.Slow(time.Minute) },
	"answering 500":     func(p *sigstore.Proxy) { p.Fail(http.StatusInternalServerError) },
	"too many requests": func(p *sigstore.Proxy) { p.Fail(http.StatusTooManyRequests) },
	"forbidding":        func(p *sigstore.Proxy) { p.Fail(http.StatusForbidden) },
	"answering HTML":    func(p *sigstore.Proxy) { p.Hook(welcome) },
}

// TestFailure has each of the servers that a first pull needs fail in each way.
// Meanwhile nothing is served that is not recorded, within a bounded time, and
// what the process knows is served. Afterwards all is as before, in the same
// process.
func TestFailure(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	w.tag(t, "known", w.one)
	writer := w.direct(t)
	writer.get(t, "app", "known").mustServe(t, w.one)

	servers := map[string]func(*sigstore.Proxy) (target, variable string){
		"rekor":    func(p *sigstore.Proxy) (string, string) { return w.RekorURL, "REKOR_URL=" },
		"fulcio":   func(p *sigstore.Proxy) (string, string) { return w.FulcioURL, "FULCIO_URL=" },
		"metadata": func(p *sigstore.Proxy) (string, string) { return w.MetadataHost, "GCE_METADATA_HOST=" },
	}
	for server, of := range servers {
		for failure, fail := range failures {
			t.Run(server+" "+failure, func(t *testing.T) {
				t.Parallel()
				target, variable := of(nil)
				p := proxied(t, target)
				address := p.URL
				if server == "metadata" {
					address = p.Host
				}
				tag := strings.ReplaceAll(server+"-"+failure, " ", "-")
				w.tag(t, tag, w.one)
				svc := w.direct(t, variable+address, "IDENTITY="+sigstore.DefaultEmail,
					"REKOR_TIMEOUT="+longLimit.String(), "FULCIO_TIMEOUT="+longLimit.String())
				if server == "rekor" {
					svc.get(t, "app", "known").mustServe(t, w.one)
					fail(p)
				} else {
					// The first look-up begins to fetch a certificate, and does not need it.
					fail(p)
					svc.get(t, "app", "known").mustServe(t, w.one)
				}
				if took := elapsed(func() { svc.get(t, "app", tag).mustBeUnavailable(t) }); took > 2*longLimit {
					t.Errorf("the answer took %v", took)
				}
				if took := elapsed(func() { svc.get(t, "app", "known").mustServe(t, w.one) }); took > longLimit {
					t.Errorf("what is known took %v", took)
				}
				if n := w.records(t, tag, w.one); n != 0 {
					t.Errorf("the log has %d records of what was not served", n)
				}
				p.Hook(nil)
				p.Pass()
				first := svc.get(t, "app", tag)
				first.mustServe(t, w.one)
				if first.header.Get("Tlog-First-Seen") != "true" {
					t.Errorf("Tlog-First-Seen is %q", first.header.Get("Tlog-First-Seen"))
				}
				if n := w.records(t, tag, w.one); n != 1 {
					t.Errorf("the log has %d records of the tag, want 1", n)
				}
			})
		}
	}
}

func elapsed(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

// TestFailureAtStart: a process that starts while everything is down serves
// nothing, and all when it is up again.
func TestFailureAtStart(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	w.tag(t, "v1", w.one)
	fulcio, metadata := proxied(t, w.FulcioURL), proxied(t, w.MetadataHost)
	down := []*sigstore.Proxy{w.rekor, fulcio, metadata}
	for _, p := range down {
		p.Down()
	}
	svc := w.behind(t, "FULCIO_URL="+fulcio.URL, "GCE_METADATA_HOST="+metadata.Host,
		"REKOR_TIMEOUT="+limit.String(), "FULCIO_TIMEOUT="+limit.String())
	svc.get(t, "app", "v1").mustBeUnavailable(t)
	for i := len(down) - 1; i >= 0; i-- { // identity, certificate, log: one after the other
		down[i].Pass()
		if i > 0 {
			svc.get(t, "app", "v1").mustBeUnavailable(t)
		}
	}
	svc.get(t, "app", "v1").mustServe(t, w.one)
}

// TestWrongIdentity: a certificate for another than the configured identity
// signs nothing.
func TestWrongIdentity(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	w.tag(t, "v1", w.one)
	for name, env := range map[string]string{
		"identity": "IDENTITY=somebody@example.com",
		"issuer":   "IDENTITY_ISSUER=https://accounts.example.com",
		"audience": "AUDIENCE=other",
	} {
		t.Run(name, func(t *testing.T) {
			w.direct(t, env).get(t, "app", "v1").mustBeUnavailable(t)
			if n := len(w.written(t)); n != 0 {
				t.Errorf("the log has %d entries", n)
			}
		})
	}
}
