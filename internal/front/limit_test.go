package front_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/internal/front"
	"github.com/tlogistry/tlogistry/internal/limit"
	"github.com/tlogistry/tlogistry/internal/logtest"
	"github.com/tlogistry/tlogistry/internal/record"
)

// Every request below /v2/ counts, whatever it asks for; the home page does not.
func TestClientLimit(t *testing.T) {
	manifest, digest := image("app")
	paths := []string{"GET /v2/", "HEAD " + appPath, "GET /v2/registry.test/app/blobs/" + digest, "POST /v2/", "GET /v2/no-such-path", "GET /v2"}
	s := newSite(t, setup{clients: limit.NewClients(len(paths), 1)})
	s.origin.push(t, "app", "1.0", manifest)
	for range 3 {
		s.do("GET", "/", "X-Forwarded-For", "198.51.100.1")
	}
	for _, path := range paths {
		method, path, _ := strings.Cut(path, " ")
		if got := s.do(method, path, "X-Forwarded-For", "198.51.100.1"); got.status == http.StatusTooManyRequests {
			t.Errorf("%s %s: %v", method, path, got)
		}
	}
	refused := wantError(http.StatusTooManyRequests, "TOOMANYREQUESTS",
		"this instance allows 6 requests from one address a minute; try again in 10 s", "", "Retry-After", "10")
	for n, forged := range []string{"198.51.100.1", "203.0.113.1, 198.51.100.1", "203.0.113.2,203.0.113.3,198.51.100.1:1"} {
		for _, path := range []string{appPath, "/v2/"} {
			for _, method := range []string{"GET", "HEAD", "PUT"} {
				check(t, method, s.do(method, path, "X-Forwarded-For", forged), refused)
			}
		}
		if got := s.do("GET", "/", "X-Forwarded-For", forged); got.status != http.StatusTeapot {
			t.Errorf("the home page: %v", got)
		}
		other := fmt.Sprintf("198.51.100.1, 192.0.2.%d", n)
		if got := s.do("GET", appPath, "X-Forwarded-For", other); got.status != http.StatusOK {
			t.Errorf("another client: %v", got)
		}
	}
}

// What a log refuses for its number is neither an outage nor served.
func TestRecordLimit(t *testing.T) {
	s := newSite(t, setup{})
	manifest, _ := image("app")
	s.origin.push(t, "app", "1.0", manifest)
	s.log.Fail(logtest.Add, &limit.Error{What: "new records", PerMinute: 60, Wait: 2500 * time.Millisecond})
	s.checkBoth(appPath, wantError(http.StatusTooManyRequests, "TOOMANYREQUESTS",
		"this instance allows 60 new records a minute; try again in 3 s", "", "Retry-After", "3"))
	if n := len(s.store.Entries(appRef)); n != 0 {
		t.Errorf("%d records", n)
	}
	lines := s.lines.wait(t, 2)
	if want := `"error":"cannot record the tag: this instance allows 60 new records a minute; try again in 3 s"`; !strings.Contains(lines[0], want) {
		t.Errorf("the line does not say why: %s", lines[0])
	}
	// A recorded tag needs no record.
	s.log.Fail(logtest.Add, nil)
	check(t, "GET", s.do("GET", appPath), served(manifest, only(t, s.store, appRef)).with("Tlog-First-Seen", "true"))
	s.log.Fail(logtest.Add, &limit.Error{What: "new records", PerMinute: 60, Wait: time.Second})
	s.checkBoth(appPath, served(manifest, only(t, s.store, appRef)))
}

// dial opens a connection to the site on which all waits end.
func (s *site) dial() net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.server.Listener.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// The body of a request is not waited for, neither before the answer nor, for
// long, after it; and it never becomes another request.
func TestBodyIsNotRead(t *testing.T) {
	s := newSite(t, setup{})
	manifest, _ := image("app")
	s.origin.push(t, "app", "1.0", manifest)
	for name, rest := range map[string]string{
		"declared":   "Content-Length: 1000\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
		"large":      "Content-Length: 1000000000000\r\n\r\nx",
		"chunked":    "Transfer-Encoding: chunked\r\n\r\n400\r\nx",
		"asked for":  "Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n",
		"complete":   "Content-Length: 1\r\n\r\nx",
		"empty":      "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"none given": "Content-Length: 1000\r\n\r\n",
	} {
		for _, method := range []string{"GET", "POST"} {
			t.Run(name+" "+method, func(t *testing.T) {
				c := s.dial()
				began := time.Now()
				fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s", method, appPath, rest)
				r := bufio.NewReader(c)
				resp, err := http.ReadResponse(r, &http.Request{Method: method})
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > patience/2 {
					t.Errorf("answered after %v", took)
				}
				if want := map[string]int{"GET": 200, "POST": 405}[method]; resp.StatusCode != want || !resp.Close {
					t.Errorf("%s, close %t: %s", resp.Status, resp.Close, body)
				}
				if method == "GET" && string(body) != manifest {
					t.Errorf("answered %s", body)
				}
				// Nothing follows, and the connection ends by itself.
				if rest, err := io.ReadAll(r); len(rest) > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
					t.Errorf("then %q, %v", rest, err)
				}
				if took := time.Since(began); took > patience/2 {
					t.Errorf("closed after %v", took)
				}
			})
		}
	}
}

