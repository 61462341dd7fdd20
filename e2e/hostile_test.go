package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/hostile"
	"github.com/tlogistry/tlogistry/e2e/sigstore"
	"github.com/tlogistry/tlogistry/internal/record"
)

// hostileLimit is UPSTREAM_TIMEOUT in the tests with hostile registries, and
// hostileSlack what an answer may take beyond it on a busy machine.
const (
	hostileLimit = 5 * time.Second
	hostileSlack = 3 * time.Second
)

// A siege is a service that knows many hostile registries, each by a name of
// its own, and a canary that none of them may lead it to.
type siege struct {
	*sigstore.Sigstore
	rekor      *sigstore.Proxy
	service    *service
	registries map[string]*hostile.Registry // by case
	canary     atomic.Int32                 // connections
}

func newSiege(t *testing.T, cases []string) *siege {
	t.Helper()
	s := &siege{Sigstore: startSigstore(t, sigstore.Options{}), registries: map[string]*hostile.Registry{}}
	s.rekor = proxied(t, s.RekorURL)
	port := s.listen(t)
	var upstreams []string
	for _, name := range cases {
		r, err := hostile.Start(name, hostile.Options{Elsewhere: port})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		s.registries[name] = r
		upstreams = append(upstreams, registryOf(name)+"="+r.URL)
	}
	s.service = start(t, append(s.Env(), "REKOR_URL="+s.rekor.URL, "REKOR_SETTLE=10ms", "NEW_RECORDS_PER_MINUTE=0",
		"UPSTREAMS="+strings.Join(upstreams, ","), "UPSTREAM_TIMEOUT="+hostileLimit.String())...)
	return s
}

// registryOf is the name under which the service knows a case's registry.
func registryOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:8]) + ".example"
}

// listen starts the canary on every address and returns its port.
func (s *siege) listen(t *testing.T) string {
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
			s.canary.Add(1)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-ended
		if n := s.canary.Load(); n != 0 {
			t.Errorf("%d connections were made to the canary", n)
		}
	})
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// A hit is an answer of the service to a request for something hostile.
type hit struct {
	answer
	err  error // the connection broke off
	took time.Duration
}

// ask makes a request as a client with secrets does.
func (s *siege) ask(ctx context.Context, method, path string) hit {
	began := time.Now()
	req, err := http.NewRequestWithContext(ctx, method, s.service.url+path, nil)
	if err != nil {
		return hit{err: err}
	}
	for name, value := range secrets {
		req.Header.Set(name, value)
	}
	resp, err := noRedirect.Do(req)
	if err != nil {
		return hit{err: err, took: time.Since(began)}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	return hit{answer{resp.StatusCode, resp.Header, string(b)}, err, time.Since(began)}
}

// secrets are headers of a client that are nobody else's affair.
var secrets = map[string]string{
	"Authorization": "Bearer client-secret", "Proxy-Authorization": "Basic client-secret", "Cookie": "client=secret",
	"X-Forwarded-For": "192.0.2.7", "Forwarded": "for=192.0.2.7", "X-Serverless-Authorization": "Bearer client-secret",
	"X-Http-Method-Override": "DELETE", "X-Http-Method": "PUT", "X-Method-Override": "POST", "Referer": "https://client.example/secret",
	"Accept": "application/vnd.docker.distribution.manifest.v1+prettyjws", "Accept-Encoding": "zstd, gzip", "If-None-Match": `"client"`,
	"Expect": "", "X-Cloud-Trace-Context": "client",
}

// everywhere runs f for each name, 64 at a time.
func everywhere(names []string, f func(name string)) {
	var all sync.WaitGroup
	room := make(chan struct{}, 64)
	for _, name := range names {
		all.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			f(name)
		})
	}
	all.Wait()
}

// recorded returns the UUIDs of the service's own entries of a tag.
func (s *siege) recorded(t *testing.T, ref string) []string {
	t.Helper()
	own := record.Identity{Issuer: s.IssuerURL, Subject: sigstore.DefaultEmail}.OwnSubject(ref)
	uuids, err := s.Search(t.Context(), "sha256:"+hex.EncodeToString(own[:]))
	if err != nil {
		t.Fatal(err)
	}
	return uuids
}

