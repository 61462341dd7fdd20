package upstream

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// A digest is asked for by HEAD, and by GET where that tells nothing.
func TestDigest(t *testing.T) {
	digest := sum([]byte(indexJSON))
	said := func(status int, header string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			if header != "" {
				rw.Header().Set(digestHeader, header)
			}
			rw.WriteHeader(status)
		}
	}
	for _, test := range []struct {
		name   string
		head   http.HandlerFunc
		asks   []string
		digest string
		status int
		code   string
		text   string
	}{
		{name: "HEAD", head: said(200, digest), asks: []string{"HEAD"}, digest: digest},
		{name: "HEAD with no digest", head: said(200, ""), asks: []string{"HEAD", "GET"}, digest: digest},
		{name: "HEAD with a bad digest", head: said(200, "<script>"), asks: []string{"HEAD", "GET"}, digest: digest},
		{name: "no HEAD", head: said(405, ""), asks: []string{"HEAD", "GET"}, digest: digest},
		{name: "HEAD denied", head: said(403, ""), asks: []string{"HEAD", "GET"}, digest: digest},
		{name: "none", head: said(404, digest), asks: []string{"HEAD"}, status: 404, code: "MANIFEST_UNKNOWN", text: "reg.example/app:v1 is not known to registry reg.example"},
		{name: "limited", head: said(429, ""), asks: []string{"HEAD"}, status: 429, code: "TOOMANYREQUESTS", text: "registry reg.example limits the requests of this service"},
		{name: "broken", head: said(500, ""), asks: []string{"HEAD"}, status: 502, code: "UNAVAILABLE", text: "registry reg.example answered with status 500"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, c := mapped(t, Config{})
			w.open()
			w.mux.HandleFunc("HEAD /v2/app/manifests/v1", test.head)
			w.mux.HandleFunc("GET /v2/app/manifests/v1", func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", indexType)
				fmt.Fprint(rw, indexJSON)
			})
			got, err := c.Digest(t.Context(), tag(t))
			if got != test.digest {
				t.Errorf("digest %q, want %q", got, test.digest)
			}
			if test.text != "" {
				wantError(t, err, test.status, test.code, test.text)
			} else if err != nil {
				t.Error(err)
			}
			asked := w.requests()
			for i := range test.asks {
				test.asks[i] += " /v2/app/manifests/v1"
			}
			want(t, asked, append([]string{"GET /v2/"}, test.asks...)...)
		})
	}
}

// The guard and the time limit are those of manifests.
func TestDigestLimits(t *testing.T) {
	c := New(Config{})
	defer c.Close()
	_, err := c.Digest(t.Context(), request(t, "/v2/127.0.0.1:5000/app/manifests/v1"))
	wantError(t, err, 403, "DENIED", "registry 127.0.0.1:5000 is at an address that this service does not connect to: "+unwrapped(err))

	w, slow := mapped(t, Config{Timeout: 20 * time.Millisecond})
	w.open()
	release := make(chan struct{})
	w.mux.HandleFunc("/v2/app/manifests/v1", func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	_, err = slow.Digest(t.Context(), tag(t))
	wantError(t, err, 504, "UNAVAILABLE", "registry reg.example did not answer in time: "+unwrapped(err))
}

// unwrapped returns the text of an error's cause.
func unwrapped(err error) string {
	if e, ok := err.(*Error); ok && e.Err != nil {
		return e.Err.Error()
	}
	return ""
}
