package front

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/sync/semaphore"

	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/upstream"
)

// A fixedLog has a record of one digest for every tag.
type fixedLog struct{ digest string }

func (l fixedLog) Lookup(_ context.Context, ref string) ([]record.Sighting, error) {
	return []record.Sighting{{Ref: ref, Digest: l.digest, UUID: "u"}}, nil
}

func (l fixedLog) Resolve(_ context.Context, s record.Sighting, _ string) (record.Sighting, error) {
	return s, nil
}

func (l fixedLog) Add(context.Context, string, string) (record.Sighting, error) {
	return record.Sighting{}, record.ErrRecorded
}

// answering returns registries of which registry.test has an answer for whatever
// is asked, as an image index.
func answering(t *testing.T, answer string) *upstream.Client {
	t.Helper()
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(registry.Close)
	at, err := url.Parse(registry.URL)
	if err != nil {
		t.Fatal(err)
	}
	registries := upstream.New(upstream.Config{Mirrors: map[string]*url.URL{"registry.test": at}})
	t.Cleanup(registries.Close)
	return registries
}

// What a client did not get for want of room was not served, whatever the log
// says of the tag.
func TestVerdictWithoutRoom(t *testing.T) {
	manifest := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}` + strings.Repeat(" ", largeAnswer)
	registries := answering(t, manifest)
	var lines bytes.Buffer
	h := New(Options{
		Log:      fixedLog{fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(manifest)))},
		Upstream: registries,
		Logger:   slog.New(slog.NewTextHandler(&lines, nil)),
	})
	for room, want := range map[int64]string{1: "status=503 verdict=limited", largeRoom: "status=200 verdict=served"} {
		lines.Reset()
		h.room = semaphore.NewWeighted(room)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/v2/registry.test/app/manifests/v1", nil))
		status, verdict, _ := strings.Cut(want, " ")
		if got := lines.String(); !strings.Contains(got, "httpRequest."+status) || !strings.Contains(got, verdict) {
			t.Errorf("room %d: %s, want %s", room, got, want)
		}
	}
}

// A recallingLog remembers every tag, and cannot be asked.
type recallingLog struct{ fixedLog }

func (l recallingLog) Recall(ctx context.Context, ref string) ([]record.Sighting, bool) {
	s, err := l.fixedLog.Lookup(ctx, ref)
	return s, err == nil
}

func (recallingLog) Lookup(context.Context, string) ([]record.Sighting, error) {
	return nil, errors.New("the log was asked")
}

// What the log remembers it is not asked for.
func TestRecall(t *testing.T) {
	const manifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`
	registries := answering(t, manifest)
	for text, want := range map[string]int{manifest: http.StatusOK, "another one": http.StatusForbidden} {
		h := New(Options{Log: recallingLog{fixedLog{fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text)))}}, Upstream: registries})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/v2/registry.test/app/manifests/v1", nil))
		if w.Code != want {
			t.Errorf("status %d, want %d: %s", w.Code, want, w.Body)
		}
	}
}
