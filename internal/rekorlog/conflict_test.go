package rekorlog

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sigstore/rekor/pkg/generated/models"
)

// TestConflictsAreBounded: entries that the log names instead of making them are
// fetched as all others are, however many writes there are at once.
func TestConflictsAreBounded(t *testing.T) {
	const writes = 5 * gathering
	var proposed, asked atomic.Int32
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/entries") {
			proposed.Add(1)
			w.Header().Set("Location", "/api/v1/log/entries/"+tree1+leafA)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusConflict)
			w.Write([]byte(`{}`))
			return
		}
		asked.Add(1)
		<-release
		w.WriteHeader(http.StatusNotFound)
	}))
	defer server.Close()
	log := distrusting(t, server.URL)
	var callers sync.WaitGroup
	for range writes {
		callers.Go(func() {
			if _, _, err := log.write(t.Context(), draft{ref: someRef}); err == nil {
				t.Error("what is not there was written")
			}
		})
	}
	for proposed.Load() < writes || asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond) // for more
	if n := asked.Load(); n > gathering {
		t.Errorf("%d requests at once, want at most %d", n, gathering)
	}
	close(release)
	callers.Wait()
}

// TestCreateAnswerIsBounded: as many answers to creates may be in memory as there
// are writes, so each is no longer than a record can make it.
func TestCreateAnswerIsBounded(t *testing.T) {
	for size, want := range map[int]error{maxLeaf / 2: nil, maxLeaf: errTooLong} {
		c := serve(t, 5*time.Second, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintf(w, `{"%s":{"body":"%s"}}`, tree1+leafA, strings.Repeat("a", size))
		})
		if _, _, err := c.create(t.Context(), &models.DSSE{APIVersion: new("0.0.1")}); !errors.Is(err, want) {
			t.Errorf("%d bytes: got %v, want %v", size, err, want)
		}
	}
}
