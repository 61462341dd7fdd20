// Package hostile runs registries that do what registries must not do. Each
// does one thing, its case, and is honest in everything else. What a case does
// is written where it is defined; what a service may make of it is for the
// tests to say.
package hostile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// ManifestType is the media type of the honest manifest.
const ManifestType = "application/vnd.oci.image.manifest.v1+json"

// Manifest is what an honest registry answers for every tag and for its digest.
const Manifest = `{"schemaVersion":2,"mediaType":"` + ManifestType + `","config":{},"layers":[]}`

// Token is what a token server gives out. Only the registry may see it again.
const Token = "token/of+the=upstream"

// Digest returns the digest of a text.
func Digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Options says where a registry leads to and how it is reached.
type Options struct {
	// Elsewhere is the port on loopback that redirects and realms lead to.
	Elsewhere string

	// TLS has the registry speak HTTP/2 over TLS, at a loopback address.
	// Cases that write to the connection itself do not work then.
	TLS bool

	// Await, if set, is called before each answer but a ping's.
	Await func()
}

// A Registry is one hostile registry on loopback. Its methods are safe for
// concurrent use.
type Registry struct {
	URL  string // such as "http://localhost:40001"
	Host string // host and port of URL

	Options
	server *httptest.Server
	honest atomic.Bool
	ended  chan struct{} // closed by Close, for handlers that would never end

	mu    sync.Mutex
	seen  []Request
	taken []net.Conn // from the server, by cases
}

// A Request is what arrived at a registry.
type Request struct {
	Method, URI string
	Header      http.Header
	Body        int64 // bytes of it
}

// A handler answers one request on behalf of a registry.
type handler func(r *Registry, w http.ResponseWriter, req *http.Request)

// A behaviour is what a registry does otherwise than an honest one. A nil
// handler is the honest one.
type behaviour struct {
	ping, token, manifest, blob, tags, referrers handler
}

// Cases returns the names of all cases, sorted.
func Cases() []string { return slices.Sorted(maps.Keys(cases())) }

// Start runs a registry of the case named until Close.
func Start(name string, o Options) (*Registry, error) {
	b, ok := cases()[name]
	if !ok {
		return nil, fmt.Errorf("hostile: no case %q", name)
	}
	r := &Registry{Options: o, ended: make(chan struct{})}
	r.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.serve(b, w, req)
	}))
	r.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	r.server.EnableHTTP2 = true
	if o.TLS {
		r.server.StartTLS()
		r.URL = r.server.URL // its certificate names the address
	} else {
		r.server.Start()
		r.URL = strings.Replace(r.server.URL, "127.0.0.1", "localhost", 1)
	}
	_, r.Host, _ = strings.Cut(r.URL, "://")
	return r, nil
}

// Reform makes the registry an honest one for every later request. It closes
// the connections that are not in HTTP any more.
func (r *Registry) Reform() {
	r.honest.Store(true)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range r.taken {
		conn.Close()
	}
}

// Requests returns what has arrived so far, oldest first.
func (r *Registry) Requests() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen)
}

// Certificate returns the certificate of a registry with TLS, in PEM.
func (r *Registry) Certificate() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.server.Certificate().Raw})
}

// Close cuts off what is under way and stops the registry.
func (r *Registry) Close() {
	close(r.ended)
	r.server.CloseClientConnections()
	r.server.Close()
}

func (r *Registry) serve(b behaviour, w http.ResponseWriter, req *http.Request) {
	n, _ := io.Copy(io.Discard, req.Body) // nobody should send one
	r.mu.Lock()
	r.seen = append(r.seen, Request{req.Method, req.RequestURI, req.Header, n})
	r.mu.Unlock()
	if r.honest.Load() {
		b = behaviour{}
	}
	path := req.URL.Path
	if r.Await != nil && path != "/v2/" {
		r.Await()
	}
	// On every answer: what must never reach a client.
	for name, value := range map[string]string{
		"Set-Cookie": "evil=1", "X-Evil": "1", "Alt-Svc": `h2="evil.example:443"`, "Refresh": "0; url=https://evil.example/",
		"Www-Authenticate": `Basic realm="evil"`, "Proxy-Authenticate": `Basic realm="evil"`, "Access-Control-Allow-Origin": "*",
		"Strict-Transport-Security": "max-age=0", "Warning": `299 - "evil"`, "Tlog-Uuid": "evil", "Tlog-First-Seen": "evil",
		"Server": "evil", "Content-Disposition": `attachment; filename="evil"`, "Content-Security-Policy": "evil",
	} {
		w.Header().Set(name, value)
	}
	for _, route := range []struct {
		is       bool
		does, by handler
	}{
		{path == "/v2/", b.ping, honestPing},
		{path == tokenPath, b.token, honestToken},
		{strings.Contains(path, "/manifests/"), b.manifest, honestManifest},
		{strings.Contains(path, "/blobs/"), b.blob, honestBlob},
		{strings.HasSuffix(path, "/tags/list"), b.tags, honestTags},
		{strings.Contains(path, "/referrers/"), b.referrers, honestReferrers},
		{true, b.manifest, honestManifest}, // where redirects within the registry lead to
	} {
		if !route.is {
			continue
		}
		if route.does == nil {
			route.does = route.by
		}
		route.does(r, w, req)
		return
	}
}
