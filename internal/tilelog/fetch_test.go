package tilelog_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// A failure that passes is not one; one that lasts is not damage.
func TestReaderAsksAgain(t *testing.T) {
	s := newSample(t)
	var asked, failures atomic.Int64
	static := http.FileServer(http.Dir(s.dir + "/log"))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) <= failures.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		static.ServeHTTP(w, r)
	}))
	defer server.Close()
	r := mustReader(t, server.URL, s.vkey)
	for n, ok := range map[int64]bool{2: true, 3: false} {
		asked.Store(0)
		failures.Store(n)
		_, err := r.Checkpoint(t.Context())
		if (err == nil) != ok || errors.Is(err, tilelog.ErrDamaged) {
			t.Errorf("%d failures: %v", n, err)
		}
		if !ok && !strings.Contains(err.Error(), "503 Service Unavailable") {
			t.Error(err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	failures.Store(0)
	if _, err := r.Checkpoint(gone); err == nil {
		t.Error("the caller is gone and was answered")
	}
	cp, err := r.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Records(gone, cp, func(int64, []byte, tilelog.Record, error) error { return nil }); err == nil || errors.Is(err, tilelog.ErrDamaged) {
		t.Errorf("the caller is gone: %v", err)
	}
}

// No answer, however long, fills the memory.
func TestReaderBounds(t *testing.T) {
	s := newSample(t)
	static := http.FileServer(http.Dir(s.dir + "/log"))
	for _, path := range []string{"/checkpoint", "/tile/0/001", "/tile/entries/001"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != path {
				static.ServeHTTP(w, r)
				return
			}
			chunk := make([]byte, 1<<20)
			for range 64 {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}))
		err := auditAll(t.Context(), mustReader(t, server.URL, s.vkey))
		if err == nil || !strings.Contains(err.Error(), "the answer has more than 16777472 bytes") {
			t.Errorf("%s: %v", path, err)
		}
		server.Close()
	}
}
