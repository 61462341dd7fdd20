package page_test

import (
	"context"
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

// What an operator made different from other instances is said.
func TestHomeExceptions(t *testing.T) {
	c := (&world{}).config()
	text := body(t, ask(pages(t, c), "GET", "/"))
	for _, s := range []string{"Whose records count besides", "Tags that may move"} {
		if strings.Contains(text, s) {
			t.Errorf("without any the page has %q", s)
		}
	}
	c.Trusted = []record.Identity{old}
	c.Mutable = mutable(t)
	text = strings.ReplaceAll(body(t, ask(pages(t, c), "GET", "/")), "<wbr>", "")
	for _, s := range []string{
		"<dt>Whose records count besides</dt>\n<dd>old@acme.example of https://issuer.example</dd>\n",
		"<dt>Tags that may move, never recorded</dt>\n<dd><code>docker.io/library/*:edge</code></dd>\n",
	} {
		if !strings.Contains(text, s) {
			t.Errorf("the page lacks %q:\n%s", s, text)
		}
	}
}

func TestHomeJSON(t *testing.T) {
	w := &world{}
	more := w.config()
	more.Trusted = []record.Identity{old}
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

func TestHomeIgnoresQuery(t *testing.T) {
	resp := ask(pages(t, (&world{}).config()), "GET", "/?q=hostile")
	if html := body(t, resp); resp.StatusCode != http.StatusOK || strings.Contains(html, "hostile") {
		t.Errorf("%s, %s", resp.Status, html)
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
		{"trusted", front, func(c *page.Config) { c.Trusted = []record.Identity{{Issuer: hostile, Subject: hostile}} }, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := w.config()
			test.change(&c)
			resp := ask(pages(t, c), "GET", "/", "Host: "+test.host)
			html := strings.ReplaceAll(body(t, resp), "<wbr>", "")
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

// A long identity is broken where a reader would, if it has to be.
func TestBreaks(t *testing.T) {
	for id, want := range map[string]string{
		"tlogistry@acme.iam.gserviceaccount.com": "tlogistry@<wbr>acme<wbr>.iam<wbr>.gserviceaccount.com",
		"https://issuer.example/a?b&c":           "https://issuer.example/a?b&amp;c",
		"tlogistry.registry.of.acme@localhost":   "tlogistry<wbr>.registry<wbr>.of.acme@<wbr>localhost",
		"recorder@acme.example":                  "recorder@acme.example",
	} {
		c := (&world{}).config()
		c.Subject = subject(id, nil)
		if html := body(t, ask(pages(t, c), "GET", "/")); !strings.Contains(html, "<dd>"+want+"</dd>") {
			t.Errorf("the page lacks %s:\n%s", want, html)
		}
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
