package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/e2e/browser"
	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// startBrowser starts a browser that ends with the test.
func startBrowser(t *testing.T) *browser.Browser {
	t.Helper()
	b, err := browser.Start()
	if errors.Is(err, browser.ErrMissing) && os.Getenv("CI") != "true" {
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

// A pageWorld has tags in every state that a page shows, by one instance, and
// another one by another identity.
type pageWorld struct {
	*rekorWorld
	svc, local *service
	trusting   *service // of the other identity: it trusts ours, and exempts a tag
	fulcio     *sigstore.Proxy

	same, moved, named logged // ours
}

func newPageWorld(t *testing.T) *pageWorld {
	t.Helper()
	w := &pageWorld{rekorWorld: newRekorWorld(t, sigstore.Options{})}
	w.fulcio = proxied(t, w.FulcioURL)
	host, err := w.OtherMetadata(otherEmail)
	if err != nil {
		t.Fatal(err)
	}
	us, them := w.direct(t), w.direct(t, "GCE_METADATA_HOST="+host)
	for _, tag := range []string{"same", "moved", "gone", "foreign", "x.json"} {
		w.tag(t, tag, w.one)
	}
	w.tag(t, "new", w.two)
	w.tag(t, "unseen", w.two)
	w.same, w.moved, w.named = pulled(t, us, "same", w.one), pulled(t, us, "moved", w.one), pulled(t, us, "x.json", w.one)
	pulled(t, us, "gone", w.one)
	pulled(t, them, "same", w.one)
	w.tag(t, "moved", w.two)
	pulled(t, them, "moved", w.two)
	pulled(t, them, "foreign", w.one)
	if err := w.registry.Remove("library/app", "gone"); err != nil {
		t.Fatal(err)
	}
	us.stop(t)
	w.settled(t)
	// What looks is another process, which has seen none of it.
	w.svc = w.behind(t, "FULCIO_URL="+w.fulcio.URL)
	w.trusting = w.behind(t, append(as(t, w.Sigstore, otherEmail, sigstore.DefaultEmail),
		"FULCIO_URL="+w.fulcio.URL, "MUTABLE_TAGS=docker.io/library/*:un*,ghcr.io/acme/**:nightly-*")...)
	w.local = start(t, "TLOG_DIR="+filepath.Join(t.TempDir(), "log"), "UPSTREAMS="+w.registry.Upstreams())
	pulled(t, w.local, "same", w.one)
	return w
}

// shots is where pictures are kept.
func shots(t *testing.T) string {
	dir := os.Getenv("TLOGISTRY_SCREENSHOTS")
	if dir == "" {
		dir = t.ArtifactDir()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A seen is a page as the test of all pages looks at it. One that differs from
// others in its text alone is seen at one width in one scheme, and at the other
// width in the other.
type seen struct {
	name   string
	likes  bool // others look like it
	url    string
	status int64
	says   []string
}

func (w *pageWorld) pages() []seen {
	return []seen{
		{"home", false, w.svc.url + "/", 200, []string{"docker pull " + w.svc.host + "/alpine:3.16.0", sigstore.DefaultEmail, w.IssuerURL, w.rekor.URL}},
		{"same", false, w.svc.url + "/tag/app:same", 200, []string{"Same.", w.one, fmt.Sprint(w.same.index), w.same.uuid, sigstore.DefaultEmail, otherEmail}},
		{"moved", false, w.svc.url + "/tag/app:moved", 200, []string{"Moved.", w.one, w.two, w.moved.uuid, otherEmail, "other"}},
		{"gone", true, w.svc.url + "/tag/app:gone", 200, []string{"Recorded.", w.one, "index.docker.io/library/app:gone is not known to registry index.docker.io"}},
		{"new", false, w.svc.url + "/tag/app:new", 200, []string{"Never recorded.", w.two, "Nobody else recorded this tag"}},
		{"foreign", true, w.svc.url + "/tag/app:foreign", 200, []string{"Never recorded.", w.one, otherEmail, "same"}},
		{"digest", true, w.svc.url + "/tag/app@" + w.one, 200, []string{"A digest, never recorded."}},
		{"derived", true, w.svc.url + "/tag/app:sha256-" + strings.Repeat("0", 64) + ".sig", 200, []string{"Never recorded.", "derived from a digest"}},
		{"bad", false, w.svc.url + "/tag/App:1", 400, []string{`Invalid repository name: "App"`}},
		{"local", false, w.local.url + "/tag/app:same", 200, []string{"Same.", "tlogistry.local/", "--tlog " + w.local.url + "/tlog/ --key tlogistry.local/"}},
		{"trusting-home", false, w.trusting.url + "/", 200, []string{otherEmail, sigstore.DefaultEmail + " of " + w.IssuerURL, "docker.io/library/*:un*", "ghcr.io/acme/**:nightly-*"}},
		{"trusted", true, w.trusting.url + "/tag/app:moved", 200, []string{"Moved.", "Recorded by", sigstore.DefaultEmail + " of " + w.IssuerURL, w.moved.uuid, "--trusted " + w.IssuerURL + "=" + sigstore.DefaultEmail}},
		{"exempt", true, w.trusting.url + "/tag/app:unseen", 200, []string{"Exempt, not recorded.", "Pull, unchecked"}},
		{"local-home", true, w.local.url + "/", 200, []string{"/tlog/", "tlogistry.local/"}},
	}
}

// TestPages looks at every page in headless Chromium: as a person does on a
// telephone and at a desk, in both colour schemes, by keyboard alone and
// without JavaScript; and has axe-core look for what keeps people out. To look
// makes nothing: no record, no certificate.
func TestPages(t *testing.T) {
	b := startBrowser(t)
	w := newPageWorld(t)
	w.rekor.Reset()
	pages := w.pages()
	look := func(t *testing.T, pages []seen) {
		dir := shots(t)
		for _, width := range []int{360, 1280} {
			for _, dark := range []bool{false, true} {
				v := browser.View{Width: width, Dark: dark}
				p := openPage(t, b, v)
				for _, s := range pages {
					if s.likes && dark != (width > 600) {
						continue
					}
					s.check(t, p, filepath.Join(dir, s.name+"-"+v.String()+".png"))
				}
				p.Close()
			}
		}
	}
	t.Run("states", func(t *testing.T) { look(t, pages) })
	t.Run("keyboard", func(t *testing.T) { w.walk(t, b) })
	t.Run("no script", func(t *testing.T) { w.withoutScript(t, b) })
	for request, n := range w.rekor.Counts() {
		if request == "POST "+createPath {
			t.Errorf("%d entries were written by looking", n)
		}
	}
	if n := w.fulcio.Count(); n != 0 {
		t.Errorf("%d certificates were asked for by looking", n)
	}
	t.Run("log down", func(t *testing.T) {
		w.rekor.Down()
		look(t, []seen{{"down", false, w.svc.url + "/tag/app:unseen", 503, []string{"The log cannot be asked", "try again later"}}})
	})
}

func openPage(t *testing.T, b *browser.Browser, v browser.View) *browser.Page {
	t.Helper()
	p, err := b.Open(v)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// check goes to a page and looks at it.
func (s seen) check(t *testing.T, p *browser.Page, picture string) {
	t.Helper()
	status, err := p.Go(s.url)
	if err != nil {
		t.Fatal(err)
	}
	if status != s.status {
		t.Errorf("%s: status %d, want %d", s.name, status, s.status)
	}
	text, err := p.Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range s.says {
		if !strings.Contains(text, want) {
			t.Errorf("%s does not say %q:\n%s", s.name, want, text)
		}
	}
	if n, err := p.Overflow(); n != 0 || err != nil {
		t.Errorf("%s is %d pixels too wide, %v", s.name, n, err)
	}
	if list, err := p.Unaligned(); len(list) != 0 || err != nil {
		t.Errorf("%s: not in one column: %q, %v", s.name, list, err)
	}
	violations, err := p.Violations()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range violations {
		t.Errorf("%s: axe: %s", s.name, v)
	}
	for _, wrong := range p.Wrongs() {
		t.Errorf("%s: the browser: %s", s.name, wrong)
	}
	if err := p.Screenshot(picture); err != nil {
		t.Fatal(err)
	}
}

// walk goes through pages by Tab.
func (w *pageWorld) walk(t *testing.T, b *browser.Browser) {
	for _, c := range []struct {
		path string
		want []string
	}{
		{"/", []string{"a Skip to the content", "input Image name", "button Look up"}},
		{"/tag/app:moved", []string{"a Skip to the content", "a tlogistry", "input Image name", "button Look up",
			"a " + (w.rekor.URL + createPath + "/" + w.moved.uuid)[:60], "a This page as JSON"}},
		{"/tag/App", []string{"a Skip to the content", "a tlogistry", "input Image name", "button Look up"}},
	} {
		p := openPage(t, b, browser.View{Width: 360})
		if _, err := p.Go(w.svc.url + c.path); err != nil {
			t.Fatal(err)
		}
		got, err := p.Walk(20)
		for i := range got {
			got[i] = strings.TrimSpace(got[i])
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v, want %q", c.path, got, err, c.want)
		}
		p.Close()
	}
}

// withoutScript finds a tag from the home page without JavaScript and mouse.
func (w *pageWorld) withoutScript(t *testing.T, b *browser.Browser) {
	p := openPage(t, b, browser.View{Width: 360, NoScript: true})
	for _, c := range []struct{ typed, path, title string }{
		{"index.docker.io/library/app:same", "/tag/app:same", "Same."},
		{w.svc.host + "/app:moved", "/tag/app:moved", "Moved."},
		{"app:new.json", "/tag/app:new.json?format=html", "Never recorded."},
	} {
		if _, err := p.Go(w.svc.url + "/"); err != nil {
			t.Fatal(err)
		}
		if err := p.Press("\t\t"); err != nil {
			t.Fatal(err)
		}
		status, err := p.Enter(c.typed)
		if err != nil || status != http.StatusOK {
			t.Fatalf("%s: status %d, %v", c.typed, status, err)
		}
		at, err := p.Location()
		if err != nil || at != w.svc.url+c.path {
			t.Errorf("%s leads to %s, %v, want %s", c.typed, at, err, c.path)
		}
		if text, err := p.Text(); err != nil || !strings.Contains(text, c.title) {
			t.Errorf("%s: %q, %v, want %s", c.typed, text, err, c.title)
		}
	}
}
