package upstream

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

const blobPath = "/v2/app/blobs/" + blobDigest

func TestBlobOfOpenRegistryIsNotAskedFor(t *testing.T) {
	w, c := unmapped(t, Config{})
	w.open()
	for range 2 {
		b, err := c.Blob(t.Context(), "GET", blob(t, "reg.example.com"), http.Header{"Range": {"bytes=0-1"}})
		if err != nil {
			t.Fatal(err)
		}
		if b.Location != "https://reg.example.com"+blobPath || b.Body != nil {
			t.Errorf("blob is %+v", b)
		}
	}
	want(t, w.requests(), "GET reg.example.com/v2/")
}

func TestBlobRedirectIsHandedOn(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		for location, want := range map[string]string{
			"https://cdn.example.com/b?sig=a%2Fb": "https://cdn.example.com/b?sig=a%2Fb",
			"/signed?sig=x":                       "https://reg.example.com/signed?sig=x",
		} {
			w, c := unmapped(t, Config{})
			w.gate("https://auth.example.com/token", `{"token":"good"}`)
			w.mux.Handle(blobPath, http.RedirectHandler(location, status))
			b, err := c.Blob(t.Context(), "GET", blob(t, "reg.example.com"), nil)
			if err != nil {
				t.Fatal(err)
			}
			if b.Location != want || b.Body != nil {
				t.Errorf("blob is %+v, want %s", b, want)
			}
			if n := len(w.take()); n != 3 { // ping, token, blob
				t.Errorf("%d requests", n)
			}
		}
	}
}

func TestBlobRedirectThatIsNotHandedOn(t *testing.T) {
	for location, text := range map[string]string{
		"http://cdn.example.com/b":  `bad redirect: scheme "http"`,
		"https://127.0.0.1/b":       `bad redirect: "127.0.0.1" is not on the public internet`,
		"https://u:p@cdn.example/b": `bad redirect: the address has a user or a fragment, or no host`,
		"":                          `http: no Location header in response`,
	} {
		w, c := unmapped(t, Config{})
		w.gate("https://reg.example.com/token", `{"token":"good"}`)
		w.mux.HandleFunc(blobPath, func(rw http.ResponseWriter, _ *http.Request) {
			if location != "" {
				rw.Header().Set("Location", location)
			}
			rw.WriteHeader(307)
		})
		_, err := c.Blob(t.Context(), "GET", blob(t, "reg.example.com"), nil)
		if text = "registry reg.example.com gave a bad answer: " + text; location == "" {
			text = strings.Replace(text, "answer: ", "answer: bad redirect: ", 1)
		}
		wantError(t, err, 502, "UNAVAILABLE", text)
	}
}

// Where the registry answers with the bytes, they are streamed, with what the
// client may know of the header.
func TestBlobIsStreamed(t *testing.T) {
	for name, start := range map[string]func(*testing.T, Config) (*world, *Client){"mapped": mapped, "unmapped": unmapped} {
		t.Run(name, func(t *testing.T) {
			w, c := start(t, Config{})
			host := "reg.example"
			if name == "unmapped" {
				host = "reg.example.com"
				w.gate("https://reg.example.com/token", `{"token":"good"}`)
			} else {
				w.open()
			}
			w.mux.HandleFunc(blobPath, func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Set-Cookie", "a=b")
				rw.Header().Set("Content-Type", "text/html")
				rw.Header().Set("Content-Encoding", "gzip")
				rw.Header().Set("ETag", `"e"`)
				http.ServeContent(rw, r, "", time.Time{}, strings.NewReader("0123456789"))
			})
			for _, test := range []struct {
				ask          http.Header
				status       int
				body, header string
			}{
				{nil, 200, "0123456789", `map[Accept-Ranges:[bytes] Content-Type:[application/octet-stream] Docker-Content-Digest:[` + blobDigest + `] Etag:["e"]]`},
				{http.Header{"Range": {"bytes=2-4"}, "If-Range": {`"e"`}, "Cookie": {"a=b"}, "Authorization": {"Basic eA=="}, "Accept": {"x/y"}}, 206, "234",
					`map[Accept-Ranges:[bytes] Content-Range:[bytes 2-4/10] Content-Type:[application/octet-stream] Docker-Content-Digest:[` + blobDigest + `] Etag:["e"]]`},
				{http.Header{"Range": {"bytes=2-4"}, "If-Range": {`"other"`}}, 200, "0123456789",
					`map[Accept-Ranges:[bytes] Content-Type:[application/octet-stream] Docker-Content-Digest:[` + blobDigest + `] Etag:["e"]]`},
				{http.Header{"Range": {"bytes=99-"}}, 416, "invalid range: failed to overlap\n",
					`map[Content-Range:[bytes */10] Content-Type:[application/octet-stream] Docker-Content-Digest:[` + blobDigest + `]]`},
			} {
				b, err := c.Blob(t.Context(), "GET", blob(t, host), test.ask)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(b.Body)
				if err != nil {
					t.Error(err)
				}
				if err := b.Body.Close(); err != nil {
					t.Error(err)
				}
				b.Header.Del("Content-Length")
				if b.Status != test.status || string(body) != test.body || fmt.Sprint(b.Header) != test.header {
					t.Errorf("%v: %d %q\n%v\nwant %d %q\n%s", test.ask, b.Status, body, b.Header, test.status, test.body, test.header)
				}
				seen := w.take()
				r := seen[len(seen)-1]
				if r.Header.Get("Range") != test.ask.Get("Range") || r.Header.Get("If-Range") != test.ask.Get("If-Range") ||
					r.Header.Get("Cookie") != "" || r.Header.Get("Accept") != "" || strings.HasPrefix(r.Header.Get("Authorization"), "Basic") {
					t.Errorf("the registry got %v", r.Header)
				}
			}
		})
	}
}

