package rekorlog

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tlogistry/tlogistry/internal/record"
)

// TestResolveIsBounded: who names the digests of many tags at once has no more
// requests for entries under way than who looks them up.
func TestResolveIsBounded(t *testing.T) {
	var asked atomic.Int32
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		<-release
		w.WriteHeader(http.StatusNotFound)
	}))
	defer server.Close()
	log := distrusting(t, server.URL)
	var callers sync.WaitGroup
	for i := range 5 * gathering {
		s := sighting(i)
		s.Digest, s.By = "", record.Identity{Issuer: "https://issuer.example", Subject: "somebody@example.com"}
		callers.Go(func() {
			if _, err := log.Resolve(t.Context(), s, "sha256:"+leafA); err == nil {
				t.Error("what is not there was named")
			}
		})
		callers.Go(func() {
			if _, err := log.Proof(t.Context(), s); err == nil {
				t.Error("what is not there was proved")
			}
		})
	}
	for asked.Load() < gathering {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond) // for more
	if n := asked.Load(); n != gathering {
		t.Errorf("%d requests at once, want %d", n, gathering)
	}
	close(release)
	callers.Wait()
}

// TestGatherEnds: what every look-up has given up is not fetched on: a log that
// is slow would keep others from asking long after it is slow no more.
func TestGatherEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const long = 30 * time.Minute
		fetch := func(ctx context.Context, ids []string) (entriesByID, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(long):
				return nil, errors.New("too late")
			}
		}
		g := &gatherer{fetch: fetch}
		start := time.Now()
		var callers sync.WaitGroup
		for i := range 4 * gathering {
			callers.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*time.Second)
				defer cancel()
				if _, err := gathered(ctx, g, fmt.Sprint(i)); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
			})
			synctest.Wait()
		}
		callers.Wait()
		g.close()
		if took := time.Since(start); took != 4*gathering*time.Second {
			t.Errorf("it goes on for %v, want %v", took, 4*gathering*time.Second)
		}
	})
}
