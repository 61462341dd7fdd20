package sigstore

import (
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"
)

// A Hook sees a request before it is forwarded. It returns true if it has
// answered, for which it may use next, the way to the server itself.
// Hooks run concurrently.
type Hook func(w http.ResponseWriter, r *http.Request, next http.Handler) bool

// A Proxy stands in front of one HTTP server on loopback, counts the requests
// and behaves as told. It starts out passing everything on.
// Its methods may be called concurrently, and take effect at once for every
// request that arrives later.
type Proxy struct {
	URL  string // such as "http://127.0.0.1:40002"
	Host string // host:port of URL

	forward *httputil.ReverseProxy
	server  *http.Server
	served  chan struct{} // closed when server has stopped

	mu     sync.Mutex
	how    behaviour
	hook   Hook
	counts map[string]int
	conns  map[net.Conn]struct{}
}

// behaviour is what happens to a request instead of, or before, forwarding.
type behaviour struct {
	down   bool
	delay  time.Duration
	status int
}

// NewProxy starts a proxy in front of target, which is a URL without a path or
// a host:port.
func NewProxy(target string) (*Proxy, error) {
	if !strings.Contains(target, "://") {
		target = "http://" + target
	}
	to, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("sigstore: proxy: %w", err)
	}
	l, err := listen()
	if err != nil {
		return nil, fmt.Errorf("sigstore: proxy: %w", err)
	}
	p := &Proxy{
		Host:   l.Addr().String(),
		served: make(chan struct{}),
		counts: make(map[string]int),
		conns:  make(map[net.Conn]struct{}),
	}
	p.URL = "http://" + p.Host
	quiet := log.New(io.Discard, "", 0)
	p.forward = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
		// Bodies pass as they are, whatever their encoding.
		Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64},
		ErrorLog:  quiet,
	}
	p.server = &http.Server{
		Handler:           http.HandlerFunc(p.serve),
		ConnState:         p.track,
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          quiet,
	}
	go func() {
		defer close(p.served)
		p.server.Serve(l)
	}()
	return p, nil
}

// Close stops the proxy and cuts off what is under way.
func (p *Proxy) Close() error {
	err := p.server.Close()
	<-p.served
	p.forward.Transport.(*http.Transport).CloseIdleConnections()
	return err
}

// Pass forwards requests again, after Down, Slow or Fail.
func (p *Proxy) Pass() { p.set(behaviour{}) }

// Slow forwards requests after a delay, and not at all if the client has gone
// by then.
func (p *Proxy) Slow(delay time.Duration) { p.set(behaviour{delay: delay}) }

// Fail answers every request with status.
func (p *Proxy) Fail(status int) { p.set(behaviour{status: status}) }

// Down resets every connection, those that exist and those to come.
// The port is kept, so that nobody else gets it.
func (p *Proxy) Down() {
	p.set(behaviour{down: true})
	p.mu.Lock()
	conns := maps.Clone(p.conns)
	p.mu.Unlock()
	for c := range conns {
		reset(c)
	}
}

func (p *Proxy) set(how behaviour) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.how = how
}

// Hook sets the hook that every request passes, or none if h is nil. A request
// that Fail or Down answers does not reach it; one delayed by Slow does.
func (p *Proxy) Hook(h Hook) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hook = h
}

// Counts returns how many requests have arrived since the last Reset, by
// method and path, such as "POST /api/v1/log/entries". What Down kept out has
// not arrived.
func (p *Proxy) Counts() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.counts)
}

// Count returns how many requests of any kind have arrived since the last Reset.
func (p *Proxy) Count() int {
	n := 0
	for _, c := range p.Counts() {
		n += c
	}
	return n
}

// Reset sets the counts to zero.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.counts)
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	how, hook := p.how, p.hook
	if !how.down {
		p.counts[r.Method+" "+r.URL.Path]++
	}
	p.mu.Unlock()

	switch {
	case how.down: // came in on a connection from before
		panic(http.ErrAbortHandler)
	case how.status != 0:
		http.Error(w, http.StatusText(how.status), how.status)
		return
	case how.delay > 0 && !sleep(r.Context(), how.delay):
		return
	}
	if hook == nil || !hook(w, r, p.forward) {
		p.forward.ServeHTTP(w, r)
	}
}

// sleep waits for d and reports whether ctx lasted that long.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// track keeps the set of open connections, and resets new ones while down.
func (p *Proxy) track(c net.Conn, state http.ConnState) {
	p.mu.Lock()
	down := p.how.down
	switch state {
	case http.StateNew:
		p.conns[c] = struct{}{}
	case http.StateClosed, http.StateHijacked:
		delete(p.conns, c)
	}
	p.mu.Unlock()
	if down && state == http.StateNew {
		reset(c)
	}
}

// reset closes a connection so that its peer sees it at once.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}
