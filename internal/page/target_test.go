package page_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Every spelling leads to one page, by one redirect at most.
func TestSpellings(t *testing.T) {
	derived := "sha256-" + strings.Repeat("0", 64) + ".sig"
	tests := []struct {
		path   string
		status int // 200, or that of the redirect
		to     string
	}{
		{"/tag/alpine:3.16.0", 200, ""},
		{"/tag/alpine", 308, "/tag/alpine:latest"},
		{"/tag/alpine%3A3.16.0", 308, "/tag/alpine:3.16.0"},
		{"/tag/library/alpine:3.16.0", 308, "/tag/alpine:3.16.0"},
		{"/tag/docker.io/alpine:3.16.0", 308, "/tag/alpine:3.16.0"},
		{"/tag/docker.io/library/alpine:3.16.0", 308, "/tag/alpine:3.16.0"},
		{"/tag/index.docker.io/library/alpine:3.16.0", 308, "/tag/alpine:3.16.0"},
		{"/tag/registry-1.docker.io/library/alpine:3.16.0", 308, "/tag/alpine:3.16.0"},
		{"/tag/docker.io:443/library/alpine:3.16.0", 308, "/tag/alpine:3.16.0"},
		{"/tag/" + front + "/alpine:3.16.0", 308, "/tag/alpine:3.16.0"},
		{"/tag/acme/app:v1", 200, ""},
		{"/tag/docker.io/acme/app:v1", 308, "/tag/acme/app:v1"},
		{"/tag/ghcr.io/acme/app:v1", 200, ""},
		{"/tag/ghcr.io:443/acme/app:v1", 308, "/tag/ghcr.io/acme/app:v1"},
		{"/tag/localhost:5000/app:v1", 200, ""},
		// Names on the Hub that would be another's without the Hub's.
		{"/tag/library/acme/app:v1", 200, ""},
		{"/tag/docker.io/library/ghcr.io/app:v1", 308, "/tag/library/ghcr.io/app:v1"},
		{"/tag/docker.io/ghcr.io/app:v1", 200, ""},
		{"/tag/index.docker.io/localhost/app:v1", 308, "/tag/docker.io/localhost/app:v1"},
		{"/tag/docker.io/library:v1", 308, "/tag/library:v1"},
		// Digests and derived tags.
		{"/tag/alpine@" + one, 200, ""},
		{"/tag/alpine:3.16.0@" + one, 308, "/tag/alpine@" + one},
		{"/tag/alpine:" + derived, 200, ""},
		// JSON by its ending, after a tag or digest alone.
		{"/tag/alpine:3.16.0.json", 200, ""},
		{"/tag/library/alpine:3.16.0.json", 308, "/tag/alpine:3.16.0.json"},
		{"/tag/alpine@" + one + ".json", 200, ""},
		{"/tag/alpine.json", 308, "/tag/alpine.json:latest"},
		{"/tag/localhost:5000/app.json", 308, "/tag/localhost:5000/app.json:latest"},
		// Or by the parameter, with which .json is the tag's.
		{"/tag/alpine:3.16.0?format=json", 200, ""},
		{"/tag/library/alpine?format=json", 308, "/tag/alpine:latest?format=json"},
		{"/tag/app:x.json?format=html", 200, ""},
		{"/tag/app:x.json?format=json", 200, ""},
		{"/tag/app:x.json.json", 200, ""},
		{"/tag/library/app:x.json?format=html", 308, "/tag/app:x.json?format=html"},
		{"/tag/alpine:1?other=1", 200, ""},
		// What the form sends.
		{"/tag/?image=alpine:3.16.0", 303, "/tag/alpine:3.16.0"},
		{"/tag?image=alpine:3.16.0", 303, "/tag/alpine:3.16.0"},
		{"/tag/?image=+docker.io%2Flibrary%2Falpine%3A3.16.0+", 303, "/tag/alpine:3.16.0"},
		{"/tag/?image=" + front + "/ghcr.io/acme/app", 303, "/tag/ghcr.io/acme/app:latest"},
		{"/tag/?image=app:x.json", 303, "/tag/app:x.json?format=html"},
		{"/tag/?image=app.json", 303, "/tag/app.json:latest"},
		{"/tag/?image=app:x.json&format=json", 303, "/tag/app:x.json?format=json"},
		{"/tag/?image=app:1&format=json", 303, "/tag/app:1?format=json"},
		{"/tag/?image=alpine@" + one, 303, "/tag/alpine@" + one},
		{"/tag/", 303, "/"},
		{"/tag", 303, "/"},
	}
	w := &world{}
	h := pages(t, w.config())
	for _, test := range tests {
		t.Run(test.path, func(t *testing.T) {
			resp := ask(h, "GET", test.path)
			if to := resp.Header.Get("Location"); resp.StatusCode != test.status || to != test.to {
				t.Fatalf("%s to %q, want %d to %q", resp.Status, to, test.status, test.to)
			}
			if test.to == "" {
				return
			}
			cache := map[int]string{303: "no-store", 308: "public, max-age=3600"}[test.status]
			checkHeader(t, resp.Header, map[string]string{"Location": test.to, "Cache-Control": cache, "Content-Length": "0"})
			if again := ask(h, "GET", test.to); again.StatusCode != http.StatusOK {
				t.Errorf("%s leads to %s to %q", test.to, again.Status, again.Header.Get("Location"))
			}
		})
	}
}

