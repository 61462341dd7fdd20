package rekorlog

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
)

// TestFloodedLookups: what look-ups of flooded tags hold in memory does not
// grow with their number.
func TestFloodedLookups(t *testing.T) {
	const entries = 20
	var bodies []string
	for i := range entries {
		bodies = append(bodies, fmt.Sprintf(`{"n":%d,"pad":"%s"}`, i, strings.Repeat("x", 148<<10)))
	}
	tiny := newTinyLog(t, bodies...)
	u := prepared(t, tiny, entries)
	few, many := liveHeap(t, tiny, u, 2), liveHeap(t, tiny, u, 10)
	t.Logf("live heap at most: %d MiB with 2 look-ups, %d MiB with 10", few>>20, many>>20)
	if many > few+64<<20 {
		t.Errorf("10 look-ups hold %d MiB, 2 hold %d MiB", many>>20, few>>20)
	}
}

// prepared serves the entries of a log without making them anew for each answer.
func prepared(t *testing.T, tiny *tinyLog, n uint64) *url.URL {
	t.Helper()
	var ids []string
	entries := make(map[string][]byte)
	for i := range n {
		id := tiny.uuid(i)
		text, err := json.Marshal(map[string]any{id: tiny.entry(i)})
		if err != nil {
			t.Fatal(err)
		}
		ids, entries[id] = append(ids, id), text
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "index") {
			tiny.answer(w, ids)
			return
		}
		var asked struct{ EntryUUIDs []string }
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		sep := "["
		for _, id := range asked.EntryUUIDs {
			fmt.Fprintf(w, "%s%s", sep, entries[id])
			sep = ","
		}
		fmt.Fprint(w, "]")
	}))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// liveHeap returns how much more is live than before, at most, while n look-ups
// are made at once.
func liveHeap(t *testing.T, tiny *tinyLog, u *url.URL, n int) int64 {
	t.Helper()
	log := New(Config{URL: u, Timeout: time.Minute, Signer: somebody{}, Issuer: "https://issuer.example",
		Trust: newTrust(trustAge, func(context.Context) (root.TrustedMaterial, error) { return tiny.trusted(), nil })})
	defer log.Close()
	before := heap()
	ended := make(chan struct{})
	most := make(chan int64)
	go func() {
		var live int64
		for {
			select {
			case <-ended: // perhaps before anything was measured
				most <- max(live, heap())
				return
			case <-time.After(100 * time.Millisecond):
				live = max(live, heap())
			}
		}
	}()
	var lookups sync.WaitGroup
	for i := range n {
		lookups.Go(func() {
			if _, err := log.Lookup(t.Context(), fmt.Sprintf("index.docker.io/library/app:v%d", i)); err != nil {
				t.Error(err)
			}
		})
	}
	lookups.Wait()
	close(ended)
	live := <-most
	runtime.KeepAlive(log)
	return live - before
}
