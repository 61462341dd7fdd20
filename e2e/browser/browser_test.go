package browser

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// start starts a browser that ends with the test.
func start(t *testing.T) *Browser {
	t.Helper()
	b, err := Start()
	if errors.Is(err, ErrMissing) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// bad is a page with what the steps are to notice.
const bad = `<!doctype html><html><head><title>bad</title><meta name="viewport" content="width=device-width">
<style>dd + dd { margin: 0 } p { color: #999; background: #fff; width: 500px } a { outline: none }
@media (prefers-color-scheme: dark) { p { color: #000 } }</style></head>
<body><p id="text">text</p><img src="none.png"><a href="/there">there</a> <button>press</button>
<dl><dt>name</dt><dd>here</dd><dd>there</dd></dl>
<script>document.getElementById("text").append(" and script")</script></body></html>`

// What a page does wrong is noticed. Else the tests of the pages show nothing.
func TestNotices(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/policy":
			w.Header().Set("Content-Security-Policy", "default-src 'none'")
		case "/gone":
			w.WriteHeader(http.StatusGone)
		}
		w.Write([]byte(bad))
	}))
	defer s.Close()
	b := start(t)

	p := open(t, b, View{Width: 360})
	if status, err := p.Go(s.URL + "/gone"); err != nil || status != http.StatusGone {
		t.Errorf("status %d, %v", status, err)
	}
	if n, err := p.Overflow(); err != nil || n < 140 {
		t.Errorf("%d pixels too wide, %v", n, err)
	}
	if text, err := p.Text(); err != nil || !strings.Contains(text, "text and script") {
		t.Errorf("text %q, %v", text, err)
	}
	list, err := p.Violations()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"color-contrast", "html-has-lang", "image-alt", "landmark-one-main"} {
		if !slices.ContainsFunc(list, func(v string) bool { return strings.HasPrefix(v, id+" ") }) {
			t.Errorf("no %s in %q", id, list)
		}
	}
	if list, err = p.Unaligned(); err != nil || !slices.Equal(list, []string{"there"}) {
		t.Errorf("unaligned %q, %v", list, err)
	}
	walk, err := p.Walk(9)
	if want := []string{"a there (focus does not show)", "button press"}; err != nil || !slices.Equal(walk, want) {
		t.Errorf("walk %q, %v, want %q", walk, err, want)
	}
	if w := p.Wrongs(); len(w) != 0 {
		t.Errorf("wrong: %q", w)
	}

	p = open(t, b, View{Width: 1280, Dark: true})
	if _, err := p.Go(s.URL + "/policy"); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"style", "script"} {
		stopped := func() bool {
			return slices.ContainsFunc(p.Wrongs(), func(v string) bool {
				return strings.Contains(v, "inline "+what) && strings.Contains(v, "Content Security Policy")
			})
		}
		for deadline := time.Now().Add(10 * time.Second); !stopped() && time.Now().Before(deadline); { // it is told by an event
			time.Sleep(10 * time.Millisecond)
		}
		if !stopped() {
			t.Errorf("nothing is wrong with the %s: %q", what, p.Wrongs())
		}
	}
	if n, err := p.Overflow(); err != nil || n != 0 {
		t.Errorf("%d pixels too wide, %v", n, err)
	}

	p = open(t, b, View{Width: 1280, Dark: true})
	if _, err := p.Go(s.URL); err != nil {
		t.Fatal(err)
	}
	if list, err = p.Violations(); err != nil || slices.ContainsFunc(list, func(v string) bool { return strings.HasPrefix(v, "color-contrast ") }) {
		t.Errorf("black on white is too faint: %q, %v", list, err)
	}
}

// Without JavaScript no script of a page runs, and the steps still work.
func TestNoScript(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(bad)) }))
	defer s.Close()
	p := open(t, start(t), View{Width: 1280, NoScript: true})
	if _, err := p.Go(s.URL); err != nil {
		t.Fatal(err)
	}
	if text, err := p.Text(); err != nil || !strings.Contains(text, "text") || strings.Contains(text, "script") {
		t.Errorf("text %q, %v", text, err)
	}
	if err := p.Press("\t"); err != nil {
		t.Fatal(err)
	}
	if status, err := p.Enter(""); err != nil || status != http.StatusOK {
		t.Errorf("status %d, %v", status, err)
	}
	if at, err := p.Location(); err != nil || at != s.URL+"/there" {
		t.Errorf("at %s, %v", at, err)
	}
}

func open(t *testing.T, b *Browser, v View) *Page {
	t.Helper()
	p, err := b.Open(v)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}
