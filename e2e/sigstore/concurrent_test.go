package sigstore_test

import (
	"fmt"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// TestConcurrent writes, searches and reads from many goroutines, stops while
// Rekor may still be filling its index, and starts again: for the race
// detector, and to see that nothing of the first life is left in the second.
func TestConcurrent(t *testing.T) {
	for _, every := range []time.Duration{0, 10 * time.Millisecond} {
		t.Run(fmt.Sprint("sequencing every ", every), func(t *testing.T) {
			for range 3 {
				s, err := sigstore.Start(t.Context(), sigstore.Options{SequenceEvery: every})
				if err != nil {
					t.Fatal(err)
				}
				if uuids, err := s.Search(t.Context(), hashOf(t, "0")); err != nil || len(uuids) != 0 {
					t.Errorf("new index has %v, %v", uuids, err)
				}
				writeAndRead(t, s)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				var running strings.Builder
				if err := pprof.Lookup("goroutine").WriteTo(&running, 1); err != nil {
					t.Fatal(err)
				}
				if strings.Contains(running.String(), "sigstore/rekor") {
					t.Errorf("Rekor still runs after Close:\n%s", running.String())
				}
			}
		})
	}
}

func hashOf(t *testing.T, name string) string {
	_, hash := statement(t, name)
	return hash
}

func writeAndRead(t *testing.T, s *sigstore.Sigstore) {
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			author, err := s.Author(t.Context(), sigstore.DefaultEmail)
			if err != nil {
				t.Error(err)
				return
			}
			payload, hash := statement(t, fmt.Sprint(i))
			for range 4 {
				e, err := author.Sign(t.Context(), payload)
				if err != nil {
					t.Error(err)
					return
				}
				proposal, err := e.InToto()
				if err != nil {
					t.Error(err)
					return
				}
				uuid, _, err := s.Create(t.Context(), proposal)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := s.Search(t.Context(), hash); err != nil {
					t.Error(err)
				}
				if _, err := s.Retrieve(t.Context(), uuid); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// TestGoroutinesEnd starts and stops and looks for what is still running.
func TestGoroutinesEnd(t *testing.T) {
	// What the libraries start once per process is not counted.
	once := func() {
		s, err := sigstore.Start(t.Context(), sigstore.Options{SequenceEvery: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		uuid, hash := create(t, s, "subject")
		find(t, s, hash, uuid)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	once()
	before := runtime.NumGoroutine()
	for range 5 {
		once()
	}
	ended := func() bool { return runtime.NumGoroutine() <= before }
	deadline := time.After(time.Minute)
	for !ended() {
		select {
		case <-deadline:
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(),
				strings.TrimSpace(string(buf[:runtime.Stack(buf, true)])))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestSettle looks for entries at once, by all that Rekor writes behind its answers.
func TestSettle(t *testing.T) {
	s := start(t, sigstore.Options{})
	for i := range 50 {
		uuid, hash := create(t, s, fmt.Sprint(i))
		if err := s.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if uuids, err := s.Search(t.Context(), hash); err != nil || !slices.Contains(uuids, uuid) {
			t.Errorf("entry %d: the index has %v, %v", i, uuids, err)
		}
		if retrieve(t, s, uuid).Attestation == nil {
			t.Errorf("entry %d has no attestation", i)
		}
	}
}