// creates returns how many entries the service has asked the log to write.
func (s *siege) creates() int { return s.rekor.Counts()["POST "+createPath] }

// mustRelayNothing checks what no answer may hold, whatever it is.
func (h hit) mustRelayNothing(t *testing.T) {
	t.Helper()
	allowed := []string{
		"Accept-Ranges", "Allow", "Content-Length", "Content-Range", "Content-Type", "Date", "Docker-Content-Digest", "Docker-Distribution-Api-Version", "Etag",
		"Last-Modified", "Link", "Location", "Oci-Filters-Applied", "Oci-Namespace", "Retry-After", "Tlog-First-Seen", "Tlog-Integratedtime", "Tlog-Logindex", "Tlog-Uuid", "X-Content-Type-Options",
	}
	for name, values := range h.header {
		if !slices.Contains(allowed, name) && !strings.HasPrefix(name, "Ratelimit") {
			t.Errorf("header %s: %q is relayed", name, values)
		}
		for _, v := range values {
			if v == "evil" || strings.Contains(v, "upstream") && strings.Contains(v, "token") || strings.Contains(v, "client-secret") {
				t.Errorf("header %s: %q is relayed", name, v)
			}
		}
	}
	if strings.Contains(h.body, hostile.Token) {
		t.Errorf("the body holds the token: %.300q", h.body)
	}
	if h.status == http.StatusOK && strings.Contains(h.header.Get("Content-Type"), "html") {
		t.Errorf("Content-Type is %q", h.header.Get("Content-Type"))
	}
}

// mustAskPlainly checks what a registry was asked with.
func mustAskPlainly(t *testing.T, r *hostile.Registry, most int) {
	t.Helper()
	allowed := []string{"Accept", "Accept-Encoding", "Authorization", "Cdn-Loop", "User-Agent"}
	seen := r.Requests()
	for _, q := range seen {
		if q.Method != http.MethodGet && q.Method != http.MethodHead || q.Body != 0 {
			t.Errorf("%s %s with %d bytes", q.Method, q.URI, q.Body)
		}
		for name, values := range q.Header {
			if !slices.Contains(allowed, name) {
				t.Errorf("%s is sent: %q", name, values)
			}
		}
		if a := q.Header.Get("Authorization"); a != "" && (!strings.HasPrefix(a, "Bearer ") || strings.Contains(a, "client") || !strings.HasPrefix(q.URI, "/v2/")) {
			t.Errorf("%s is asked with Authorization: %s", q.URI, a)
		}
		if got := q.Header.Values("Accept-Encoding"); len(got) != 1 || got[0] != "identity" {
			t.Errorf("Accept-Encoding is %q", got)
		}
	}
	if len(seen) > most {
		t.Errorf("the registry was asked %d times, want %d at most", len(seen), most)
	}
}

// mustBeWhole checks that a manifest served has the digest that it is said to
// have.
func (h hit) mustBeWhole(t *testing.T, digest string) {
	t.Helper()
	if got := hostile.Digest(h.body); got != h.header.Get("Docker-Content-Digest") || got != digest {
		t.Errorf("bytes of %s are served as %s, asked for %s", got, h.header.Get("Docker-Content-Digest"), digest)
	}
}

// said returns code and message of an answer's error, "" if it has none, with
// the registry's name as REG.
func (h hit) said(name string) (code, message string) {
	var body struct {
		Errors []struct{ Code, Message string }
	}
	if h.status < 400 {
		return "", ""
	}
	if err := json.Unmarshal([]byte(h.body), &body); err != nil || len(body.Errors) != 1 {
		return "", fmt.Sprintf("no OCI error: %.100q", h.body)
	}
	return body.Errors[0].Code, strings.ReplaceAll(body.Errors[0].Message, registryOf(name), "REG")
}
