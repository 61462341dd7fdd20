package upstream

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

// Pipes are a listener without a network, so that a bubble of synctest knows
// when everybody waits.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	close  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.close.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 5000} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A shelf is the repository reg.example/app, and a client of it, in a bubble.
type shelf struct {
	*world
	*Client
	t *testing.T

	mu     sync.Mutex
	tags   map[string]string                             // to the bytes of manifests
	answer func(http.ResponseWriter, *http.Request) bool // answers otherwise, if it is set and returns true
	held   map[string]chan struct{}                      // by what is asked, without the path
}

// shelved runs a test in a bubble with a shelf.
func shelved(t *testing.T, c Config, tags map[string]string, f func(*testing.T, *shelf)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{t: t, world: newWorld(t), tags: tags, held: map[string]chan struct{}{}}
		p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		s.Listener.Close()
		s.Listener = p
		s.Start()
		s.world.open()
		s.mux.HandleFunc("/v2/app/manifests/{reference}", s.manifest)
		c.Mirrors = mirrors(t, map[string]string{"reg.example": s.URL})
		s.Client = New(c)
		s.mirrors["reg.example"].own.DialContext = p.dial
		defer s.Client.Close()
		f(t, s)
	})
}

func (s *shelf) manifest(rw http.ResponseWriter, r *http.Request) {
	reference := r.PathValue("reference")
	s.mu.Lock()
	body, held, answer := s.tags[reference], s.held[r.Method+" "+reference], s.answer
	if strings.HasPrefix(reference, "sha256:") {
		for _, b := range s.tags {
			if sum([]byte(b)) == reference {
				body = b
			}
		}
	}
	s.mu.Unlock()
	if held != nil {
		<-held
	}
	switch {
	case answer != nil && answer(rw, r):
	case body == "":
		rw.WriteHeader(http.StatusNotFound)
	default:
		rw.Header().Set("Content-Type", indexType)
		rw.Header().Set(digestHeader, sum([]byte(body)))
		rw.Header().Set("Ratelimit-Remaining", r.Method+" "+reference)
		fmt.Fprint(rw, body)
	}
}

// hold has what is asked wait until the returned function is called.
func (s *shelf) hold(asked string) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := make(chan struct{})
	s.held[asked] = c
	return func() { close(c) }
}

// asked returns what was asked since the last call and how often, pings left
// out.
func (s *shelf) asked() map[string]int {
	n := map[string]int{}
	for _, r := range s.requests() {
		if method, reference, ok := strings.Cut(r, " /v2/app/manifests/"); ok {
			n[method+" "+reference]++
		}
	}
	return n
}

// reference is the request for a tag or digest.
func (s *shelf) reference(reference string) ociref.Request {
	s.t.Helper()
	return request(s.t, "/v2/reg.example/app/manifests/"+reference)
}

// pull pulls a tag or digest and checks what comes.
func (s *shelf) pull(reference string) *Manifest {
	s.t.Helper()
	m, err := s.Manifest(s.t.Context(), s.reference(reference))
	switch want, ok := s.tags[reference]; {
	case err != nil:
		s.t.Errorf("%s: %v", reference, err)
	case ok && string(m.Bytes) != want, m.Digest != sum(m.Bytes), m.MediaType != indexType, !ok && m.Digest != reference:
		s.t.Errorf("%s: %s %s %s", reference, m.MediaType, m.Digest, m.Bytes)
	}
	return m
}

// pulling pulls references at once and returns when nothing goes on until
// something is released.
func (s *shelf) pulling(references ...string) (wait func()) {
	s.t.Helper()
	var all sync.WaitGroup
	for _, r := range references {
		all.Go(func() { s.pull(r) })
	}
	synctest.Wait()
	return all.Wait
}

// image returns the n-th of many indexes.
func image(n int) string {
	return strings.Replace(indexJSON, "[]", "["+strings.Repeat(" ", n)+"]", 1)
}

func digestOf(n int) string { return sum([]byte(image(n))) }

// tagged returns n tags that begin with a prefix, all of one image.
func tagged(prefix string, n, of int) (names []string, tags map[string]string) {
	tags = map[string]string{}
	for i := range n {
		name := fmt.Sprint(prefix, i)
		names, tags[name] = append(names, name), image(of)
	}
	return names, tags
}

// wantAsked compares what was asked with "METHOD reference" and counts.
func (s *shelf) wantAsked(want map[string]int) {
	s.t.Helper()
	if got := s.asked(); !maps.Equal(got, want) {
		s.t.Errorf("asked %v, want %v", got, want)
	}
}

// heads is one HEAD of each name, and and adds something else to that.
func heads(names ...string) map[string]int {
	n := map[string]int{}
	for _, name := range names {
		n["HEAD "+name] = 1
	}
	return n
}

func and(a map[string]int, key string, n int) map[string]int {
	a[key] = n
	return a
}
