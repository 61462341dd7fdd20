package front_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/tlogistry/tlogistry/internal/cloudlog"
	"github.com/tlogistry/tlogistry/internal/front"
	"github.com/tlogistry/tlogistry/internal/logtest"
	"github.com/tlogistry/tlogistry/internal/upstream"
)

// BenchmarkHandler answers what is answered from memory, and a later pull by
// tag for which a registry in this process is asked. Client and server of
// net/http are not on the way in front of the handler; its log line is.
func BenchmarkHandler(b *testing.B) {
	o := newOrigin(b)
	registries := upstream.New(upstream.Config{Mirrors: map[string]*url.URL{"registry.test": o.url}})
	b.Cleanup(registries.Close)
	h := front.New(front.Options{
		Log:      logtest.New(1).Instance(),
		Upstream: registries,
		Home:     http.NotFoundHandler(),
		Logger:   cloudlog.New(io.Discard, "", ""),
	})
	manifest, digest := image("old")
	o.push(b, "app", "1.0", manifest)
	for _, bc := range []struct{ name, path string }{
		{"ping", "/v2/"},
		{"tag", appPath},
		{"digest", "/v2/registry.test/app/manifests/" + digest},
	} {
		r := httptest.NewRequest(http.MethodGet, bc.path, nil)
		answer := func() int {
			w := blank{header: make(http.Header)}
			h.ServeHTTP(&w, r)
			return w.status
		}
		b.Run(bc.name, func(b *testing.B) {
			answer()
			b.ReportAllocs()
			for b.Loop() {
				if status := answer(); status != http.StatusOK {
					b.Fatalf("status %d", status)
				}
			}
		})
	}
}

// A blank is a response that nobody reads.
type blank struct {
	header http.Header
	status int
}

func (w *blank) Header() http.Header         { return w.header }
func (w *blank) WriteHeader(status int)      { w.status = status }
func (w *blank) Write(b []byte) (int, error) { return len(b), nil }
