package page_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/internal/ociref"
	"github.com/tlogistry/tlogistry/internal/page"
	"github.com/tlogistry/tlogistry/internal/record"
)

const (
	front  = "front.example"
	issuer = "https://issuer.example"
	own    = "recorder@acme.example"
)

var (
	one = "sha256:" + strings.Repeat("1", 64)
	two = "sha256:" + strings.Repeat("2", 64)
	day = time.Date(2026, 11, 24, 17, 27, 34, 0, time.UTC)
)

// A world is a log and a registry that answer what they are told. Each field
// that is nil answers as the recorded tag's would.
type world struct {
	lookup   func(context.Context, string) ([]record.Sighting, error)
	resolve  func(context.Context, record.Sighting, string) (record.Sighting, error)
	proving  func(context.Context, record.Sighting) (record.Proof, error)
	registry func(context.Context, ociref.Request) (string, error)
	others   func(context.Context, string, int) ([]record.Witness, int, error)

	lookups, digests, crowds atomic.Int64 // calls
}

func sighting(ref string) record.Sighting {
	return record.Sighting{Ref: ref, Digest: one, UUID: strings.Repeat("ab", 40), Index: 42, Time: day, By: record.Identity{Issuer: issuer, Subject: own}}
}

func (w *world) Lookup(ctx context.Context, ref string) ([]record.Sighting, error) {
	w.lookups.Add(1)
	if w.lookup != nil {
		return w.lookup(ctx, ref)
	}
	return []record.Sighting{sighting(ref)}, nil
}

func (w *world) Resolve(ctx context.Context, s record.Sighting, digest string) (record.Sighting, error) {
	if w.resolve != nil {
		return w.resolve(ctx, s, digest)
	}
	return s, nil
}

func (w *world) Proof(ctx context.Context, s record.Sighting) (record.Proof, error) {
	if w.proving != nil {
		return w.proving(ctx, s)
	}
	return proof(), nil
}

func proof() record.Proof {
	return record.Proof{
		Checkpoint: "rekor.example - 7\n100\nroot=\n\n\u2014 rekor.example sig=\n",
		Origin:     "rekor.example - 7",
		Size:       100,
		Root:       [32]byte{0xfe},
		Position:   41,
		Certificate: &record.Certificate{
			Identity:  record.Identity{Issuer: issuer, Subject: own},
			Serial:    "0123abcd",
			NotBefore: day.Add(-time.Minute),
			NotAfter:  day.Add(9 * time.Minute),
		},
	}
}

func (w *world) Digest(ctx context.Context, r ociref.Request) (string, error) {
	w.digests.Add(1)
	if w.registry != nil {
		return w.registry(ctx, r)
	}
	return one, nil
}

func (w *world) someOthers(ctx context.Context, ref string, most int) ([]record.Witness, int, error) {
	w.crowds.Add(1)
	if w.others != nil {
		return w.others(ctx, ref, most)
	}
	return nil, 0, nil
}

func witness(subject, digest string, index int64) record.Witness {
	return record.Witness{
		Identity: record.Identity{Issuer: issuer, Subject: subject},
		Sighting: record.Sighting{Digest: digest, UUID: strings.Repeat("cd", 40), Index: index, Time: day.Add(time.Hour)},
	}
}

// config is of an instance on Rekor.
func (w *world) config() page.Config {
	return page.Config{
		Log:      w,
		Registry: w,
		Address:  "https://rekor.example",
		Issuer:   issuer,
		Subject:  subject(own, nil),
		Entry: func(s record.Sighting, _ record.Proof) string {
			return "https://rekor.example/api/v1/log/entries/" + s.UUID
		},
		Others: w.someOthers,
		Flags:  []string{"--rekor", "https://rekor.example"},
	}
}

func (w *world) embedded() page.Config {
	c := w.config()
	c.Address, c.Key = "/tlog/", "tlogistry.local/00+11+22"
	c.Issuer, c.Subject, c.Others, c.Flags = "", nil, nil, nil
	c.Entry = func(record.Sighting, record.Proof) string { return "/tlog/tile/entries/000.p/43" }
	return c
}

func subject(s string, err error) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return s, err }
}

// mutable is a list of patterns that no other test's tag is of.
func mutable(t *testing.T) []ociref.TagPattern {
	t.Helper()
	p, err := ociref.ParseTagPattern("docker.io/library/*:edge")
	if err != nil {
		t.Fatal(err)
	}
	return []ociref.TagPattern{p}
}

// pages returns pages that end with the test.
func pages(t testing.TB, c page.Config) *page.Pages {
	t.Helper()
	p := page.New(c)
	t.Cleanup(p.Close)
	return p
}

// ask makes a request. A header is "Name: value".
func ask(h http.Handler, method, target string, headers ...string) *http.Response {
	r := httptest.NewRequest(method, "http://"+front+"/", nil)
	u, err := url.ParseRequestURI(target) // as net/http's server does
	if err != nil {
		panic(err)
	}
	r.URL = u
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
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

// checkHeader compares all headers but the policy, which is checked to be
// there.
func checkHeader(t *testing.T, h http.Header, want map[string]string) {
	t.Helper()
	h = h.Clone()
	if !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'; style-src 'sha256-") {
		t.Errorf("policy %q", h.Get("Content-Security-Policy"))
	}
	h.Del("Content-Security-Policy")
	for name, value := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Vary": "Accept"} {
		if got := h.Values(name); len(got) != 1 || got[0] != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
		h.Del(name)
	}
	for name, value := range want {
		if got := h.Values(name); len(got) != 1 || got[0] != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
		h.Del(name)
	}
	for name := range h {
		t.Errorf("header that nobody wants: %s: %q", name, h.Values(name))
	}
}
