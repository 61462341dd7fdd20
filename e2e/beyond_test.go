package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/clients"
	"github.com/tlogistry/tlogistry/e2e/registry"
)

// A beyond is all that lies past the service, on loopback: an HTTP proxy that
// takes whoever wants docker.io or another public registry to a test registry,
// over TLS, and remembers who was wanted. A client that falls back arrives here
// and gets what it asks for.
type beyond struct {
	proxy  *httptest.Server
	origin *httptest.Server // the registry behind TLS
	roots  string           // path of the certificate to trust

	mu    sync.Mutex
	hosts []string
}

// publicHosts are the hosts that a beyond has a certificate for.
var publicHosts = []string{"registry-1.docker.io", "index.docker.io", "docker.io", "ghcr.io", "gcr.io"}

// startBeyond puts a registry there until the test ends.
func startBeyond(t *testing.T, r *registry.Registry) *beyond {
	t.Helper()
	target, err := url.Parse(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	b := &beyond{roots: filepath.Join(t.TempDir(), "roots.pem")}
	b.origin = httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(target))
	b.origin.TLS = &tls.Config{Certificates: []tls.Certificate{b.certificate(t)}}
	b.origin.StartTLS()
	t.Cleanup(b.origin.Close)
	b.proxy = httptest.NewServer(b)
	t.Cleanup(b.proxy.Close)
	return b
}

// certificate makes a certificate that signs itself, and writes it to b.roots.
func (b *beyond) certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     publicHosts,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(b.roots, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// ServeHTTP is the proxy. Whatever the host, it leads to the registry.
func (b *beyond) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.hosts = append(b.hosts, r.Host)
	b.mu.Unlock()
	if r.Method != http.MethodConnect {
		http.Error(w, "only CONNECT", http.StatusMethodNotAllowed)
		return
	}
	server, err := net.Dial("tcp", b.origin.Listener.Addr().String())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer server.Close()
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		io.Copy(server, client)
		server.Close()
	}()
	io.Copy(client, server)
}

// asked returns the hosts that were wanted, with ports.
func (b *beyond) asked() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.hosts)
}

// machine is one whose clients reach the internet through b, with files of
// docs/clusters.md that name the service.
func (b *beyond) machine(t *testing.T, svc *service, files ...string) clients.Machine {
	t.Helper()
	all := documented(t)
	m := clients.Machine{
		Files: map[string]string{},
		Env:   []string{"HTTP_PROXY=" + b.proxy.URL, "HTTPS_PROXY=" + b.proxy.URL, "SSL_CERT_FILE=" + b.roots},
	}
	own := strings.NewReplacer("https://registry.example.com", svc.url, "registry.example.com", svc.host)
	for _, path := range files {
		m.Files[path] = own.Replace(all[path])
	}
	return m
}
