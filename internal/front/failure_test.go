package front_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/internal/logtest"
	"github.com/tlogistry/tlogistry/internal/record"
)

// Whatever fails of the log, an unseen tag is not served, and afterwards all
// is as if nothing had been.
func TestTagLogFails(t *testing.T) {
	for _, cause := range []error{errors.New("secret reason"), context.DeadlineExceeded, context.Canceled} {
		tests := []struct {
			name  string
			call  logtest.Call
			doing string
			wrote int
			lie   bool
		}{
			{"look-up", logtest.Lookup, "look up", 0, false},
			{"write", logtest.Add, "record", 0, false},
			{"confirmation", logtest.Confirm, "record", 1, false},
		}
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s: %v", tt.name, cause), func(t *testing.T) {
				s := newSite(t, setup{})
				manifest, _ := image("app")
				s.origin.push(t, "app", "1.0", manifest)
				for _, m := range []string{"HEAD", "GET"} {
					s.log.FailOnce(tt.call, cause)
					if tt.wrote == 0 || m == "HEAD" {
						check(t, m, s.do(m, appPath), logDown(tt.doing))
					}
				}
				s.log.Fail(tt.call, nil)
				if n := len(s.store.Entries(appRef)); n != tt.wrote {
					t.Fatalf("%d entries were written, want %d", n, tt.wrote)
				}
				got := s.do("GET", appPath)
				w := served(manifest, only(t, s.store, appRef))
				if tt.wrote == 0 {
					w = w.with("Tlog-First-Seen", "true")
				}
				check(t, "GET", got, w)
			})
		}
	}
}

// The look-up after the write fails.
func TestTagSecondLookupFails(t *testing.T) {
	s := newSite(t, setup{})
	manifest, _ := image("app")
	s.origin.push(t, "app", "1.0", manifest)
	gate := s.log.Hold(logtest.Confirm)
	got := make(chan answer)
	go func() { got <- s.do("GET", appPath) }()
	arrived(t, gate, 1)
	s.log.Fail(logtest.Lookup, errors.New("broken"))
	gate.Release()
	check(t, "GET", <-got, logDown("look up"))
	s.checkBoth(appPath, logDown("look up"))
}

// A log that loses what was written is not believed.
func TestTagOwnEntryNotFoundAgain(t *testing.T) {
	s := newSite(t, setup{})
	manifest, _ := image("app")
	s.origin.push(t, "app", "1.0", manifest)
	s.log.Lie(func(string, []record.Sighting) []record.Sighting { return nil })
	s.checkBoth(appPath, logDown("look up"))
	s.log.Lie(nil)
	s.checkBoth(appPath, served(manifest, only(t, s.store, appRef)))
}

// A recorded tag is refused and not served while the log cannot be asked.
func TestTagRecordedLogFails(t *testing.T) {
	s := newSite(t, setup{})
	manifest, digest := image("app")
	s.origin.push(t, "app", "1.0", manifest)
	rec := s.store.Record(appRef, digest)
	s.log.Fail(logtest.Lookup, errors.New("broken"))
	s.checkBoth(appPath, logDown("look up"))
	s.log.Fail(logtest.Lookup, nil)
	s.checkBoth(appPath, served(manifest, rec))
}

// Where the registry has no such tag, the log does not matter, whether it
// fails or hangs.
func TestTagUnknownToRegistry(t *testing.T) {
	unknown := wantError(http.StatusNotFound, "MANIFEST_UNKNOWN",
		`registry.test/app:2.0 is not known to registry registry.test; it says "Unknown manifest"`, "")
	s := newSite(t, setup{})
	manifest, _ := image("app")
	s.origin.push(t, "app", "1.0", manifest)
	s.checkBoth("/v2/registry.test/app/manifests/2.0", unknown)

	s.log.Fail(logtest.Lookup, errors.New("broken"))
	s.checkBoth("/v2/registry.test/app/manifests/2.0", unknown)
	s.log.Fail(logtest.Lookup, nil)

	gate := s.log.Hold(logtest.Lookup)
	s.checkBoth("/v2/registry.test/app/manifests/2.0", unknown)
	gate.Release()

	s.checkBoth("/v2/registry.test/none/manifests/2.0", wantError(http.StatusNotFound, "NAME_UNKNOWN",
		`registry.test/none:2.0 is not known to registry registry.test; it says "Unknown name"`, ""))
	if n := s.log.Calls(logtest.Add); n != 0 {
		t.Errorf("Add was called %d times for a tag that does not exist", n)
	}
}

// hanging is a log whose look-ups take as long as their context lets them.
type hanging struct {
	*logtest.Instance
	ended chan error
}

func (l hanging) Lookup(ctx context.Context, _ string) ([]record.Sighting, error) {
	select {
	case <-ctx.Done():
		l.ended <- nil
	case <-time.After(patience):
		l.ended <- errors.New("nobody ended it")
	}
	return nil, ctx.Err()
}

