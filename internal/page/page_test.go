package page_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

const (
	htmlType = "text/html; charset=utf-8"
	jsonType = "application/json"
)

// The policy names the page's one style, and nothing on any page needs what it
// forbids.
func TestPolicy(t *testing.T) {
	w := &world{}
	h := pages(t, w.config())
	for _, path := range []string{"/", "/tag/alpine:3.16.0", "/tag/alpine@" + one, "/tag/Alpine", "/none"} {
		resp := ask(h, "GET", path)
		html := body(t, resp)
		_, rest, _ := strings.Cut(html, "<style>")
		style, _, ok := strings.Cut(rest, "</style>")
		sum := sha256.Sum256([]byte(style))
		want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
			"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
		if got := resp.Header.Get("Content-Security-Policy"); got != want || !ok || len(style) < 1000 {
			t.Errorf("%s: policy %s, want %s", path, got, want)
		}
		for _, s := range []string{"<script", "<img", "<iframe", " src=", " style=", " onload=", "javascript:", "url(", "@import"} {
			if strings.Contains(html, s) {
				t.Errorf("%s has %q, which its policy forbids", path, s)
			}
		}
		if strings.Count(html, "<h1>") != 1 || !strings.Contains(html, `<html lang="en">`) {
			t.Errorf("%s: not one heading, or no language", path)
		}
	}
}

// What was typed stands in the field to be corrected, if it can be a name.
func TestTyped(t *testing.T) {
	h := pages(t, (&world{}).config())
	for _, test := range []struct {
		path, want string
	}{
		{"/tag/Alpine", "Alpine"},
		{"/tag/?image=Alpine%22", "Alpine&#34;"},
		{"/tag/?image=" + strings.Repeat("A", 1024), strings.Repeat("A", 1024)},
		{"/tag/?image=" + strings.Repeat("A", 1025), ""},
		{"/tag/alpine:3.16.0", "alpine:3.16.0"},
		{"/none", ""},
	} {
		if html := body(t, ask(h, "GET", test.path)); !strings.Contains(html, ` type="text" value="`+test.want+`" `) {
			t.Errorf("%.40s: the field is not %.40q:\n%.3000s", test.path, test.want, html)
		}
	}
}

// What is refused asks nobody anything, and says the same in both forms.
func TestRefusals(t *testing.T) {
	const (
		missing = "there is no such page"
		method  = "only GET and HEAD are answered"
	)
	tests := []struct {
		method, path string
		status       int
		want         string
	}{
		{"GET", "/index.html", http.StatusNotFound, missing},
		{"GET", "//", http.StatusNotFound, missing},
		{"GET", "/v1/", http.StatusNotFound, missing},
		{"GET", "/%2e", http.StatusNotFound, missing},
		{"GET", "/<script>", http.StatusNotFound, missing},
		{"GET", "/tags/alpine", http.StatusNotFound, missing},
		{"HEAD", "/favicon.ico", http.StatusNotFound, missing},
		{"POST", "/other", http.StatusNotFound, missing},
		{"POST", "/", http.StatusMethodNotAllowed, method},
		{"PUT", "/", http.StatusMethodNotAllowed, method},
		{"DELETE", "/tag/alpine:1", http.StatusMethodNotAllowed, method},
		{"OPTIONS", "/", http.StatusMethodNotAllowed, method},
		{"TRACE", "/", http.StatusMethodNotAllowed, method},
		{"get", "/", http.StatusMethodNotAllowed, method},
		{"POST", "/tag/?image=alpine", http.StatusMethodNotAllowed, method},
		{"GET", "/?format=xml", http.StatusBadRequest, "invalid parameter: format: want html or json"},
		{"GET", "/tag/alpine:1?format=json&format=json", http.StatusBadRequest, "invalid parameter: format: want html or json"},
		{"GET", "/tag/?image=", http.StatusBadRequest, "no image name was given"},
		{"GET", "/tag/?image=%20", http.StatusBadRequest, "no image name was given"},
		{"GET", "/tag/?image=Alpine", http.StatusBadRequest, `invalid repository name: "Alpine"`},
		{"GET", "/tag/Alpine", http.StatusBadRequest, `invalid repository name: "Alpine"`},
		{"GET", "/tag/Alpine:1.json", http.StatusBadRequest, `invalid repository name: "Alpine"`},
		{"GET", "/tag//alpine:1", http.StatusBadRequest, `invalid repository name: "/alpine"`},
		{"GET", "/tag/a/../b:1", http.StatusBadRequest, `invalid repository name: "a/../b"`},
		{"GET", "/tag/alpine:-1", http.StatusBadRequest, `invalid tag: "-1"`},
		{"GET", "/tag/alpine:1%0a", http.StatusBadRequest, `invalid tag: "1\n"`},
		{"GET", "/tag/alpine@sha256:12", http.StatusBadRequest, `invalid digest: "sha256:12"`},
		{"GET", "/tag/evil.example:99999/a:1", http.StatusBadRequest, `invalid repository name: "evil.example:99999" has no valid port`},
		{"GET", "/tag/" + front + "/" + front + "/alpine:1", http.StatusBadRequest, "the name leads back to this service: leave its host name out"},
	}
	for _, test := range tests {
		for _, accept := range []string{"text/html", jsonType} {
			t.Run(test.method+" "+test.path+" "+accept, func(t *testing.T) {
				w := &world{}
				c := w.config()
				c.Subject = func(context.Context) (string, error) {
					t.Error("the identity was asked for in vain")
					return "", nil
				}
				resp := ask(pages(t, c), test.method, test.path, "Accept: "+accept)
				got := body(t, resp)
				want := map[string]string{"Cache-Control": "no-store", "Content-Type": htmlType, "Content-Length": resp.Header.Get("Content-Length")}
				if test.status == http.StatusMethodNotAllowed {
					want["Allow"] = "GET, HEAD"
				}
				if accept == jsonType || strings.HasSuffix(test.path, ".json") {
					want["Content-Type"] = jsonType
				}
				checkHeader(t, resp.Header, want)
				if resp.StatusCode != test.status {
					t.Errorf("%s, want %d", resp.Status, test.status)
				}
				switch {
				case test.method == "HEAD":
				case want["Content-Type"] == jsonType:
					if line := `{` + "\n" + `  "error": ` + strconv.Quote(test.want) + "\n}\n"; got != line {
						t.Errorf("%s, want %s", got, line)
					}
				default:
					text := strings.NewReplacer(`"`, "&#34;").Replace(test.want)
					if !strings.Contains(got, `<p class="verdict bad">`+text+"</p>") {
						t.Errorf("%s\nlacks %s", got, text)
					}
				}
				if n := w.lookups.Load() + w.digests.Load() + w.crowds.Load(); n != 0 {
					t.Errorf("%d questions were asked", n)
				}
			})
		}
	}
}
