package sigstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// proxy starts a proxy in front of a server that answers with what it got.
func proxy(t *testing.T) *sigstore.Proxy {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL, body)
	}))
	t.Cleanup(server.Close)
	p, err := sigstore.NewProxy(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return p
}

// get returns the answer to a GET as one string, or the error.
func get(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return fmt.Sprint(resp.StatusCode, " ", string(body)), err
}

func wantGet(t *testing.T, url, want string) {
	t.Helper()
	if got, err := get(t.Context(), url); err != nil || got != want {
		t.Errorf("GET %s is %q, %v; want %q", url, got, err, want)
	}
}

func TestProxyBehaviour(t *testing.T) {
	p := proxy(t)
	const passed = "200 GET /path?q=1 "
	wantGet(t, p.URL+"/path?q=1", passed)

	p.Fail(http.StatusInternalServerError)
	wantGet(t, p.URL+"/path?q=1", "500 Internal Server Error\n")

	p.Down()
	for range 2 { // on an old connection and on a new one
		if got, err := get(t.Context(), p.URL+"/path?q=1"); err == nil {
			t.Errorf("GET while down is %q", got)
		}
	}

	p.Slow(50 * time.Millisecond)
	began := time.Now()
	wantGet(t, p.URL+"/path?q=1", passed)
	if took := time.Since(began); took < 50*time.Millisecond {
		t.Errorf("slow answer took %v", took)
	}
	p.Slow(time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if got, err := get(ctx, p.URL+"/path?q=1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("GET beyond its limit is %q, %v", got, err)
	}

	p.Pass()
	wantGet(t, p.URL+"/path?q=1", passed)
}

// TestProxyDownCutsOff has a request under way when the proxy goes down.
func TestProxyDownCutsOff(t *testing.T) {
	p := proxy(t)
	arrived := make(chan struct{})
	p.Hook(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		close(arrived)
		<-r.Context().Done()
		return true
	})
	result := make(chan error, 1)
	go func() {
		_, err := get(t.Context(), p.URL)
		result <- err
	}()
	<-arrived
	p.Down()
	if err := <-result; err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("request under way ended with %v, want its connection closed", err)
	}
}

func TestProxyHookAndCounts(t *testing.T) {
	p := proxy(t)
	p.Hook(func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		switch r.URL.Path {
		case "/own":
			io.WriteString(w, "own")
			return true
		case "/changed":
			r.URL.Path = "/other"
			next.ServeHTTP(w, r)
			return true
		}
		return false
	})
	wantGet(t, p.URL+"/own", "200 own")
	wantGet(t, p.URL+"/changed", "200 GET /other ")
	wantGet(t, p.URL+"/plain", "200 GET /plain ")
	wantGet(t, p.URL+"/plain", "200 GET /plain ")
	want := map[string]int{"GET /own": 1, "GET /changed": 1, "GET /plain": 2}
	if got := p.Counts(); !maps.Equal(got, want) {
		t.Errorf("Counts() = %v, want %v", got, want)
	}
	if got := p.Count(); got != 4 {
		t.Errorf("Count() = %d, want 4", got)
	}
	p.Reset()
	p.Hook(nil)
	wantGet(t, p.URL+"/own", "200 GET /own ")
	if got := p.Count(); got != 1 {
		t.Errorf("Count() after Reset = %d, want 1", got)
	}
}

func TestProxyClose(t *testing.T) {
	p, err := sigstore.NewProxy("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	wantGet(t, p.URL, "502 ")
	if err := p.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	l, err := net.Listen("tcp", p.Host)
	if err != nil {
		t.Fatalf("port not freed: %v", err)
	}
	l.Close()
}
