package page_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tlogistry/tlogistry/internal/limit"
	"github.com/tlogistry/tlogistry/internal/ociref"
	"github.com/tlogistry/tlogistry/internal/page"
	"github.com/tlogistry/tlogistry/internal/record"
)

// never answers when its caller gives up.
func never(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// Everything has a limit: what may be missing five seconds, all of it ten.
func TestSlow(t *testing.T) {
	slow := &world{
		lookup:   func(ctx context.Context, _ string) ([]record.Sighting, error) { return nil, never(ctx) },
		proving:  func(ctx context.Context, _ record.Sighting) (record.Proof, error) { return record.Proof{}, never(ctx) },
		registry: func(ctx context.Context, _ ociref.Request) (string, error) { return "", never(ctx) },
		others:   func(ctx context.Context, _ string, _ int) ([]record.Witness, int, error) { return nil, 0, never(ctx) },
	}
	for _, test := range []struct {
		name  string
		world *world
		took  time.Duration
		says  string
	}{
		{"log", &world{lookup: slow.lookup}, 10 * time.Second, "The log cannot be asked"},
		{"registry", &world{registry: slow.registry}, 5 * time.Second, "registry index.docker.io cannot be asked"},
		{"others", &world{others: slow.others}, 5 * time.Second, "Not known at the moment"},
		{"proof", &world{proving: slow.proving}, 5 * time.Second, "could not be asked for the proof"},
		{"all but the log", &world{registry: slow.registry, others: slow.others, proving: slow.proving}, 10 * time.Second, "could not be asked for the proof"},
		{"all", slow, 10 * time.Second, "The log cannot be asked"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := page.New(test.world.config())
				defer h.Close()
				start := time.Now()
				html := body(t, ask(h, "GET", "/tag/alpine:1"))
				if took := time.Since(start); took != test.took {
					t.Errorf("it took %s, want %s", took, test.took)
				}
				if !strings.Contains(html, test.says) {
					t.Errorf("the page lacks %q:\n%s", test.says, html)
				}
			})
		})
	}
}

// Who asks for one tag at the same moment, or within ten seconds, shares what
// was found out, in whatever form and at whatever host.
func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		w.registry = func(context.Context, ociref.Request) (string, error) {
			time.Sleep(time.Second)
			return one, nil
		}
		h := page.New(w.config())
		defer h.Close()
		count := func(want int64) {
			t.Helper()
			if a, b, c := w.lookups.Load(), w.digests.Load(), w.crowds.Load(); a != want || b != want || c != want {
				t.Errorf("%d look-ups, %d questions to the registry, %d to the crowd, want %d", a, b, c, want)
			}
		}
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				headers := []string{"Host: other.example"}
				if i%2 == 0 {
					headers = []string{"Accept: application/json"}
				}
				if resp := ask(h, "GET", "/tag/alpine:1", headers...); resp.StatusCode != http.StatusOK {
					t.Error(resp.Status)
				}
			})
		}
		all.Wait()
		count(1)
		time.Sleep(8 * time.Second)
		ask(h, "GET", "/tag/alpine:1")
		count(1)
		time.Sleep(time.Second)
		ask(h, "GET", "/tag/alpine:1")
		count(2)
		ask(h, "GET", "/tag/alpine:2")
		count(3)
	})
}

// Requests below /tag/ count, whatever they are answered; others do not.
func TestClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		c := w.config()
		c.Clients = limit.NewClients(2, 0)
		h := page.New(c)
		defer h.Close()
		for _, path := range []string{"/", "/none", "/", "/tag/?image=alpine", "/tag/Alpine"} {
			if resp := ask(h, "GET", path); resp.StatusCode == http.StatusTooManyRequests {
				t.Errorf("%s: %s", path, resp.Status)
			}
		}
		for _, accept := range []string{htmlType, jsonType} {
			resp := ask(h, "GET", "/tag/alpine:1", "Accept: "+accept)
			checkHeader(t, resp.Header, map[string]string{"Cache-Control": "no-store", "Retry-After": "30", "Content-Type": accept, "Content-Length": resp.Header.Get("Content-Length")})
			if text := body(t, resp); resp.StatusCode != http.StatusTooManyRequests || !strings.Contains(text, "this instance allows 2 requests from one address a minute; try again in 30 s") {
				t.Errorf("%s\n%s", resp.Status, text)
			}
		}
		if n := w.lookups.Load(); n != 0 {
			t.Errorf("%d look-ups", n)
		}
		if resp := ask(h, "GET", "/"); resp.StatusCode != http.StatusOK {
			t.Errorf("home: %s", resp.Status)
		}
		time.Sleep(30 * time.Second)
		if resp := ask(h, "GET", "/tag/alpine:1"); resp.StatusCode != http.StatusOK {
			t.Error(resp.Status)
		}
	})
}