// The form of an answer, by Accept where the address does not say it.
func TestForms(t *testing.T) {
	w := &world{}
	h := pages(t, w.config())
	for _, test := range []struct{ path, accept, want string }{
		{"/tag/app:1", "", htmlType},
		{"/tag/app:1", "*/*", htmlType},
		{"/tag/app:1", "application/*", htmlType},
		{"/tag/app:1", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", htmlType},
		{"/tag/app:1", "application/json", jsonType},
		{"/tag/app:1", "Application/JSON; charset=utf-8", jsonType},
		{"/tag/app:1", "application/json, text/html", htmlType},
		{"/tag/app:1", "application/json, text/html;q=0.9", jsonType},
		{"/tag/app:1", "application/json;q=0.5, text/html;q=0.9", htmlType},
		{"/tag/app:1", "application/json;q=0", htmlType},
		{"/tag/app:1", "application/json;q=none", htmlType},
		{"/tag/app:1", ",;,", htmlType},
		{"/tag/app:1.json", "text/html", jsonType},
		{"/tag/app:1?format=json", "text/html", jsonType},
		{"/tag/app:1.json?format=html", "application/json", htmlType},
		{"/tag/app:1?format=html", "application/json", htmlType},
	} {
		resp := ask(h, "GET", test.path, "Accept: "+test.accept)
		if got := resp.Header.Get("Content-Type"); got != test.want || resp.StatusCode != http.StatusOK {
			t.Errorf("%s, Accept %q: %s %s, want %s", test.path, test.accept, resp.Status, got, test.want)
		}
	}
}

// A tag that ends in .json is told from the form, everywhere a page links to.
func TestLinksOfForms(t *testing.T) {
	h := pages(t, (&world{}).config())
	for path, want := range map[string][2]string{
		"/tag/app:1":                  {"/tag/app:1", "/tag/app:1.json"},
		"/tag/app:1?format=html":      {"/tag/app:1", "/tag/app:1.json"},
		"/tag/app:x.json?format=html": {"/tag/app:x.json?format=html", "/tag/app:x.json?format=json"},
		"/tag/app@" + one:             {"/tag/app@" + one, "/tag/app@" + one + ".json"},
	} {
		html := body(t, ask(h, "GET", path))
		for _, s := range []string{`<link rel="canonical" href="` + want[0] + `">`, `<a href="` + want[1] + `" type="application/json">`} {
			if !strings.Contains(html, s) {
				t.Errorf("%s lacks %s", path, s)
			}
		}
		name := strings.TrimPrefix(strings.TrimSuffix(path, "?format=html"), "/tag/")
		if !strings.Contains(html, "<h1>"+name+"</h1>") || !strings.Contains(html, ` value="`+name+`" `) {
			t.Errorf("%s is not about %s", path, name)
		}
	}
}

// Whatever is typed or asked for: an answer without a crash, a redirect that
// stays here and leads to a page, and no script.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{"alpine", "alpine:3.16.0", "docker.io/library/ghcr.io/app:v1", "app:x.json", "a@" + one, front + "/a:1", "//evil.example/a", "a:1?format=json", "<script>alert(1)</script>", "..", "a:1#b", "\r\nX: y", "ghcr.io:443/a/b:c.json.json", "localhost/a"} {
		f.Add(s)
	}
	w := &world{}
	h := pages(f, w.config())
	f.Fuzz(func(t *testing.T, text string) {
		for _, target := range []string{"/tag/?image=" + url.QueryEscape(text), "/tag/" + (&url.URL{Path: text}).EscapedPath(), "/tag/" + (&url.URL{Path: text}).EscapedPath() + ".json"} {
			resp := ask(h, "GET", target)
			if strings.Contains(body(t, resp), "<script") {
				t.Errorf("%q: a script got in", target)
			}
			to := resp.Header.Get("Location")
			switch resp.StatusCode {
			case 200, 400:
				continue
			case 303, 308:
			default:
				t.Errorf("%q: %s", target, resp.Status)
			}
			if to == "/" {
				continue
			}
			if !strings.HasPrefix(to, "/tag/") || strings.ContainsAny(to, "\r\n\\<>\"' ") {
				t.Fatalf("%q leads to %q", target, to)
			}
			again := ask(h, "GET", to)
			if again.StatusCode != 200 && again.StatusCode != 400 { // 400: this service's own name is left
				t.Errorf("%q leads to %q: %s to %q", target, to, again.Status, again.Header.Get("Location"))
			}
		}
	})
}
