package front_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/limit"
	"github.com/tlogistry/tlogistry/internal/ready"
)

var health = []string{"Cache-Control", "no-store", "Vary", "Accept"}

// healthy is an answer about health.
func healthy(status int, contentType, body string) answer {
	return want(status, body, append(health, "Content-Type", contentType)...)
}

const plain = "text/plain; charset=utf-8"

// The process answers whatever else fails, however often it is asked, and asks
// nobody.
func TestLive(t *testing.T) {
	down := ready.New(slog.New(slog.DiscardHandler), ready.Part{Name: "log", Check: func(context.Context) error {
		t.Error("the log is asked")
		return errors.New("down")
	}})
	s := newSite(t, setup{ready: down, clients: limit.NewClients(1, 0), allow: []string{"docker.io/nothing"}})
	for range 3 {
		for _, path := range []string{"/healthz", "/health/live", "/healthz?x=y"} {
			s.checkBoth(path, healthy(200, plain, "ok\n"))
		}
	}
	if got := s.do("GET", "/v2/"); got.status != http.StatusOK {
		t.Errorf("health counts for the client's limit: %+v", got)
	}
	s.untouched()
	for _, path := range []string{"/healthz/", "/health", "/health/", "/Healthz", "/health/live/x", "//healthz"} {
		if got := s.do("GET", path); got.status != http.StatusTeapot {
			t.Errorf("%s: %d", path, got.status)
		}
	}
}

func TestReady(t *testing.T) {
	var log, root error // that checks return
	checks := func() *ready.Checker {
		return ready.New(slog.New(slog.DiscardHandler),
			ready.Part{Name: "log", Check: func(context.Context) error { return log }},
			ready.Part{Name: "trusted root", Check: func(context.Context) error { return root }})
	}
	for _, tt := range []struct {
		name       string
		log, root  error
		status     int
		text, json string
	}{
		{"ready", nil, nil, 200, "ready\nlog: ready\ntrusted root: ready\n",
			`{"ready":true,"parts":[{"name":"log","ready":true},{"name":"trusted root","ready":true}]}`},
		{"no log", errors.New("http://user:s3cret@10.0.0.1 is down"), nil, 503, "not ready\nlog: not ready: it fails; the service's log says how\ntrusted root: ready\n",
			`{"ready":false,"parts":[{"name":"log","ready":false,"reason":"it fails; the service's log says how"},{"name":"trusted root","ready":true}]}`},
		{"neither", context.DeadlineExceeded, ready.ErrUnverified, 503, "not ready\nlog: not ready: it does not answer in time\ntrusted root: not ready: its answer cannot be verified\n",
			`{"ready":false,"parts":[{"name":"log","ready":false,"reason":"it does not answer in time"},{"name":"trusted root","ready":false,"reason":"its answer cannot be verified"}]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log, root = tt.log, tt.root
			s := newSite(t, setup{ready: checks(), clients: limit.NewClients(1, 0)})
			for _, path := range []string{"/readyz", "/health/ready"} {
				s.checkBoth(path, healthy(tt.status, plain, tt.text))
				s.checkBoth(path, healthy(tt.status, plain, tt.text), "Accept", "text/html, */*")
				s.checkBoth(path, healthy(tt.status, "application/json", tt.json+"\n"), "Accept", "application/json;q=0.9")
			}
			s.untouched()
			if got := s.do("GET", "/v2/"); got.status != http.StatusOK {
				t.Errorf("health counts for the client's limit: %+v", got)
			}
		})
	}
	s := newSite(t, setup{})
	s.checkBoth("/readyz", healthy(200, plain, "ready\n"))
	s.checkBoth("/readyz", healthy(200, "application/json", `{"ready":true,"parts":[]}`+"\n"), "Accept", "application/json")
}

func TestHealthMethods(t *testing.T) {
	s := newSite(t, setup{ready: ready.New(slog.New(slog.DiscardHandler), ready.Part{Name: "log", Check: func(context.Context) error {
		t.Error("checked")
		return nil
	}})})
	for _, path := range []string{"/healthz", "/readyz", "/health/live", "/health/ready"} {
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
			check(t, method, s.do(method, path), wantError(http.StatusMethodNotAllowed, "UNSUPPORTED",
				"this registry is read-only: only GET and HEAD are answered", "", "Allow", "GET, HEAD"))
		}
	}
}

// Probes have no line of their own, not even those that find something.
func TestHealthLines(t *testing.T) {
	s := newSite(t, setup{ready: ready.New(slog.New(slog.DiscardHandler), ready.Part{Name: "log", Check: func(context.Context) error {
		return errors.New("down")
	}})})
	for _, path := range []string{"/healthz", "/readyz", "/health/live", "/health/ready"} {
		s.do("GET", path)
	}
	s.do("POST", "/readyz")
	s.do("GET", "/v2/")
	s.server.Close() // waits for every handler
	if lines := s.lines.take(); len(lines) != 2 || !strings.Contains(lines[0], `"requestUrl":"/readyz","status":405`) || !strings.Contains(lines[1], `"requestUrl":"/v2/"`) {
		t.Errorf("logged: %q", lines)
	}
}
