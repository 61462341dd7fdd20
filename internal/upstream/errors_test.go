package upstream

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"
)

func TestManifestStatuses(t *testing.T) {
	const body = "\n\n" + `{"errors":[{"code":"X","message":"no\nway"}]}`
	for status, want := range map[int]struct {
		status     int
		code, text string
	}{
		400: {502, "UNAVAILABLE", `registry reg.example answered with status 400`},
		401: {403, "DENIED", `registry reg.example denies anonymous pulls of reg.example/app; it says "no\nway"`},
		403: {403, "DENIED", `registry reg.example denies anonymous pulls of reg.example/app; it says "no\nway"`},
		404: {404, "MANIFEST_UNKNOWN", `reg.example/app:v1 is not known to registry reg.example; it says "no\nway"`},
		410: {404, "MANIFEST_UNKNOWN", `reg.example/app:v1 is not known to registry reg.example; it says "no\nway"`},
		429: {429, "TOOMANYREQUESTS", `registry reg.example limits the requests of this service; it says "no\nway"`},
		451: {403, "DENIED", `registry reg.example denies anonymous pulls of reg.example/app; it says "no\nway"`},
		500: {502, "UNAVAILABLE", `registry reg.example answered with status 500`},
		503: {503, "UNAVAILABLE", `registry reg.example answered with status 503`},
		304: {502, "UNAVAILABLE", `registry reg.example answered with status 304`},
		206: {502, "UNAVAILABLE", `registry reg.example answered with status 206`},
	} {
		w, c := mapped(t, Config{})
		w.open()
		w.serve("/v2/app/manifests/v1", status, digestHeader+": "+blobDigest+"\nRetry-After: 7\nRatelimit-Remaining: 0\nSet-Cookie: a=b"+body)
		_, err := c.Manifest(t.Context(), tag(t))
		wantError(t, err, want.status, want.code, want.text)
		var e *Error
		if errors.As(err, &e) && (e.RetryAfter != "7" || fmt.Sprint(e.Header) != "map[Ratelimit-Remaining:[0]]") {
			t.Errorf("%d: Retry-After is %q, header %v", status, e.RetryAfter, e.Header)
		}
	}
}

func TestUnknownRepositoryKeepsItsCode(t *testing.T) {
	w, c := mapped(t, Config{})
	w.open()
	w.serve("/v2/app/manifests/v1", 404, "\n\n"+`{"errors":[{"code":"NAME_UNKNOWN"}]}`)
	_, err := c.Manifest(t.Context(), tag(t))
	wantError(t, err, 404, "NAME_UNKNOWN", "reg.example/app:v1 is not known to registry reg.example")
}

func TestManifestIsTriedAgain(t *testing.T) {
	// Half a status line, because http.Transport itself tries again where a
	// connection ends before the first byte.
	drop := func(rw http.ResponseWriter) {
		conn, _, err := rw.(http.Hijacker).Hijack()
		if err == nil {
			fmt.Fprint(conn, "HTTP/1.1 2")
			conn.Close()
		}
	}
	for name, test := range map[string]struct {
		fail func(http.ResponseWriter)
		text string
	}{
		"503":    {func(rw http.ResponseWriter) { rw.WriteHeader(503) }, "registry reg.example answered with status 503"},
		"502":    {func(rw http.ResponseWriter) { rw.WriteHeader(502) }, "registry reg.example answered with status 502"},
		"504":    {func(rw http.ResponseWriter) { rw.WriteHeader(504) }, "registry reg.example answered with status 504"},
		"no end": {func(rw http.ResponseWriter) { rw.Header().Set("Content-Length", "9"); fmt.Fprint(rw, "{") }, "registry reg.example gave a bad answer: the answer broke off: unexpected EOF"},
		"drop":   {drop, "registry reg.example cannot be reached: net/http: HTTP/1.x transport connection broken: malformed HTTP status code \"2\""},
	} {
		for _, failures := range []int{2, 3} {
			t.Run(fmt.Sprint(name, failures), func(t *testing.T) {
				w, c := mapped(t, Config{})
				w.open()
				n := 0
				w.mux.HandleFunc("/v2/app/manifests/v1", func(rw http.ResponseWriter, _ *http.Request) {
					if n++; n <= failures {
						test.fail(rw)
						return
					}
					rw.Header().Set("Content-Type", indexType)
					fmt.Fprint(rw, indexJSON)
				})
				_, err := c.Manifest(t.Context(), tag(t))
				switch {
				case failures == 2 && err != nil:
					t.Error(err)
				case failures == 3 && (err == nil || err.Error() != test.text):
					t.Errorf("error is %v, want %s", err, test.text)
				}
				if n != 3 {
					t.Errorf("tried %d times", n)
				}
			})
		}
	}
}

// The limit is one for the whole exchange.
func TestManifestTimeout(t *testing.T) {
	for name, silent := range map[string]string{"manifest": "/v2/app/manifests/v1", "token": "/token", "ping": "/v2/{$}"} {
		t.Run(name, func(t *testing.T) {
			w, c := mapped(t, Config{Timeout: 100 * time.Millisecond})
			w.mux.HandleFunc(silent, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
			if name == "token" {
				w.serve("/v2/{$}", 401, `WWW-Authenticate: Bearer realm="`+w.URL+`/token"`)
			}
			if name == "manifest" {
				w.open()
			}
			_, err := c.Manifest(t.Context(), tag(t))
			var e *Error
			if !errors.As(err, &e) || e.Status != 504 || e.Message != "registry reg.example did not answer in time" {
				t.Errorf("error is %v", err)
			}
		})
	}
}
