package rekorlog

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/tlogistry/tlogistry/internal/flight"
)

// TestHangingRefresh: while a newer trusted root hangs, nobody waits for it who
// has an old one, however many they are; they begin one load, which ends by its
// limit, and then none until the pause is over.
func TestHangingRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &loader{}
		trust := newTrust(trustAge, l.load)
		old, err := trust.Material(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * 24 * time.Hour)
		l.is(true, nil)
		began := time.Now()
		goroutines := runtime.NumGoroutine()
		for range 1000 {
			trust.Prepare(t.Context())
			if tm, err := trust.Material(t.Context()); tm != old || err != nil {
				t.Fatalf("got %v, %v; want the trusted root held", tm, err)
			}
			synctest.Wait()
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("they waited %v", took)
		}
		if n := runtime.NumGoroutine() - goroutines; n > 5 {
			t.Errorf("%d goroutines wait for what nobody waits for", n)
		}
		check := func(begun, ended int) {
			t.Helper()
			trust.Prepare(t.Context())
			synctest.Wait()
			if b, e := l.counts(); b != begun || e != ended {
				t.Errorf("after %v: %d loads, %d of them ended; want %d, %d", time.Since(began), b, e, begun, ended)
			}
		}
		check(2, 1)
		time.Sleep(2*trustLimit - time.Second)
		check(2, 1)
		time.Sleep(2 * time.Second)
		check(2, 2)
		time.Sleep(trustPause - 2*time.Second)
		check(2, 2)
		time.Sleep(2 * time.Second)
		check(3, 2)
		trust.Close()
		if took := time.Since(began) - 2*trustLimit - trustPause; took > 2*time.Second {
			t.Errorf("the end took %v", took)
		}
		if b, e := l.counts(); b != 3 || e != 3 {
			t.Errorf("after the end: %d loads, %d of them ended; want 3, 3", b, e)
		}
		if tm, err := trust.Material(t.Context()); tm != old || err != nil {
			t.Errorf("after the end: %v, %v; want the trusted root held", tm, err)
		}
		// One that was about to begin.
		time.Sleep(trustPause + time.Second)
		if _, err := trust.fetch(trustAge)(t.Context()); !errors.Is(err, flight.ErrClosed) {
			t.Errorf("a load after the end: %v, want %v", err, flight.ErrClosed)
		}
		synctest.Wait()
		if b, _ := l.counts(); b != 3 {
			t.Errorf("after the end a load has begun")
		}
	})
}

// TestJudgeWaits: what an old trusted root does not trust is not judged before
// there is a newer one. Who gives up waiting for that is told that it cannot be
// told.
func TestJudgeWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &loader{}
		trust := newTrust(trustAge, l.load)
		defer trust.Close()
		old, err := trust.Material(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(trustAge + time.Second)
		l.is(true, nil)
		for _, tc := range []struct {
			name        string
			limit, want time.Duration
		}{
			{"the caller gives up", time.Second, time.Second},
			{"the load does", time.Hour, 2*trustLimit - time.Second},
			{"it has just failed", time.Hour, 0},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), tc.limit)
			began := time.Now()
			err := trust.judge(ctx, func(tm root.TrustedMaterial) error {
				if tm != old {
					t.Errorf("%s: judged by %v", tc.name, tm)
				}
				return fmt.Errorf("entry: %w", errUntrusted)
			})
			cancel()
			if took := time.Since(began); !errors.Is(err, errUntrusted) || !errors.Is(err, errOutdated) || took != tc.want {
				t.Errorf("%s: got %v after %v, want %v and %v after %v", tc.name, err, took, errUntrusted, errOutdated, tc.want)
			}
		}
	})
}

// TestLookupWaitsForTrust: an entry that may be a record by a newer trusted root
// is not passed over because that hangs, and the tag is not unseen.
func TestLookupWaitsForTrust(t *testing.T) {
	tiny := newTinyLog(t, untrustedBody(t))
	hang := false
	log := tiny.open(func(ctx context.Context) (root.TrustedMaterial, error) {
		if hang {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return tiny.trusted(), nil
	})
	const ref = "index.docker.io/library/app:v1"
	if found, err := log.look(t.Context(), ref); err != nil || len(found) != 0 {
		t.Fatalf("by a new trusted root: %v, %v; want none", found, err)
	}
	log.foreign.Purge()
	log.c.Trust.loaded = time.Now().Add(-staleTrust - time.Minute)
	hang = true
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // the log answers within it
	defer cancel()
	if found, err := log.look(ctx, ref); !errors.Is(err, errOutdated) {
		t.Errorf("while a newer one hangs: %v, %v; want %v", found, err, errOutdated)
	}
	if n := log.foreign.Len(); n != 0 {
		t.Errorf("%d entries are taken for foreign", n)
	}
}

// TestTUFEnds: the end of the process waits neither for a repository that
// hangs nor for its connections.
func TestTUFEnds(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	trust := TUFTrust(TUF{URL: server.URL})
	trust.current, trust.loaded = new(root.TrustedRoot), time.Now().Add(-2*trustAge)
	if tm, err := trust.Material(t.Context()); tm != trust.current || err != nil {
		t.Fatalf("got %v, %v; want the trusted root held", tm, err)
	}
	for deadline := time.Now().Add(30 * time.Second); asked.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the repository is not asked")
		}
	}
	began := time.Now()
	trust.Close()
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("the end took %v", took)
	}
}
