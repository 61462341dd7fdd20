package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/fault"
	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

const (
	// faultLimit is what the service is given for each of its calls, and
	// faultSlack what an answer may take beyond it on a busy machine.
	faultLimit = time.Second
	faultSlack = 2 * time.Second
	// recovery is how soon after a fault's end pulls must succeed.
	recovery = 2 * time.Second
)

// linked puts a link in front of a target that ends with the test.
func linked(t testing.TB, target string) *fault.Link {
	t.Helper()
	l, err := fault.NewLink(target)
	must(t, err)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A breakage is a way in which the connections to a server fail.
type breakage struct {
	name     string
	fail     func(*fault.Link) error
	registry int // what pulls are answered where it is the registry's that fail
}

var breakages = []breakage{
	{"refused", (*fault.Link).Refuse, http.StatusServiceUnavailable},
	{"swallowed", (*fault.Link).Swallow, http.StatusGatewayTimeout},
	{"muted", (*fault.Link).Mute, http.StatusGatewayTimeout},
	{"slow", func(l *fault.Link) error { return l.Slow(2 * faultLimit) }, http.StatusGatewayTimeout},
	{"cut", func(l *fault.Link) error { return l.Cut(100) }, http.StatusServiceUnavailable},
	{"reset", (*fault.Link).Reset, http.StatusServiceUnavailable},
}

// A faultWorld is a Sigstore with its TUF repository and a registry, in which
// two tags are recorded.
type faultWorld struct {
	*tufWorld
	blob string // path of a blob of the second image
}

func newFaultWorld(t *testing.T) *faultWorld {
	t.Helper()
	w := &faultWorld{tufWorld: newTUFWorld(t)}
	w.tag(t, "remembered", w.one)
	w.tag(t, "recorded", w.one)
	writer := w.direct(t)
	writer.get(t, "app", "remembered").mustServe(t, w.one)
	writer.get(t, "app", "recorded").mustServe(t, w.one)
	var manifest struct{ Config struct{ Digest string } }
	must(t, json.Unmarshal([]byte(writer.get(t, "app", w.two).body), &manifest))
	w.blob = "/v2/app/blobs/" + manifest.Config.Digest
	return w
}

// A dependency is a server that the service asks.
type dependency struct {
	name   string
	target string
	env    func(*fault.Link) []string
	// late says that the service has a remembered tag before the fault.
	late bool
	// fails lists the pulls that cannot be answered without it.
	fails []string
	// ofLog says that what fails is the log, rather than the registry.
	ofLog bool
	limit time.Duration // of a pull
}

// The pulls of the table. Of those by digest one is of what the service holds,
// if it has a remembered tag.
var faultPulls = []string{"remembered", "recorded", "new", "held digest", "digest", "blob"}

func (w *faultWorld) dependencies() []dependency {
	return []dependency{
		{name: "registry", target: w.registry.URL(), late: true, limit: faultLimit,
			env:   func(l *fault.Link) []string { return []string{"UPSTREAMS=docker.io=" + l.URL} },
			fails: []string{"remembered", "recorded", "new", "digest", "blob"}},
		{name: "rekor", target: w.RekorURL, late: true, ofLog: true, limit: faultLimit,
			env:   func(l *fault.Link) []string { return []string{"REKOR_URL=" + l.URL} },
			fails: []string{"recorded", "new"}},
		// Whoever has a certificate needs none for minutes, so these fail from the start.
		{name: "fulcio", target: w.FulcioURL, ofLog: true, limit: faultLimit,
			env:   func(l *fault.Link) []string { return []string{"FULCIO_URL=" + l.URL} },
			fails: []string{"new"}},
		{name: "metadata server", target: w.MetadataHost, ofLog: true, limit: faultLimit,
			env:   func(l *fault.Link) []string { return []string{"GCE_METADATA_HOST=" + l.Host} },
			fails: []string{"remembered", "recorded", "new"}},
		{name: "metadata server, identity configured", target: w.MetadataHost, ofLog: true, limit: faultLimit,
			env: func(l *fault.Link) []string {
				return []string{"GCE_METADATA_HOST=" + l.Host, "IDENTITY=" + sigstore.DefaultEmail}
			},
			fails: []string{"new"}},
		// A fetch has a minute; what ends earlier is the write, after ten times its limit.
		{name: "tuf", target: w.proxy.URL, ofLog: true, limit: 10 * faultLimit / 4,
			env: func(l *fault.Link) []string {
				return []string{"TRUSTED_ROOT=", "TUF_URL=" + l.URL, "TUF_ROOT=" + w.root, "REKOR_TIMEOUT=" + (faultLimit / 4).String()}
			},
			fails: []string{"remembered", "recorded", "new"}},
	}
}

// service starts a service that asks a server through a link.
func (w *faultWorld) service(t *testing.T, d dependency, more ...string) (*service, *fault.Link) {
	t.Helper()
	l := linked(t, d.target)
	env := slices.Concat([]string{"XDG_CACHE_HOME=" + filepath.Join(os.DevNull, "none")}, limits(faultLimit), d.env(l), more)
	return w.direct(t, env...), l
}

// limits is the environment of a service that gives each of its calls so long.
func limits(d time.Duration) []string {
	return []string{"UPSTREAM_TIMEOUT=" + d.String(), "REKOR_TIMEOUT=" + d.String(), "FULCIO_TIMEOUT=" + d.String()}
}

// fresh makes a tag that nobody has seen.
func (w *faultWorld) fresh(t *testing.T, n int) string {
	t.Helper()
	name := strings.NewReplacer("/", "-", "_", "-", ",", "").Replace(t.Name())
	tag := fmt.Sprint(name, "-", n)
	w.tag(t, tag, w.one)
	return tag
}

// path is where a pull of the table asks.
func (w *faultWorld) path(pull, fresh string) string {
	reference := map[string]string{"new": fresh, "held digest": w.one, "digest": w.two}[pull]
	switch {
	case pull == "blob":
		return w.blob
	case reference == "":
		reference = pull
	}
	return "/v2/app/manifests/" + reference
}

// wrong says what is wrong with an answer that should have a status, if
// anything is.
func (w *faultWorld) wrong(a answer, want int, ofLog bool) string {
	if a.status != want {
		return fmt.Sprintf("status %d, want %d: %s", a.status, want, a.body)
	}
	if want == http.StatusOK {
		return ""
	}
	var body struct{ Errors []struct{ Code string } }
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || len(body.Errors) != 1 || body.Errors[0].Code != "UNAVAILABLE" {
		return "no UNAVAILABLE: " + a.body
	}
	if after := a.header.Get("Retry-After"); ofLog && after != "10" {
		return fmt.Sprintf("Retry-After is %q", after)
	}
	for name := range a.header {
		if strings.HasPrefix(name, "Tlog-") || name == "Docker-Content-Digest" {
			return fmt.Sprintf("%s in an error: %v", name, a.header)
		}
	}
	return ""
}
