package page_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tlogistry/tlogistry/internal/page"
	"github.com/tlogistry/tlogistry/internal/record"
)

const (
	htmlType = "text/html; charset=utf-8"
	jsonType = "application/json"
)

func TestHome(t *testing.T) {
	h := pages(t, (&world{}).config())
	get := ask(h, "GET", "/", "Host: front.example:8080")
	html := body(t, get)
	want := map[string]string{
		"Content-Type":   htmlType,
		"Content-Length": strconv.Itoa(len(html)),
		"Cache-Control":  "no-cache",
	}
	if get.StatusCode != http.StatusOK {
		t.Errorf("GET: %s", get.Status)
	}
	checkHeader(t, get.Header, want)
	for _, s := range []string{
		"docker pull front.example:8080/alpine:3.16.0<",
		"docker pull front.example:8080/ghcr.io/acme/app:v1<",
		"<dd>https://rekor.example</dd>",
		"<dd>recorder@acme.example</dd>",
		"<dd>https://issuer.example</dd>",
		`<form action="/tag/" method="get"`,
		`<label for="image">`,
		`<input id="image" name="image"`,
	} {
		if !strings.Contains(html, s) {
			t.Errorf("the page lacks %q", s)
		}
	}
	head := ask(h, "HEAD", "/", "Host: front.example:8080")
	if head.StatusCode != http.StatusOK {
		t.Errorf("HEAD: %s", head.Status)
	}
	checkHeader(t, head.Header, want)
	if got := body(t, head); got != "" {
		t.Errorf("HEAD has a body of %d bytes", len(got))
	}
}

func TestHomeJSON(t *testing.T) {
	w := &world{}
	more := w.config()
	more.Trusted = []record.Identity{{Issuer: issuer, Subject: "old@acme.example"}}
	more.Mutable = mutable(t)
	for _, test := range []struct {
		name string
		c    page.Config
		want string
	}{
		{"rekor", w.config(), `{
  "log": "https://rekor.example",
  "identity": "recorder@acme.example",
  "issuer": "https://issuer.example"
}
`},
		{"more", more, `{
  "log": "https://rekor.example",
  "identity": "recorder@acme.example",
  "issuer": "https://issuer.example",
  "trusted": [
    {
      "identity": "old@acme.example",
      "issuer": "https://issuer.example"
    }
  ],
  "mutableTags": [
    "docker.io/library/*:edge"
  ]
}
`},
		{"embedded", w.embedded(), `{
  "log": "/tlog/",
  "key": "tlogistry.local/00+11+22"
}
`},
	} {
		t.Run(test.name, func(t *testing.T) {
			resp := ask(pages(t, test.c), "GET", "/", "Accept: application/json")
			if got := body(t, resp); got != test.want || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != jsonType {
				t.Errorf("%s, %s\n%s", resp.Status, resp.Header.Get("Content-Type"), got)
			}
		})
	}
}

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

func TestHomeIgnoresQuery(t *testing.T) {
	resp := ask(pages(t, (&world{}).config()), "GET", "/?q=hostile")
	if html := body(t, resp); resp.StatusCode != http.StatusOK || strings.Contains(html, "hostile") {
		t.Errorf("%s, %s", resp.Status, html)
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

func TestHostileHome(t *testing.T) {
	const (
		hostile = `"'><script>alert(1)</script>&{{.Log}}`
		escaped = `&#34;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;{{.Log}}`
	)
	w := &world{}
	tests := []struct {
		name, host string
		change     func(*page.Config)
		times      int
	}{
		{"host", hostile, func(*page.Config) {}, 0}, // no command is made of it
		{"log", front, func(c *page.Config) { c.Address = hostile }, 1},
		{"issuer", front, func(c *page.Config) { c.Issuer = hostile }, 1},
		{"key", front, func(c *page.Config) { c.Key = hostile }, 1},
		{"identity", front, func(c *page.Config) { c.Subject = subject(hostile, nil) }, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := w.config()
			test.change(&c)
			resp := ask(pages(t, c), "GET", "/", "Host: "+test.host)
			html := body(t, resp)
			if resp.StatusCode != http.StatusOK {
				t.Error(resp.Status)
			}
			if strings.Contains(html, "<script") {
				t.Errorf("a script got in:\n%s", html)
			}
			if n := strings.Count(html, escaped); n != test.times {
				t.Errorf("%d times escaped, want %d:\n%s", n, test.times, html)
			}
			if test.host == hostile && !strings.Contains(html, "docker pull FRONT/alpine:3.16.0<") {
				t.Errorf("no example:\n%s", html)
			}
		})
	}
}

func TestNoIdentity(t *testing.T) {
	for name, f := range map[string]func(context.Context) (string, error){
		"nil":               nil,
		"error":             subject("", errors.New("broken")),
		"text beside error": subject("half", errors.New("broken")),
		"empty":             subject("", nil),
	} {
		t.Run(name, func(t *testing.T) {
			c := (&world{}).config()
			c.Subject = f
			resp := ask(pages(t, c), "GET", "/")
			html := body(t, resp)
			if resp.StatusCode != http.StatusOK || !strings.Contains(html, "<dd>not known at the moment</dd>") {
				t.Errorf("%s\n%s", resp.Status, html)
			}
			if strings.Contains(html, "broken") || strings.Contains(html, "half") {
				t.Errorf("the page tells the error:\n%s", html)
			}
		})
	}
}

// A slow identity delays the page by two seconds and no more.
func TestSlowIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := (&world{}).config()
		c.Subject = func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "late", ctx.Err()
		}
		start := time.Now()
		resp := ask(pages(t, c), "GET", "/")
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("it took %s", took)
		}
		if html := body(t, resp); resp.StatusCode != http.StatusOK || !strings.Contains(html, "<dd>not known at the moment</dd>") {
			t.Errorf("%s\n%s", resp.Status, html)
		}
	})
}

// The identity is asked for in the request's context, and for each page: it
// may be known a moment later.
func TestIdentityPerRequest(t *testing.T) {
	type key struct{}
	asked := 0
	c := (&world{}).config()
	c.Subject = func(ctx context.Context) (string, error) {
		if ctx.Value(key{}) != "value" {
			t.Error("not the request's context")
		}
		asked++
		if asked == 1 {
			return "", errors.New("not yet")
		}
		return own, nil
	}
	h := pages(t, c)
	for _, want := range []string{"<dd>not known at the moment</dd>", "<dd>recorder@acme.example</dd>"} {
		r := httptest.NewRequest("GET", "/", nil)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, "value")))
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}