// A client that does not read on loses its connection after the stall time,
// whatever it was being sent.
func TestStalledClient(t *testing.T) {
	big := strings.Repeat("x", 64<<20) // more than the buffers of two sockets
	ended := make(chan error, 1)
	s := newSite(t, setup{stall: 200 * time.Millisecond, home: func(w http.ResponseWriter, r *http.Request) {
		_, err := io.WriteString(w, big)
		ended <- err
	}})
	c := s.dial()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "i/o timeout") {
			t.Errorf("the answer ended with %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the answer did not end")
	}
}

// One that reads slowly, and on, gets it all.
func TestSlowClient(t *testing.T) {
	const size = 16 << 20 // of which buffers may hold some, so that the server is done before the client
	big := strings.Repeat("x", size)
	t.Parallel()
	const stall = 2 * time.Second
	s := newSite(t, setup{stall: stall, home: func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, big)
	}})
	c := s.dial()
	fmt.Fprint(c, "GET / HTTP/1.0\r\n\r\n")
	if err := c.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	total, buf := 0, make([]byte, 256<<10)
	for {
		n, err := io.ReadFull(c, buf)
		total += n
		if err != nil {
			break
		}
		time.Sleep(75 * time.Millisecond) // the client is slow, that is the test
	}
	if took := time.Since(began); total < size || took < 2*stall {
		t.Errorf("%d bytes in %v", total, took)
	}
}

// A panic is one request's.
func TestPanic(t *testing.T) {
	s := newSite(t, setup{home: func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" {
			w.WriteHeader(http.StatusOK)
			_, _ = io.WriteString(w, strings.Repeat("x", 100<<10))
		}
		panic("secret reason")
	}})
	check(t, "GET", s.do("GET", "/"), wantError(http.StatusInternalServerError, "UNKNOWN", "internal error", ""))
	lines := s.lines.wait(t, 2)
	if !strings.Contains(lines[0], `"stack":"goroutine `) || !strings.Contains(lines[0], "limit_test.go") || !strings.Contains(lines[1], `"error":"panic: secret reason"`) {
		t.Errorf("lines %q", lines)
	}
	if _, err := s.send(t.Context(), "GET", "/late"); err == nil {
		t.Error("a part was given out for the whole")
	}
	if got := s.do("GET", "/v2/"); got.status != http.StatusOK {
		t.Error(got)
	}
}

// A panic while the log or the registry is asked, in whichever goroutine, is
// one request's.
func TestPanicWhileAsking(t *testing.T) {
	broken := &panicking{}
	s := newSite(t, setup{log: broken})
	broken.Log = s.log
	manifest, _ := image("app")
	s.origin.push(t, "app", "1.0", manifest)
	check(t, "GET", s.do("GET", "/v2/registry.test/app/manifests/1.0"), wantError(http.StatusInternalServerError, "UNKNOWN", "internal error", ""))
	lines := s.lines.wait(t, 2)
	if !strings.Contains(lines[0], `"stack":"goroutine `) || !strings.Contains(lines[0], "limit_test.go") ||
		!strings.Contains(lines[1], `"error":"cannot look up the tag: panic: secret reason"`) || !strings.Contains(lines[1], `"verdict":"failed"`) {
		t.Errorf("lines %q", lines)
	}
	if got := s.do("GET", "/v2/registry.test/app/manifests/1.0"); got.status != http.StatusOK {
		t.Error(got)
	}
}

// A panicking log does so once.
type panicking struct {
	front.Log
	after atomic.Bool
}

func (p *panicking) Lookup(ctx context.Context, ref string) ([]record.Sighting, error) {
	if !p.after.Swap(true) {
		panic("secret reason")
	}
	return p.Log.Lookup(ctx, ref)
}

// Without a connection below it, as in other servers' tests, all the same.
func TestNoConnection(t *testing.T) {
	var handler http.Handler
	newSite(t, setup{start: func(h http.Handler) *httptest.Server {
		handler = h
		return httptest.NewServer(h)
	}})
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", "/v2/", strings.NewReader("body")))
	if w.Code != http.StatusOK || w.Body.String() != "{}" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