func TestBlobOfSeveralRanges(t *testing.T) {
	w, c := mapped(t, Config{})
	w.open()
	w.mux.HandleFunc(blobPath, func(rw http.ResponseWriter, r *http.Request) {
		http.ServeContent(rw, r, "", time.Time{}, strings.NewReader("0123456789"))
	})
	b, err := c.Blob(t.Context(), "GET", blob(t, "reg.example"), http.Header{"Range": {"bytes=0-0,5-6"}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Body.Close()
	if kind := b.Header.Get("Content-Type"); b.Status != 206 || !strings.HasPrefix(kind, "multipart/byteranges; boundary=") {
		t.Errorf("%d %s", b.Status, kind)
	}
	long := http.Header{"Range": {"bytes=" + strings.Repeat("0-0,", maxRange) + "1-1"}}
	b, err = c.Blob(t.Context(), "GET", blob(t, "reg.example"), long)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Body.Close()
	seen := w.take()
	if b.Status != 200 || seen[len(seen)-1].Header.Get("Range") != "" {
		t.Errorf("a range of %d bytes: %d", len(long.Get("Range")), b.Status)
	}
}

func TestBlobType(t *testing.T) {
	long := "multipart/byteranges; boundary=" + strings.Repeat("a", maxValue)
	for said, want := range map[string]string{
		"":                                 "application/octet-stream",
		"text/html":                        "application/octet-stream",
		"multipart/byteranges":             "multipart/byteranges",
		"multipart/byteranges; boundary=x": "multipart/byteranges; boundary=x",
		"multipart/byteranges; boundary":   "application/octet-stream",
		long[:maxValue]:                    long[:maxValue],
		long[:maxValue+1]:                  "application/octet-stream",
	} {
		if got := blobType(said); got != want {
			t.Errorf("%q: %q, want %q", said, got, want)
		}
	}
}

// A mapped registry's redirects to itself may lead nowhere for a client.
func TestBlobOfMappedRegistry(t *testing.T) {
	w, c := mapped(t, Config{})
	w.gate(w.URL+"/token", `{"token":"good"}`)
	w.mux.Handle(blobPath, http.RedirectHandler("/hop/0", http.StatusTemporaryRedirect))
	end := "/bytes"
	w.mux.HandleFunc("/hop/{n}", func(rw http.ResponseWriter, r *http.Request) { hop(2, end)(rw, r) })
	w.serve("/bytes", 200, "\n\nbytes")
	b, err := c.Blob(t.Context(), "GET", blob(t, "reg.example"), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(b.Body)
	if err != nil || string(body) != "bytes" || b.Location != "" {
		t.Errorf("%q, %v, %q", body, err, b.Location)
	}
	b.Body.Close()
	for _, r := range w.take() {
		if got, want := r.Header.Get("Authorization") != "", r.URL.Path == blobPath; got != want {
			t.Errorf("%s has the token: %v", r.URL, got)
		}
	}

	end = "http://localhost:1/elsewhere?sig=x"
	b, err = c.Blob(t.Context(), "GET", blob(t, "reg.example"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b.Location != end || b.Body != nil {
		t.Errorf("blob is %+v", b)
	}
}

func TestBlobErrors(t *testing.T) {
	for status, want := range map[int]struct {
		status     int
		code, text string
	}{
		404: {404, "BLOB_UNKNOWN", "reg.example/app@" + blobDigest + " is not known to registry reg.example"},
		403: {403, "DENIED", "registry reg.example denies anonymous pulls of reg.example/app"},
		206: {502, "UNAVAILABLE", "registry reg.example gave a bad answer: status 206, but no range was asked for"},
		500: {502, "UNAVAILABLE", "registry reg.example answered with status 500"},
	} {
		w, c := mapped(t, Config{})
		w.open()
		w.serve(blobPath, status, "")
		for _, method := range []string{"GET", "HEAD"} {
			_, err := c.Blob(t.Context(), method, blob(t, "reg.example"), nil)
			wantError(t, err, want.status, want.code, want.text)
		}
	}
}

func TestBlobHead(t *testing.T) {
	for name, test := range map[string]struct {
		head int
		want []string
	}{
		"answered":    {200, []string{"HEAD " + blobPath}},
		"redirected":  {307, []string{"HEAD " + blobPath, "HEAD /bytes"}},
		"401":         {401, []string{"HEAD " + blobPath, "GET " + blobPath, "GET /bytes"}},
		"403":         {403, []string{"HEAD " + blobPath, "GET " + blobPath, "GET /bytes"}},
		"not allowed": {405, []string{"HEAD " + blobPath, "GET " + blobPath, "GET /bytes"}},
	} {
		t.Run(name, func(t *testing.T) {
			w, c := mapped(t, Config{})
			w.open()
			w.mux.HandleFunc(blobPath, func(rw http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == "GET" || test.head == 307:
					http.Redirect(rw, r, "/bytes", http.StatusTemporaryRedirect)
				case test.head == 200:
					rw.Header().Set("Content-Length", "1234567890")
				default:
					rw.WriteHeader(test.head)
				}
			})
			w.mux.HandleFunc("/bytes", func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Length", "1234567890")
				_, _ = io.WriteString(rw, "only the header counts")
			})
			if _, err := c.authorize(t.Context(), c.registry("reg.example"), "app"); err != nil {
				t.Fatal(err)
			}
			w.take()
			b, err := c.Blob(t.Context(), "HEAD", blob(t, "reg.example"), nil)
			if err != nil {
				t.Fatal(err)
			}
			if b.Body != nil || b.Location != "" || b.Status != 200 || b.Header.Get("Content-Length") != "1234567890" {
				t.Errorf("blob is %+v", b)
			}
			want(t, w.requests(), test.want...)
		})
	}
}

// A HEAD that is refused because the token is too old succeeds, too.
func TestBlobHeadWithOldToken(t *testing.T) {
	w, c := mapped(t, Config{})
	w.gate(w.URL+"/token", `{"token":"old","expires_in":300}`, `{"token":"new","expires_in":300}`)
	w.serveTo(blobPath, "new")
	if _, err := c.Blob(t.Context(), "HEAD", blob(t, "reg.example"), nil); err != nil {
		t.Error(err)
	}
}

// A mapped registry may redirect HEAD to a host that the guard keeps the
// service from, and that its clients reach.
func TestBlobHeadOfMappedRegistryElsewhere(t *testing.T) {
	w, c := mapped(t, Config{})
	const store = "http://10.1.2.3:9000/blob?signature=1"
	w.mux.Handle(blobPath, http.RedirectHandler(store, http.StatusTemporaryRedirect))
	w.mux.HandleFunc("/v2/", func(http.ResponseWriter, *http.Request) {})
	b, err := c.Blob(t.Context(), http.MethodHead, blob(t, "reg.example"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b.Location != store {
		t.Errorf("got location %q, want %q", b.Location, store)
	}
}
