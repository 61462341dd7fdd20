package front_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/internal/cloudlog"
	"github.com/tlogistry/tlogistry/internal/front"
	"github.com/tlogistry/tlogistry/internal/limit"
	"github.com/tlogistry/tlogistry/internal/logtest"
	"github.com/tlogistry/tlogistry/internal/ociref"
	"github.com/tlogistry/tlogistry/internal/ready"
	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/telemetry"
	"github.com/tlogistry/tlogistry/internal/upstream"
)

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	indexType    = "application/vnd.oci.image.index.v1+json"

	// patience ends a wait that would never end.
	patience = 30 * time.Second
)

// A site is a handler on a server, with a log and a registry, which is known
// as registry.test and as Docker Hub.
type site struct {
	t      testing.TB
	origin *origin
	store  *logtest.Store
	log    *logtest.Instance
	lines  *lines
	url    string
	server *httptest.Server
}

// A setup is what differs from one site to another.
type setup struct {
	origin  *origin        // nil: a new one
	store   *logtest.Store // nil: a new one
	log     front.Log      // nil: an instance on the store
	timeout time.Duration  // of the upstream client
	stall   time.Duration
	allow   []string
	mutable []string
	clients *limit.Clients
	home    http.HandlerFunc // nil: home
	ready   *ready.Checker
	measure *telemetry.Instruments
	start   func(http.Handler) *httptest.Server
}

func newSite(t testing.TB, c setup) *site {
	t.Helper()
	s := &site{t: t, origin: c.origin, store: c.store, lines: newLines()}
	if s.origin == nil {
		s.origin = newOrigin(t)
	}
	if s.store == nil {
		s.store = logtest.New(1)
	}
	s.log = s.store.Instance()
	registries := upstream.New(upstream.Config{
		Mirrors: map[string]*url.URL{"registry.test": s.origin.url, "index.docker.io": s.origin.url},
		Timeout: c.timeout,
	})
	t.Cleanup(registries.Close)
	o := front.Options{
		Log:      s.log,
		Upstream: registries,
		Clients:  c.clients,
		Home:     http.HandlerFunc(home),
		Logger:   cloudlog.New(s.lines, "", ""),
		Stall:    c.stall,

		Ready:     c.ready,
		Telemetry: c.measure,
	}
	if c.log != nil {
		o.Log = c.log
	}
	if c.home != nil {
		o.Home = c.home
	}
	for _, p := range c.allow {
		pattern, err := ociref.ParsePattern(p)
		if err != nil {
			t.Fatal(err)
		}
		o.Allow = append(o.Allow, pattern)
	}
	for _, p := range c.mutable {
		pattern, err := ociref.ParseTagPattern(p)
		if err != nil {
			t.Fatal(err)
		}
		o.Mutable = append(o.Mutable, pattern)
	}
	start := c.start
	if start == nil {
		start = httptest.NewServer
	}
	s.server = start(front.New(o))
	t.Cleanup(s.server.Close)
	s.url = s.server.URL
	return s
}

func home(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusTeapot)
	fmt.Fprintf(w, "home of %s", r.URL.Path)
}

// An answer is what a client got.
type answer struct {
	status int
	header http.Header // without Date
	body   string
}

var client = &http.Client{
	Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       patience,
}

// send sends a request with headers given as name, value, name, value.
func (s *site) send(ctx context.Context, method, path string, headers ...string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, nil)
	if err != nil {
		return answer{}, err
	}
	for pair := range slices.Chunk(headers, 2) {
		if pair[0] == "Host" {
			r.Host = pair[1]
			continue
		}
		r.Header.Add(pair[0], pair[1])
	}
	resp, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	resp.Header.Del("Date")
	return answer{resp.StatusCode, resp.Header, string(body)}, err
}

// do is send for requests that are answered.
func (s *site) do(method, path string, headers ...string) answer {
	s.t.Helper()
	a, err := s.send(s.t.Context(), method, path, headers...)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// want returns an answer with the headers that every answer has, those given
// as name, value, name, value, and the body's length.
func want(status int, body string, headers ...string) answer {
	a := answer{status: status, body: body, header: http.Header{
		"Docker-Distribution-Api-Version": {"registry/2.0"},
		"X-Content-Type-Options":          {"nosniff"},
		"Content-Length":                  {strconv.Itoa(len(body))},
	}}
	for pair := range slices.Chunk(headers, 2) {
		a.header.Set(pair[0], pair[1])
	}
	return a
}

// wantError returns an answer with one error. detail is JSON or empty.
func wantError(status int, code, message, detail string, headers ...string) answer {
	if detail != "" {
		detail = `,"detail":` + detail
	}
	text, _ := json.Marshal(message)
	body := fmt.Sprintf(`{"errors":[{"code":%q,"message":%s%s}]}`, code, text, detail) + "\n"
	return want(status, body, append(headers, "Content-Type", "application/json")...)
}

// with returns the answer with further headers.
func (a answer) with(headers ...string) answer {
	a.header = a.header.Clone()
	for pair := range slices.Chunk(headers, 2) {
		a.header.Set(pair[0], pair[1])
	}
	return a
}

// without returns the answer without a header.
func (a answer) without(name string) answer {
	a.header = a.header.Clone()
	a.header.Del(name)
	return a
}

// tlog returns the headers that name a record.
func tlog(s record.Sighting) []string {
	return []string{
		"Tlog-Integratedtime", s.Time.Format("2006-01-02T15:04:05Z"),
		"Tlog-Logindex", strconv.FormatInt(s.Index, 10),
		"Tlog-Uuid", s.UUID,
	}
}

// check compares status, all headers, and the body to the byte. An answer to
// HEAD is compared with the one to GET, whose body it lacks.
func check(t testing.TB, method string, got, want answer) {
	t.Helper()
	if got.status != want.status {
		t.Errorf("%s: status %d, want %d", method, got.status, want.status)
	}
	for _, name := range slices.Sorted(maps.Keys(want.header)) {
		if !slices.Equal(got.header[name], want.header[name]) {
			t.Errorf("%s: header %s: %q, want %q", method, name, got.header[name], want.header[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got.header)) {
		if want.header[name] == nil {
			t.Errorf("%s: header %s: %q, want none", method, name, got.header[name])
		}
	}
	body := want.body
	if method == http.MethodHead {
		body = ""
	}
	if got.body != body {
		t.Errorf("%s: body\n%s\nwant\n%s", method, got.body, body)
	}
}

// checkBoth sends GET and HEAD and wants the same of both.
func (s *site) checkBoth(path string, want answer, headers ...string) {
	s.t.Helper()
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		check(s.t, method, s.do(method, path, headers...), want)
	}
}

// lines is a log's sink that can be waited for.
type lines struct {
	mu    sync.Mutex
	all   []string
	added chan struct{} // closed, and replaced, with each line
}

func newLines() *lines { return &lines{added: make(chan struct{})} }

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range bytes.Lines(b) {
		l.all = append(l.all, string(line))
	}
	close(l.added)
	l.added = make(chan struct{})
	return len(b), nil
}

// wait returns the lines when there are n.
func (l *lines) wait(t testing.TB, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		l.mu.Lock()
		all, next := slices.Clone(l.all), l.added
		l.mu.Unlock()
		if len(all) >= n {
			return all
		}
		select {
		case <-next:
		case <-ctx.Done():
			t.Fatalf("%d lines, want %d: %q", len(all), n, all)
		}
	}
}

// take returns the lines and forgets them.
func (l *lines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = nil
	return all
}
