package upstream

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

// BenchmarkRedirect says where a blob of a registry is that wants no token: it
// has been pinged once, and is not asked any more.
func BenchmarkRedirect(b *testing.B) {
	pings := 0
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { pings++ }))
	b.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	c := New(Config{roots: roots, dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}})
	b.Cleanup(c.Close)
	r, err := ociref.Parse("/v2/reg.example.com/app/blobs/" + blobDigest)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		blob, err := c.Blob(b.Context(), http.MethodGet, r, nil)
		if err != nil || blob.Location != "https://reg.example.com/v2/app/blobs/"+blobDigest {
			b.Fatal(blob, err)
		}
	}
	if pings != 1 {
		b.Errorf("the registry was asked %d times, want 1", pings)
	}
}
