package front_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const blob = "the bytes of a layer"

var (
	blobDigest = digestOf(blob)
	blobPath   = "/v2/registry.test/app/blobs/" + blobDigest
	blobHead   = []string{"Content-Type", "application/octet-stream", "Docker-Content-Digest", blobDigest}
)

// blobs answers requests for blobs with h.
func blobs(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/blobs/") {
			h(w, r)
		}
	}
}

// guarded is a registry that wants a token for everything, and answers h to
// those who have it.
func guarded(s *site, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token":
			fmt.Fprint(w, `{"token":"t0ken","expires_in":300}`)
		case r.Header.Get("Authorization") != "Bearer t0ken":
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+s.origin.url.String()+`/token",service="registry.test"`)
			w.WriteHeader(http.StatusUnauthorized)
		default:
			h(w, r)
		}
	}
}

func TestBlobRealRegistry(t *testing.T) {
	s := newSite(t, setup{})
	s.origin.put(t, "POST", "/v2/app/blobs/uploads/?digest="+blobDigest, "application/octet-stream", blob)
	s.checkBoth(blobPath, want(200, blob, blobHead...))
	absent := digestOf("absent")
	for _, m := range []string{"GET", "HEAD"} {
		got := s.do(m, "/v2/registry.test/app/blobs/"+absent)
		says := `; it says "Unknown blob"`
		if m == "HEAD" {
			says = "" // HEAD has no body to say it in
		}
		check(t, m, got, wantError(404, "BLOB_UNKNOWN", "registry.test/app@"+absent+" is not known to registry registry.test"+says, ""))
	}
	s.untouched()
}

// The client is sent where the bytes are, and the token stays here.
func TestBlobRedirect(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := newSite(t, setup{})
		s.origin.answers(guarded(s, blobs(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Set-Cookie", "a=b")
			w.Header().Set("Docker-Content-Digest", digestOf("a lie"))
			w.Header().Set("Location", "https://cdn.example/blob?X-Amz-Signature=abc%2Fdef&x=1")
			w.WriteHeader(status)
			fmt.Fprint(w, "look there")
		})))
		check(t, "GET", s.do("GET", blobPath, "Authorization", "Bearer mine"), want(http.StatusTemporaryRedirect, "",
			"Location", "https://cdn.example/blob?X-Amz-Signature=abc%2Fdef&x=1", "Docker-Content-Digest", blobDigest))
		s.untouched()
	}
}

func TestBlobRedirectHoldsToken(t *testing.T) {
	s := newSite(t, setup{})
	s.origin.answers(guarded(s, blobs(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://cdn.example/blob?auth=%74%30ken", http.StatusFound)
	})))
	check(t, "GET", s.do("GET", blobPath), badAnswer("bad redirect: the address holds the token"))
	if line := s.lines.wait(t, 1)[0]; strings.Contains(line, "t0ken") || strings.Contains(line, "%74") {
		t.Errorf("the token is in the log: %s", line)
	}
}

