package page_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tlogistry/tlogistry/internal/page"
)

func subject(s string, err error) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return s, err }
}

func ask(h http.Handler, method, path, host string) *http.Response {
	r := httptest.NewRequest(method, "http://front.example"+path, nil)
	r.Host = host
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func config() page.Config {
	return page.Config{
		Log:     "https://rekor.example",
		Issuer:  "https://issuer.example",
		Subject: subject("recorder@acme.example", nil),
	}
}

const policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func checkHeader(t *testing.T, h http.Header, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got := h.Values(name); len(got) != 1 || got[0] != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	for name := range h {
		if _, ok := want[name]; !ok {
			t.Errorf("header that nobody wants: %s: %q", name, h.Values(name))
		}
	}
}

func TestHome(t *testing.T) {
	get := ask(page.New(config()), "GET", "/", "front.example:8080")
	html := body(t, get)
	want := map[string]string{
		"Content-Type":            "text/html; charset=utf-8",
		"Content-Length":          strconv.Itoa(len(html)),
		"Content-Security-Policy": policy,
		"X-Content-Type-Options":  "nosniff",
		"Referrer-Policy":         "no-referrer",
	}
	if get.StatusCode != http.StatusOK {
		t.Errorf("GET: %s", get.Status)
	}
	checkHeader(t, get.Header, want)
	for _, s := range []string{
		"docker pull front.example:8080/alpine:3.16.0\n",
		"docker pull front.example:8080/ghcr.io/OWNER/IMAGE:TAG<",
		"<dd>https://rekor.example</dd>",
		"<dd>recorder@acme.example</dd>",
		"<dd>https://issuer.example</dd>",
	} {
		if !strings.Contains(html, s) {
			t.Errorf("the page lacks %q", s)
		}
	}
	// What the policy forbids would not work.
	for _, s := range []string{"<script", "<form", "<img", "<link", "<iframe", " src=", " onload="} {
		if strings.Contains(html, s) {
			t.Errorf("the page has %q, which its policy forbids", s)
		}
	}

	head := ask(page.New(config()), "HEAD", "/", "front.example:8080")
	if head.StatusCode != http.StatusOK {
		t.Errorf("HEAD: %s", head.Status)
	}
	checkHeader(t, head.Header, want)
	if got := body(t, head); got != "" {
		t.Errorf("HEAD has a body of %d bytes", len(got))
	}
}

func TestHomeIgnoresQuery(t *testing.T) {
	resp := ask(page.New(config()), "GET", "/?q=hostile", "front.example")
	if html := body(t, resp); resp.StatusCode != http.StatusOK || strings.Contains(html, "hostile") {
		t.Errorf("%s, %s", resp.Status, html)
	}
}

func TestRefusals(t *testing.T) {
	const (
		missing = "not found\n"
		method  = "only GET and HEAD are answered\n"
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
		{"HEAD", "/favicon.ico", http.StatusNotFound, missing},
		{"POST", "/other", http.StatusNotFound, missing},
		{"POST", "/", http.StatusMethodNotAllowed, method},
		{"PUT", "/", http.StatusMethodNotAllowed, method},
		{"DELETE", "/", http.StatusMethodNotAllowed, method},
		{"OPTIONS", "/", http.StatusMethodNotAllowed, method},
		{"TRACE", "/", http.StatusMethodNotAllowed, method},
		{"get", "/", http.StatusMethodNotAllowed, method},
	}
	for _, test := range tests {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			c := config()
			c.Subject = func(context.Context) (string, error) {
				t.Error("the identity was asked for in vain")
				return "", nil
			}
			resp := ask(page.New(c), test.method, test.path, "front.example")
			if got := body(t, resp); resp.StatusCode != test.status || got != test.want {
				t.Errorf("%d %q, want %d %q", resp.StatusCode, got, test.status, test.want)
			}
			want := map[string]string{
				"Content-Type":            "text/plain; charset=utf-8",
				"Content-Security-Policy": policy,
				"X-Content-Type-Options":  "nosniff",
				"Referrer-Policy":         "no-referrer",
			}
			if test.status == http.StatusMethodNotAllowed {
				want["Allow"] = "GET, HEAD"
			}
			checkHeader(t, resp.Header, want)
		})
	}
}

func TestHostileText(t *testing.T) {
	const (
		hostile = `"'><script>alert(1)</script>&{{.Log}}`
		escaped = `&#34;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;{{.Log}}`
	)
	tests := []struct {
		name, host string
		c          page.Config
		times      int
	}{
		{"host", hostile, page.Config{Log: "a", Issuer: "b"}, 2},
		{"log", "a", page.Config{Log: hostile, Issuer: "b"}, 1},
		{"issuer", "a", page.Config{Log: "b", Issuer: hostile}, 1},
		{"identity", "a", page.Config{Log: "b", Subject: subject(hostile, nil)}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			resp := ask(page.New(test.c), "GET", "/", test.host)
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
			c := config()
			c.Subject = f
			resp := ask(page.New(c), "GET", "/", "front.example")
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
		c := config()
		c.Subject = func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "late", ctx.Err()
		}
		start := time.Now()
		resp := ask(page.New(c), "GET", "/", "front.example")
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
	c := config()
	c.Subject = func(ctx context.Context) (string, error) {
		if ctx.Value(key{}) != "value" {
			t.Error("not the request's context")
		}
		asked++
		if asked == 1 {
			return "", errors.New("not yet")
		}
		return "recorder@acme.example", nil
	}
	h := page.New(c)
	for _, want := range []string{"<dd>not known at the moment</dd>", "<dd>recorder@acme.example</dd>"} {
		r := httptest.NewRequest("GET", "/", nil)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, "value")))
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}
