package front_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

var (
	tagPath = regexp.MustCompile(`^/v2/.+/manifests/([A-Za-z0-9_][A-Za-z0-9._-]*)$`)
	derived = regexp.MustCompile(`^sha(256|512)-[0-9a-f]{64}(\.[A-Za-z0-9._-]+)?$`)
)

// Whatever is asked, nothing panics, everything is answered and logged once,
// and no tag is served without naming its record.
func FuzzServe(f *testing.F) {
	hex := strings.Repeat("0123456789abcdef", 4)
	for _, path := range []string{
		"/", "/v2", "/v2/", "/v2/alpine/manifests/latest", appPath, blobPath,
		"/v2/registry.test/app/manifests/sha256:" + hex, "/v2/registry.test/app/manifests/sha256-" + hex + ".sig",
		"/v2/registry.test/app/tags/list?n=1", "/v2/registry.test/app/referrers/sha256:" + hex + "?artifactType=x",
		"/v2/registry.test/app%2Fx/manifests/1", "/v2//manifests/1", "/v2/a/manifests/b/manifests/c", "/v2/quay.io/a/b/manifests/1",
		"/v2/registry.test/manifests/manifests/manifests", "*", "http://x/v2/", "/v2/docker.io:443/alpine/manifests/1",
		"/v2/alpine/manifests/1?ns=docker.io", "/v2/app/manifests/1?ns=registry.test", "/v2/app/manifests/1?ns=quay.io&ns", "/v2/app/tags/list?n=1&ns=registry.test",
	} {
		f.Add("GET", path, "localhost:8080", "")
		f.Add("HEAD", path, "registry.test", "bytes=0-1")
		f.Add("POST", path, "", "x")
	}
	// Of what may be pulled here, nothing is asked of the network.
	var handler http.Handler
	s := newSite(f, setup{allow: []string{"registry.test/**", "docker.io/**"}, start: func(h http.Handler) *httptest.Server {
		handler = h
		return httptest.NewServer(h)
	}})
	manifest, _ := image("fuzz")
	s.origin.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		w.Header().Set("Content-Type", manifestType)
		w.Header().Set("Tlog-Uuid", "forged")
		fmt.Fprint(w, manifest)
	})
	f.Fuzz(func(t *testing.T, method, path, host, ranges string) {
		u, err := url.ParseRequestURI(path)
		if err != nil {
			return
		}
		r := (&http.Request{
			Method: method, URL: u, Host: host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{"Range": {ranges}, "Accept": {ranges}}, Body: http.NoBody,
		}).WithContext(t.Context())
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if lines := s.lines.take(); len(lines) != 1 {
			t.Fatalf("%d lines for one request: %q", len(lines), lines)
		}
		tag := tagPath.FindStringSubmatch(u.Path)
		switch {
		case w.Code == http.StatusTeapot:
			if strings.HasPrefix(u.Path, "/v2/") || u.Path == "/v2" {
				t.Errorf("%q went to the home page", path)
			}
		case w.Code == http.StatusInternalServerError:
			t.Errorf("%s %q: %s", method, path, w.Body)
		case method != "GET" && method != "HEAD":
			if w.Code != http.StatusMethodNotAllowed {
				t.Errorf("%s %q: %d", method, path, w.Code)
			}
		case w.Code == http.StatusOK && tag != nil && !derived.MatchString(tag[1]):
			uuid := w.Header().Get("Tlog-Uuid")
			if len(uuid) != 80 || w.Header().Get("Tlog-Logindex") == "" || w.Header().Get("Tlog-Integratedtime") == "" {
				t.Errorf("%s %q is served without a record: %v", method, path, w.Header())
			}
		case w.Header().Get("Tlog-Uuid") != "":
			t.Errorf("%s %q has a record: %v", method, path, w.Header())
		}
		if w.Header().Get("X-Content-Type-Options") != "nosniff" && w.Code != http.StatusTeapot {
			t.Errorf("%s %q: %v", method, path, w.Header())
		}
	})
}