// A registry that serves the bytes itself, behind a token, is streamed.
func TestBlobStream(t *testing.T) {
	s := newSite(t, setup{})
	s.origin.answers(guarded(s, blobs(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"etag"`)
		w.Header().Set("Content-Type", "text/html")
		http.ServeContent(w, r, "", time.Unix(1e9, 0), strings.NewReader(blob))
	})))
	head := append(blobHead, "Accept-Ranges", "bytes", "Etag", `"etag"`, "Last-Modified", "Sun, 09 Sep 2001 01:46:40 GMT")
	s.checkBoth(blobPath, want(200, blob, head...))

	t.Run("range", func(t *testing.T) {
		w := want(206, blob[4:9], append(head, "Content-Range", "bytes 4-8/20")...)
		s.checkBoth(blobPath, w, "Range", "bytes=4-8")
		s.checkBoth(blobPath, w, "Range", "bytes=4-8", "If-Range", `"etag"`)
		s.checkBoth(blobPath, want(200, blob, head...), "Range", "bytes=4-8", "If-Range", `"older"`)
	})
	t.Run("many ranges", func(t *testing.T) {
		got := s.do("GET", blobPath, "Range", "bytes=0-1,4-5")
		if got.status != 206 || !strings.HasPrefix(got.header.Get("Content-Type"), "multipart/byteranges; boundary=") {
			t.Errorf("%v", got)
		}
	})
	t.Run("beyond", func(t *testing.T) {
		got := s.do("GET", blobPath, "Range", "bytes=100-")
		if got.status != 416 || got.header.Get("Content-Range") != "bytes */20" {
			t.Errorf("%v", got)
		}
	})
	s.untouched()
}

// Where the length is not known, none is told: 0 would be a lie.
func TestBlobOfUnknownLength(t *testing.T) {
	s := newSite(t, setup{})
	s.origin.answers(blobs(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprint(w, blob[:5])
			_ = http.NewResponseController(w).Flush()
			fmt.Fprint(w, blob[5:])
		}
	}))
	check(t, "HEAD", s.do("HEAD", blobPath), want(200, "", blobHead...).without("Content-Length"))
	got := s.do("GET", blobPath)
	if got.status != 200 || got.body != blob || got.header.Get("Docker-Content-Digest") != blobDigest {
		t.Errorf("%v", got)
	}
}

// A blob larger than any buffer arrives whole, and the connection can be used
// again after the deadlines that the stream set have passed.
func TestBlobLarge(t *testing.T) {
	t.Parallel()                  // it waits
	const stall = 2 * time.Second // more than a busy machine stops a client that reads
	s := newSite(t, setup{stall: stall})
	large := strings.Repeat(blob, 1<<17)
	s.origin.answers(blobs(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(large)))
		_, _ = io.WriteString(w, large)
	}))
	var dials atomic.Int32
	one := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	defer one.CloseIdleConnections()
	for i := range 2 {
		if i > 0 {
			<-time.After(stall + stall/10) // the deadline has to pass; there is no event to wait for
		}
		resp, err := (&http.Client{Transport: one, Timeout: patience}).Get(s.url + blobPath)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(body) != large {
			t.Fatalf("%d bytes of %d, %v", len(body), len(large), err)
		}
	}
	if n := dials.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// A stream that breaks off breaks the connection. Nobody may take a part for
// the whole.
func TestBlobBreaksOff(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for _, length := range []bool{true, false} {
			for _, size := range []int{1, 100, 3000, 1 << 20} {
				t.Run(fmt.Sprintf("%s, length told=%v, %d bytes", proto, length, size), func(t *testing.T) {
					t.Parallel()
					start := httptest.NewServer
					if proto == "HTTP/2.0" {
						start = startHTTP2
					}
					s := newSite(t, setup{start: start})
					s.origin.answers(blobs(func(w http.ResponseWriter, r *http.Request) {
						if length {
							w.Header().Set("Content-Length", strconv.Itoa(size+1))
						}
						_, _ = w.Write(bytes.Repeat([]byte("x"), size))
						_ = http.NewResponseController(w).Flush()
						panic(http.ErrAbortHandler)
					}))
					c := s.server.Client()
					c.Timeout = patience
					resp, err := c.Get(s.url + blobPath)
					if err == nil {
						defer resp.Body.Close()
						if resp.Proto != proto {
							t.Fatalf("protocol %s", resp.Proto)
						}
						var body []byte
						body, err = io.ReadAll(resp.Body)
						if err == nil {
							t.Errorf("the client has %d bytes with status %d and no error", len(body), resp.StatusCode)
						}
					}
					line := s.lines.wait(t, 1)[0]
					if !strings.Contains(line, `"severity":"WARNING"`) || !strings.Contains(line, "read the blob: ") {
						t.Errorf("line %s", line)
					}
				})
			}
		}
	}
}

func startHTTP2(h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	s.StartTLS()
	return s
}

// A registry that falls silent in the middle of a blob breaks the connection.
func TestBlobRegistryStalls(t *testing.T) {
	t.Parallel()
	s := newSite(t, setup{timeout: 2 * time.Second}) // the blob's beginning comes within it
	s.origin.answers(blobs(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, blob)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	if got, err := s.send(t.Context(), "GET", blobPath); err == nil {
		t.Errorf("no error: %v", got)
	}
	if line := s.lines.wait(t, 1)[0]; !strings.Contains(line, "nothing came for 2s") {
		t.Errorf("line %s", line)
	}
}

// A client that does not read on is let go, and so is the registry.
func TestBlobClientStalls(t *testing.T) {
	t.Parallel()
	s := newSite(t, setup{stall: 2 * time.Second}) // the answer's header is sent within it
	ended := make(chan struct{})
	s.origin.answers(blobs(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, "GET", s.url+blobPath, nil)
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	line := s.lines.wait(t, 1)[0]
	if !strings.Contains(line, "write to the client: ") || !strings.Contains(line, `"severity":"WARNING"`) {
		t.Errorf("line %s", line)
	}
	select {
	case <-ended:
	case <-ctx.Done():
		t.Error("the registry is still read from")
	}
}

// Where the client goes away, nobody waits for the registry.
func TestBlobClientGoesAway(t *testing.T) {
	s := newSite(t, setup{timeout: 2 * patience})
	arrived, ended := make(chan struct{}), make(chan struct{})
	s.origin.answers(blobs(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(ended)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := s.send(ctx, "GET", blobPath)
		done <- err
	}()
	<-arrived
	cancel()
	if err := <-done; err == nil {
		t.Error("answered")
	}
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("the registry is still waited for")
	}
	if line := s.lines.wait(t, 1)[0]; !strings.Contains(line, `"status":499`) {
		t.Errorf("line %s", line)
	}
}
