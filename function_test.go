package tlogistry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patience ends a wait that would never end.
const patience = 30 * time.Second

// A world is a server that stands for everybody whom the service could ask.
type world struct {
	*httptest.Server

	mu     sync.Mutex
	asked  []string
	answer http.HandlerFunc
}

func newWorld(t *testing.T) *world {
	w := &world{answer: http.NotFound}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.asked = append(w.asked, r.Method+" "+r.URL.Path)
		answer := w.answer
		w.mu.Unlock()
		answer(rw, r)
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *world) answers(h http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = h
}

func (w *world) requests() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.asked)
}

// environment returns a valid environment in which everybody is w.
func (w *world) environment(t *testing.T) map[string]string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root.json")
	if err := os.WriteFile(root, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GCE_METADATA_HOST", w.Listener.Addr().String())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	return map[string]string{
		"REKOR_URL":  w.URL + "/rekor",
		"FULCIO_URL": w.URL + "/fulcio",
		"TUF_URL":    w.URL + "/tuf",
		"TUF_ROOT":   root,
		"UPSTREAMS":  "registry.test=" + w.URL + "/registry",
		"IDENTITY":   "tlogistry@project.example",
	}
}

// fromMap returns the getenv of an environment with changes.
func fromMap(env map[string]string, changes ...string) func(string) string {
	all := maps.Clone(env)
	for pair := range slices.Chunk(changes, 2) {
		all[pair[0]] = pair[1]
	}
	return func(name string) string { return all[name] }
}

// A sink is a log that can be read while it is written.
type sink struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *sink) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *sink) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(strings.Lines(s.b.String()))
}

func get(h http.Handler, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

// checkUnavailable wants the answer of a function that cannot serve.
func checkUnavailable(t *testing.T, method, path string, w *httptest.ResponseRecorder, message string) {
	t.Helper()
	body := fmt.Sprintf(`{"errors":[{"code":"UNAVAILABLE","message":%q}]}`, message) + "\n"
	length := fmt.Sprint(len(body))
	if method == http.MethodHead {
		body = ""
	}
	h := w.Header()
	if w.Code != http.StatusServiceUnavailable || w.Body.String() != body || h.Get("Content-Length") != length ||
		h.Get("Content-Type") != "application/json" || h.Get("Retry-After") != "10" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s %s: %d %v %s", method, path, w.Code, h, w.Body)
	}
}

// A bad configuration does not end the process, which could say nothing then.
// Every request is answered with 503, and one line says what is wrong.
func TestBadConfiguration(t *testing.T) {
	w := newWorld(t)
	good := w.environment(t)
	missing := filepath.Join(t.TempDir(), "missing")
	tests := []struct {
		name, value string
		says        string
	}{
		{"PORT", "0", `PORT="0": want a port from 1 to 65535`},
		{"HOST", "example.com", `HOST="example.com": want an IP address or localhost`},
		{"LOCAL_ONLY", "yes", `LOCAL_ONLY="yes": want true or false`},
		{"TLOG", "sigsum", `TLOG="sigsum": want rekor or local`},
		{"REKOR_URL", "ftp://x", `REKOR_URL="ftp://x": want an http or https address, such as https://host`},
		{"FULCIO_URL", "https://u:p@x", `FULCIO_URL="https://u:xxxxx@x": want an http or https address, without user, query and fragment`},
		{"REKOR_TIMEOUT", "0s", `REKOR_TIMEOUT="0s": want a duration above zero such as 30s`},
		{"FULCIO_TIMEOUT", "soon", `FULCIO_TIMEOUT="soon": want a duration above zero such as 30s`},
		{"REKOR_SETTLE", "-1s", `REKOR_SETTLE="-1s": want a duration of zero or more such as 250ms`},
		{"UPSTREAM_TIMEOUT", "-1s", `UPSTREAM_TIMEOUT="-1s": want a duration above zero such as 30s`},
		{"UPSTREAMS", "x", `UPSTREAMS="x": want registry=base URL, comma-separated, such as docker.io=http://localhost:5000`},
		{"ALLOW", "alpine", `ALLOW="alpine": want comma-separated patterns such as docker.io/library/* or ghcr.io/acme/**: pattern "alpine" names no repository: want registry/repository`},
		{"TRUSTED_ROOT", missing, `TRUSTED_ROOT="` + missing + `": want the path of a file that can be read`},
		{"TUF_ROOT", missing, `TUF_ROOT="` + missing + `": want the path of a file that can be read`},
		{"TUF_ROOT", "", `TUF_ROOT="": want the path of the initial root.json of TUF_URL`},
	}
	for _, tt := range tests {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			logs := &sink{}
			f := newFunction(fromMap(good, tt.name, tt.value), logs)
			if lines := logs.lines(); len(lines) != 0 {
				t.Errorf("logged before the first request: %q", lines)
			}
			var wg sync.WaitGroup
			for _, path := range []string{"/", "/v2/", "/v2/registry.test/app/manifests/1", "/any"} {
				for _, method := range []string{"GET", "HEAD", "POST"} {
					wg.Go(func() {
						checkUnavailable(t, method, path, get(f, method, path),
							"this service is not configured correctly; its log says what is wrong")
					})
				}
			}
			wg.Wait()
			lines := logs.lines()
			if len(lines) != 1 {
				t.Fatalf("%d lines, want 1: %q", len(lines), lines)
			}
			var line struct{ Severity, Message, Error string }
			if err := json.Unmarshal([]byte(lines[0]), &line); err != nil {
				t.Fatal(err)
			}
			if line.Severity != "ERROR" || line.Message != "bad configuration" || line.Error != tt.says {
				t.Errorf("line %s\nwant %s", lines[0], tt.says)
			}
			if err := f.drain(t.Context()); err != nil {
				t.Errorf("drain: %v", err)
			}
		})
	}
	if asked := w.requests(); len(asked) != 0 {
		t.Errorf("asked %q", asked)
	}
}

