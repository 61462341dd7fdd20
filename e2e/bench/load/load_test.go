package load

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// A visitor counts requests by path.
type visitor struct {
	mu    sync.Mutex
	seen  map[string]int
	conns map[string]bool
}

func serve(t *testing.T, h http.HandlerFunc) (*visitor, string) {
	t.Helper()
	v := &visitor{seen: make(map[string]int), conns: make(map[string]bool)}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.mu.Lock()
		v.seen[r.Method+" "+r.URL.Path+" "+r.Header.Get("Accept")]++
		v.conns[r.RemoteAddr] = true
		v.mu.Unlock()
		h(w, r)
	}))
	t.Cleanup(s.Close)
	return v, s.Listener.Addr().String()
}

// Each request of a plan is sent as often as it says, over as many connections.
func TestRunEach(t *testing.T) {
	v, addr := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "12345") })
	var requests []Request
	for i := range 8 {
		requests = append(requests, Request{Path: fmt.Sprint("/", i), Header: http.Header{"Accept": {"x"}}})
	}
	r, err := Run(t.Context(), Plan{Addr: addr, Requests: requests, Connections: 4, Each: 2})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Latencies) != 8 || r.Bytes != 40 || len(v.conns) != 4 {
		t.Errorf("%d latencies, %d bytes, %d connections, want 8, 40 and 4", len(r.Latencies), r.Bytes, len(v.conns))
	}
	for i := range 8 {
		if n := v.seen[fmt.Sprintf("GET /%d x", i)]; n != 1 {
			t.Errorf("request %d was sent %d times, want once: %v", i, n, v.seen)
		}
	}
}

func TestRunFor(t *testing.T) {
	_, addr := serve(t, func(w http.ResponseWriter, r *http.Request) { time.Sleep(5 * time.Millisecond) })
	r, err := Run(t.Context(), Plan{Addr: addr, Requests: []Request{{Method: "HEAD", Path: "/"}}, Connections: 2, For: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if p := r.Quantile(0.5); p < 5*time.Millisecond || r.Quantile(1) < p {
		t.Errorf("median %v, want 5 ms and more; longest %v", p, r.Quantile(1))
	}
	if rate := r.Rate(); rate > 400 || r.Elapsed < 100*time.Millisecond {
		t.Errorf("%v requests a second in %v, want 400 at most", rate, r.Elapsed)
	}
}

// A server may end a connection after any answer.
func TestRunReconnects(t *testing.T) {
	v, addr := serve(t, func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Connection", "close") })
	r, err := Run(t.Context(), Plan{Addr: addr, Requests: []Request{{Path: "/"}}, Each: 3})
	if err != nil || len(r.Latencies) != 3 || len(v.conns) != 3 {
		t.Errorf("%d latencies, %d connections, %v, want 3 of each", len(r.Latencies), len(v.conns), err)
	}
}

func TestRunFails(t *testing.T) {
	v, addr := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "not here", http.StatusNotFound) })
	_, err := Run(t.Context(), Plan{Addr: addr, Requests: []Request{{Path: "/a", Status: 307}}, Connections: 1, Each: 100})
	if want := "load: GET http://" + addr + "/a: status 404, want 307: not here"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if n := len(v.seen); n != 1 {
		t.Errorf("%d requests after one failed, want none", n-1)
	}
	if _, err := Run(t.Context(), Plan{Addr: addr}); err == nil || !strings.Contains(err.Error(), "no requests") {
		t.Errorf("without requests: error %v", err)
	}
}
