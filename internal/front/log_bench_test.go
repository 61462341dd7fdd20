package front

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/internal/cloudlog"
	"github.com/tlogistry/tlogistry/internal/ociref"
	"github.com/tlogistry/tlogistry/internal/record"
)

// BenchmarkLogRequest writes the line of a later pull by tag.
func BenchmarkLogRequest(b *testing.B) {
	h := New(Options{Logger: cloudlog.New(io.Discard, cloudlog.JSON, "")})
	r := httptest.NewRequest(http.MethodGet, "/v2/library/alpine/manifests/3.16.0", nil)
	r.Header.Set("User-Agent", "docker/28.0.1 go/go1.23.6 git-commit/bbd0a17 kernel/6.8.0 os/linux arch/amd64 UpstreamClient(Docker-Client/28.0.1 \\(linux\\))")
	req, err := ociref.Parse(r.URL.Path)
	if err != nil {
		b.Fatal(err)
	}
	const digest = "sha256:686d8c9dfa6f3ccfc8230bc3178d23f84eeaf7e457f36f271ab1acc53015037c"
	t := &trace{start: time.Now(), target: target{req: req, name: req.String()}, kind: "manifest", digest: digest, outcome: record.Same,
		sighting: record.Sighting{UUID: "24296fb24b8ad77a", Digest: digest, Index: 123456789}}
	w := &clientWriter{status: http.StatusOK, size: 1638}
	b.Run("plain", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h.logRequest(r, t, w)
		}
	})
	r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	b.Run("traced", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h.logRequest(r, t, w)
		}
	})
}