// Nobody is asked for anything before there is need to.
func TestAsksNobody(t *testing.T) {
	const email = "GET /computeMetadata/v1/instance/service-accounts/default/email"
	paths := []string{"/", "/v2/", "/v2", "/nothing", "/v2/registry.test/App/manifests/1"}
	t.Run("identity configured", func(t *testing.T) {
		w := newWorld(t)
		logs := &sink{}
		f := newFunction(fromMap(w.environment(t)), logs)
		for _, path := range paths {
			for _, method := range []string{"GET", "HEAD", "POST"} {
				get(f, method, path)
			}
		}
		if asked := w.requests(); len(asked) != 0 {
			t.Errorf("asked %q", asked)
		}
		page := get(f, "GET", "/")
		if page.Code != 200 || !strings.Contains(page.Body.String(), "tlogistry@project.example") || !strings.Contains(page.Body.String(), w.URL+"/rekor") {
			t.Errorf("the page: %d %s", page.Code, page.Body)
		}
		if ping := get(f, "GET", "/v2/"); ping.Code != 200 || ping.Body.String() != "{}" {
			t.Errorf("the ping: %d %s", ping.Code, ping.Body)
		}
		if n, want := len(logs.lines()), 3*len(paths)+2; n != want {
			t.Errorf("%d lines for %d requests", n, want)
		}
		drain(t, f)
	})
	t.Run("identity of the metadata server", func(t *testing.T) {
		w := newWorld(t)
		w.answers(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Metadata-Flavor", "Google")
			fmt.Fprint(rw, "account@project.example")
		})
		f := newFunction(fromMap(w.environment(t), "IDENTITY", ""), io.Discard)
		get(f, "GET", "/v2/")
		if asked := w.requests(); len(asked) != 0 {
			t.Errorf("a ping asked %q", asked)
		}
		for range 2 {
			if page := get(f, "GET", "/"); !strings.Contains(page.Body.String(), "account@project.example") {
				t.Errorf("the page: %d %s", page.Code, page.Body)
			}
		}
		if asked := w.requests(); !slices.Equal(asked, []string{email}) {
			t.Errorf("asked %q, want the address once", asked)
		}
		drain(t, f)
	})
}

func drain(t *testing.T, f *function) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := f.drain(ctx); err != nil {
		t.Error(err)
	}
}

// The handler is built once, however many requests come first.
func TestBuiltOnce(t *testing.T) {
	w := newWorld(t)
	env := fromMap(w.environment(t))
	var mu sync.Mutex
	reads := 0
	f := newFunction(func(name string) string {
		if name == "PORT" {
			mu.Lock()
			reads++
			mu.Unlock()
		}
		return env(name)
	}, io.Discard)
	if reads != 0 {
		t.Error("the environment was read before the first request")
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if w := get(f, "GET", "/v2/"); w.Code != 200 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	wg.Wait()
	if reads != 1 {
		t.Errorf("the environment was read %d times", reads)
	}
	drain(t, f)
}

// Drain waits for the request under way, then ends what was begun in the log.
// Meanwhile new requests are refused, on connections that end.
func TestDrain(t *testing.T) {
	w := newWorld(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	w.answers(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/registry/v2/" || r.URL.Path == "/v2/" {
			return
		}
		close(arrived)
		<-release
		http.NotFound(rw, r)
	})
	f := newFunction(fromMap(w.environment(t)), io.Discard)
	path := "/v2/registry.test/app/manifests/sha256:" + strings.Repeat("0", 64)
	underWay := make(chan *httptest.ResponseRecorder, 1)
	go func() { underWay <- get(f, "GET", path) }()
	select {
	case <-arrived:
	case <-time.After(patience):
		t.Fatal("the registry was not asked")
	}
	var closed atomic.Int32 // each drain closes when all is answered
	inner := f.close
	f.close = func() { inner(); closed.Add(1) }

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.drain(ended); !errors.Is(err, context.Canceled) || err.Error() != "drain: context canceled" {
		t.Errorf("drain with a request under way: %v", err)
	}
	for _, method := range []string{"GET", "HEAD"} {
		for _, path := range []string{"/", "/v2/", path} {
			refused := get(f, method, path)
			checkUnavailable(t, method, path, refused, "this instance is shutting down")
			if c := refused.Header().Get("Connection"); c != "close" {
				t.Errorf("Connection: %q", c)
			}
		}
	}
	drained := make(chan error, 1)
	go func() { drained <- f.drain(context.Background()) }()
	select {
	case err := <-drained:
		t.Fatalf("drained with a request under way: %v", err)
	case <-time.After(50 * time.Millisecond): // that nothing happens has no event
	}
	if closed.Load() != 0 {
		t.Error("closed with a request under way")
	}
	close(release)
	if got := <-underWay; got.Code != http.StatusNotFound || got.Header().Get("Connection") != "" {
		t.Errorf("the request under way: %d %s", got.Code, got.Body)
	}
	select {
	case err := <-drained:
		if err != nil || closed.Load() == 0 {
			t.Errorf("drain: %v, closed %d times", err, closed.Load())
		}
	case <-time.After(patience):
		t.Fatal("not drained")
	}
}

// A process that was never asked for anything drains at once.
func TestDrainUnused(t *testing.T) {
	f := newFunction(func(string) string { return "" }, io.Discard)
	drain(t, f)
	drain(t, f)
	checkUnavailable(t, "GET", "/", get(f, "GET", "/"), "this instance is shutting down")
}
