package page_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tlogistry/tlogistry/internal/ociref"
	"github.com/tlogistry/tlogistry/internal/page"
	"github.com/tlogistry/tlogistry/internal/record"
)

// A mistake in asking for a part leaves that part out, and says so.
func TestPanic(t *testing.T) {
	for part, test := range map[string]struct {
		world *world
		says  string
	}{
		"registry": {&world{registry: func(context.Context, ociref.Request) (string, error) { panic("secret detail") }}, "Cannot be told: registry index.docker.io cannot be asked"},
		"others": {&world{others: func(context.Context, string, int) ([]record.Witness, int, error) { panic("secret detail") }},
			"Not known at the moment: the log could not be asked in time"},
	} {
		t.Run(part, func(t *testing.T) {
			var log bytes.Buffer
			c := test.world.config()
			c.Logger = slog.New(slog.NewTextHandler(&log, nil))
			resp := ask(pages(t, c), "GET", "/tag/alpine:1")
			if text := body(t, resp); resp.StatusCode != http.StatusOK || !strings.Contains(text, test.says) || strings.Contains(text, "secret") {
				t.Errorf("%s\n%s", resp.Status, text)
			}
			if !strings.Contains(log.String(), `level=ERROR msg=panic error="secret detail"`) {
				t.Errorf("the log says %s", &log)
			}
		})
	}
}

// Where the log cannot be asked there is no page, and the next one asks again.
// What the registry still has to say is not waited for.
func TestLogDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := true
		w := &world{
			lookup: func(_ context.Context, ref string) ([]record.Sighting, error) {
				if down {
					return nil, errors.New("secret detail")
				}
				return []record.Sighting{sighting(ref)}, nil
			},
			registry: func(ctx context.Context, _ ociref.Request) (string, error) { return "", never(ctx) },
			others:   func(ctx context.Context, _ string, _ int) ([]record.Witness, int, error) { return nil, 0, never(ctx) },
		}
		h := page.New(w.config())
		defer h.Close()
		for _, accept := range []string{htmlType, jsonType} {
			start := time.Now()
			resp := ask(h, "GET", "/tag/alpine:1", "Accept: "+accept)
			text := body(t, resp)
			checkHeader(t, resp.Header, map[string]string{"Cache-Control": "no-store", "Retry-After": "10", "Content-Type": accept, "Content-Length": resp.Header.Get("Content-Length")})
			if resp.StatusCode != http.StatusServiceUnavailable || strings.Contains(text, "secret") || !strings.Contains(text, "the transparency log could not be asked for this tag") {
				t.Errorf("%s\n%s", resp.Status, text)
			}
			if took := time.Since(start); took != 0 {
				t.Errorf("it took %s", took)
			}
		}
		down = false
		if resp := ask(h, "GET", "/tag/alpine:1"); resp.StatusCode != http.StatusOK {
			t.Error(resp.Status)
		}
	})
}

// Without its identity an instance cannot tell others from itself.
func TestOthersWithoutIdentity(t *testing.T) {
	w := &world{}
	c := w.config()
	c.Subject = subject("", errors.New("secret detail"))
	text := body(t, ask(pages(t, c), "GET", "/tag/alpine:1"))
	if !strings.Contains(text, "Not known at the moment") || strings.Contains(text, "secret") || w.crowds.Load() != 0 {
		t.Errorf("%d\n%s", w.crowds.Load(), text)
	}
	// verify would not know either whose records to look for.
	if strings.Contains(text, "tlogistry verify") {
		t.Errorf("a line to verify without an identity:\n%s", text)
	}
}

// Whoever goes away before there is a page is no error of the service.
func TestGoneAway(t *testing.T) {
	w := &world{}
	for gone, lines := range map[bool]int{true: 0, false: 1} {
		var log bytes.Buffer
		c := w.config()
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))
		ctx, cancel := context.WithCancel(t.Context())
		w.lookup = func(context.Context, string) ([]record.Sighting, error) {
			if gone {
				cancel()
			}
			return nil, errors.New("log is down")
		}
		r := httptest.NewRequest("GET", "/tag/alpine:1", nil).WithContext(ctx)
		pages(t, c).ServeHTTP(httptest.NewRecorder(), r)
		cancel()
		if got := strings.Count(log.String(), "no tag page"); got != lines {
			t.Errorf("gone %v: %d lines, want %d\n%s", gone, got, lines, &log)
		}
	}
}