// What may not be pulled is not looked up either, in any spelling.
func TestAllow(t *testing.T) {
	var allow []ociref.Pattern
	for _, text := range []string{"docker.io/library/*", "ghcr.io/acme/**"} {
		p, err := ociref.ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		allow = append(allow, p)
	}
	for path, want := range map[string]string{
		"/tag/alpine:1":                 "",
		"/tag/ghcr.io/acme/a/b:1":       "",
		"/tag/acme/app:1":               "index.docker.io/acme/app",
		"/tag/docker.io/acme/app:1":     "index.docker.io/acme/app",
		"/tag/ghcr.io/other/app:1.json": "ghcr.io/other/app",
		"/tag/ghcr.io/other/app@" + one: "ghcr.io/other/app",
		"/tag/127.0.0.1:80/a:1":         "127.0.0.1:80/a",
	} {
		w := &world{}
		c := w.config()
		c.Allow = allow
		resp := ask(pages(t, c), "GET", path)
		text := body(t, resp)
		if want == "" {
			if resp.StatusCode != http.StatusOK || w.lookups.Load() != 1 {
				t.Errorf("%s: %s, %d look-ups", path, resp.Status, w.lookups.Load())
			}
			continue
		}
		if resp.StatusCode != http.StatusForbidden || !strings.Contains(text, "repository "+want+" may not be pulled through this service") {
			t.Errorf("%s: %s\n%s", path, resp.Status, text)
		}
		if n := w.lookups.Load() + w.digests.Load() + w.crowds.Load(); n != 0 {
			t.Errorf("%s: %d questions were asked", path, n)
		}
	}
}

// A registry that redirects here is not led on to itself.
func TestLoop(t *testing.T) {
	w := &world{}
	resp := ask(pages(t, w.config()), "HEAD", "/tag/evil.example/a:1", "CDN-Loop: tlogistry")
	if resp.StatusCode != http.StatusBadRequest || w.digests.Load() != 0 {
		t.Errorf("%s, %d questions to the registry", resp.Status, w.digests.Load())
	}
}

// The log is asked for so many of others' entries and no more.
func TestMostOthers(t *testing.T) {
	asked := 0
	w := &world{others: func(_ context.Context, _ string, most int) ([]record.Witness, int, error) {
		asked = most
		return nil, 7, nil
	}}
	text := body(t, ask(pages(t, w.config()), "GET", "/tag/alpine:1"))
	if asked != 50 || !strings.Contains(text, "7 more entries of the log name this tag") || strings.Contains(text, "Nobody else recorded") {
		t.Errorf("%d\n%s", asked, text)
	}
}

// What strangers can make long is left out.
func TestLong(t *testing.T) {
	long := strings.Repeat("long", 1<<14)
	w := &world{
		proving: func(context.Context, record.Sighting) (record.Proof, error) {
			p := proof()
			p.Checkpoint += long + "."
			return p, nil
		},
		others: crowd(witness(long, "", 50), witness("b@acme.example", one, 51)),
	}
	text := strings.ReplaceAll(body(t, ask(pages(t, w.config()), "GET", "/tag/alpine:1")), "<wbr>", "")
	if strings.Contains(text, "longlong") || !strings.Contains(text, "could not be asked for the proof") || !strings.Contains(text, "b@acme.example") {
		t.Errorf("%.5000s", text)
	}
}