// A look-up that does not matter any more ends with the request, even where
// the server's context goes on.
func TestTagLookupEnds(t *testing.T) {
	log := hanging{logtest.New(1).Instance(), make(chan error, 1)}
	var handler http.Handler
	newSite(t, setup{log: log, start: func(h http.Handler) *httptest.Server {
		handler = h
		return httptest.NewServer(h)
	}})
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", appPath, nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if err := <-log.ended; err != nil {
		t.Error(err)
	}
}

// A tag that its registry deleted is unknown, recorded or not.
func TestTagDeleted(t *testing.T) {
	s := newSite(t, setup{})
	manifest, _ := image("app")
	s.origin.push(t, "app", "1.0", manifest)
	s.do("GET", appPath)
	s.origin.answers(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNotFound) })
	s.checkBoth(appPath, wantError(http.StatusNotFound, "MANIFEST_UNKNOWN", "registry.test/app:1.0 is not known to registry registry.test", ""))
}

// badAnswer is the answer where the registry's own contradicts itself.
func badAnswer(cause string) answer {
	return wantError(http.StatusBadGateway, "UNAVAILABLE", "registry registry.test gave a bad answer: "+cause, "")
}

// What is wrong with a registry's answer is told, and never recorded.
func TestTagRegistryFails(t *testing.T) {
	manifest, digest := image("app")
	status := func(code int, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v2/" {
				return
			}
			w.Header().Set("Docker-Content-Digest", digest)
			for pair := range slices.Chunk(headers, 2) {
				w.Header().Set(pair[0], pair[1])
			}
			w.WriteHeader(code)
		}
	}
	body := func(body string, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", manifestType)
			for pair := range slices.Chunk(headers, 2) {
				w.Header().Set(pair[0], pair[1])
			}
			fmt.Fprint(w, body)
		}
	}
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   answer
	}{
		{"401", status(401), wantError(403, "DENIED", "registry registry.test denies anonymous pulls of registry.test/app", "")},
		{"403", status(403), wantError(403, "DENIED", "registry registry.test denies anonymous pulls of registry.test/app", "")},
		{"429", status(429, "Retry-After", "77", "Ratelimit-Limit", "100;w=21600"),
			wantError(429, "TOOMANYREQUESTS", "registry registry.test limits the requests of this service", "", "Retry-After", "77", "Ratelimit-Limit", "100;w=21600")},
		{"500", status(500), wantError(502, "UNAVAILABLE", "registry registry.test answered with status 500", "")},
		{"503", status(503, "Retry-After", "9"), wantError(503, "UNAVAILABLE", "registry registry.test answered with status 503", "", "Retry-After", "9")},
		{"504", status(504), wantError(504, "UNAVAILABLE", "registry registry.test answered with status 504", "")},
		{"a page", body("<html>", "Content-Type", "text/html"), badAnswer(`content type "text/html" is none of a manifest`)},
		{"a lying digest", body(manifest, "Docker-Content-Digest", digestOf("another")),
			badAnswer(`header Docker-Content-Digest says "` + digestOf("another") + `", the bytes have ` + digest)},
		{"an index that is an image", body(manifest, "Content-Type", indexType),
			badAnswer(`content type "` + indexType + `", but the manifest says it is "` + manifestType + `"`)},
		{"nothing", body(""), badAnswer("empty")},
		{"schema 1", body(`{"schemaVersion":1}`, "Content-Type", "application/vnd.docker.distribution.manifest.v1+json"),
			badAnswer(`content type "application/vnd.docker.distribution.manifest.v1+json" is none of a manifest`)},
		{"a redirect to a forbidden place", status(307, "Location", "https://127.0.0.1/x"),
			wantError(502, "UNAVAILABLE", "registry registry.test leads to an address that this service does not connect to", "")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, setup{})
			s.origin.answers(tt.answer)
			s.checkBoth(appPath, tt.want)
			if n := len(s.store.Entries(appRef)); n != 0 {
				t.Errorf("%d records were made of it", n)
			}
		})
	}
}

// The registry goes away before or after it has answered its ping.
func TestTagRegistryAway(t *testing.T) {
	tests := []struct {
		name    string
		ping    bool // is answered
		answer  http.HandlerFunc
		status  int
		message string
	}{
		{"no connection", false, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 503, "registry registry.test cannot be reached"},
		{"no connection after the ping", true, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 503, "registry registry.test cannot be reached"},
		{"silence", false, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 504, "registry registry.test did not answer in time"},
		{"silence after the ping", true, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 504, "registry registry.test did not answer in time"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := setup{}
			if tt.status == http.StatusGatewayTimeout {
				c.timeout = 200 * time.Millisecond
			}
			s := newSite(t, c)
			s.origin.answers(func(w http.ResponseWriter, r *http.Request) {
				if !tt.ping || r.URL.Path != "/v2/" {
					tt.answer(w, r)
				}
			})
			s.checkBoth(appPath, wantError(tt.status, "UNAVAILABLE", tt.message, ""))
		})
	}
}
