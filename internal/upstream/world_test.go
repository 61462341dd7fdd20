package upstream

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

const (
	indexType    = "application/vnd.oci.image.index.v1+json"
	manifestType = "application/vnd.oci.image.manifest.v1+json"
)

const (
	imageJSON = `{"schemaVersion":2,"mediaType":"` + manifestType + `","config":{},"layers":[]}`
	indexJSON = `{"schemaVersion":2,"mediaType":"` + indexType + `","manifests":[]}`
)

const blobDigest = "sha256:0000000000000000000000000000000000000000000000000000000000000001"

// A world is a server that notes what it is asked, in the form
// "GET host path?query" or with the host left out for its own.
type world struct {
	*httptest.Server
	mux *http.ServeMux

	mu   sync.Mutex
	seen []*http.Request
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{mux: http.NewServeMux()}
	w.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.seen = append(w.seen, r)
		w.mu.Unlock()
		w.mux.ServeHTTP(rw, r)
	}))
	w.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(func() {
		if w.URL != "" {
			w.Close()
		}
	})
	return w
}

// mapped starts the server in plain http and returns a client of which
// reg.example is mapped to it.
func mapped(t *testing.T, c Config) (*world, *Client) {
	t.Helper()
	w := newWorld(t)
	w.Start()
	c.Mirrors = mirrors(t, map[string]string{"reg.example": w.URL})
	client := New(c)
	t.Cleanup(client.Close)
	return w, client
}

// unmapped starts the server in TLS and returns a client for which every name
// in example.com is that server. It stands for the public internet: the guard
// is not on the way.
func unmapped(t *testing.T, c Config) (*world, *Client) {
	t.Helper()
	w := newWorld(t)
	w.EnableHTTP2 = true
	w.StartTLS()
	c.roots = pool(w)
	c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if !strings.HasSuffix(address, ".example.com:443") {
			return nil, fmt.Errorf("no such host in this test: %s", address)
		}
		return (&net.Dialer{}).DialContext(ctx, network, w.Listener.Addr().String())
	}
	client := New(c)
	t.Cleanup(client.Close)
	return w, client
}

// requests returns what the server was asked since the last call.
func (w *world) requests() []string {
	var list []string
	for _, r := range w.take() {
		line := r.Method + " "
		if strings.HasSuffix(r.Host, ".example.com") {
			line += r.Host
		}
		list = append(list, line+r.URL.RequestURI())
	}
	return list
}

func (w *world) take() []*http.Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen
	w.seen = nil
	return seen
}

// open lets everybody ping.
func (w *world) open() {
	w.mux.HandleFunc("/v2/{$}", func(http.ResponseWriter, *http.Request) {})
}

// gate has the ping want tokens of realm, which token answers with the next
// of tokens, and then with the last.
func (w *world) gate(realm string, tokens ...string) {
	w.mux.HandleFunc("/v2/{$}", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`",service="srv",scope="repository:dummy:pull"`)
		rw.WriteHeader(http.StatusUnauthorized)
	})
	var mu sync.Mutex
	w.mux.HandleFunc("/token", func(rw http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprint(rw, tokens[0])
		if len(tokens) > 1 {
			tokens = tokens[1:]
		}
	})
}

// serve answers a path with a header and a body. Header and body are
// "Name: value" lines, an empty line, and the rest.
func (w *world) serve(path string, status int, text string) {
	w.mux.HandleFunc(path, func(rw http.ResponseWriter, _ *http.Request) {
		head, body, _ := strings.Cut(text, "\n\n")
		for line := range strings.Lines(head) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			rw.Header().Add(name, value)
		}
		rw.WriteHeader(status)
		_, _ = rw.Write([]byte(body))
	})
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("requests:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// wantError checks status, code and whole text of an error.
func wantError(t *testing.T, err error, status int, code, text string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %T %v, want *Error", err, err)
	}
	if e.Status != status || e.Code != code || e.Error() != text {
		t.Errorf("error is\n%d %s %s\nwant\n%d %s %s", e.Status, e.Code, e.Error(), status, code, text)
	}
}

func parse(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func request(t *testing.T, path string) ociref.Request {
	t.Helper()
	r, err := ociref.Parse(path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// tag, byDigest and blob are requests to reg.example/app.
func tag(t *testing.T) ociref.Request { return request(t, "/v2/reg.example/app/manifests/v1") }

func byDigest(t *testing.T, digest string) ociref.Request {
	return request(t, "/v2/reg.example/app/manifests/"+digest)
}

func blob(t *testing.T, registry string) ociref.Request {
	return request(t, "/v2/"+registry+"/app/blobs/"+blobDigest)
}

// A clock is a time that stands still.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// canary is a listener on every address of this machine that nobody may
// connect to.
func canary(t *testing.T) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Errorf("somebody connected to the canary at %s", conn.LocalAddr())
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

func mirrors(t *testing.T, table map[string]string) map[string]*url.URL {
	t.Helper()
	m := map[string]*url.URL{}
	for name, base := range table {
		m[name] = parse(t, base)
	}
	return m
}

// pool returns the roots that trust a server.
func pool(w *world) *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(w.Certificate())
	return roots
}
