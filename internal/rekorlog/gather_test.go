package rekorlog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sigstore/rekor/pkg/generated/models"
)

// A slowLog answers each request for entries after a second, and counts them.
type slowLog struct {
	mu       sync.Mutex
	requests []string // IDs, space-separated
	fail     func(ids []string) error
}

func (s *slowLog) fetch(ctx context.Context, ids []string) (entriesByID, error) {
	s.mu.Lock()
	s.requests = append(s.requests, strings.Join(ids, " "))
	s.mu.Unlock()
	time.Sleep(time.Second)
	if s.fail != nil {
		if err := s.fail(ids); err != nil {
			return nil, err
		}
	}
	found := make(entriesByID)
	for _, id := range ids {
		found[id] = &models.LogEntryAnon{}
	}
	return found, nil
}

// gathered returns the entries of IDs, which are used at once.
func gathered(ctx context.Context, g *gatherer, ids ...string) (found entriesByID, err error) {
	err = g.entries(ctx, ids, func(e entriesByID) error {
		found = e
		return nil
	})
	return found, err
}

// gatherAll has n look-ups want one entry each at once, and returns what each got.
func gatherAll(t *testing.T, s *slowLog, n int) []result {
	g := &gatherer{fetch: s.fetch}
	results := make([]result, n)
	var callers sync.WaitGroup
	for i := range n {
		callers.Go(func() {
			found, err := gathered(t.Context(), g, fmt.Sprintf("%03d", i))
			results[i] = result{found, err}
		})
		synctest.Wait() // so that they arrive in order
	}
	callers.Wait()
	g.close()
	return results
}

func TestGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(slowLog)
		start := time.Now()
		for i, r := range gatherAll(t, s, 100) {
			if id := fmt.Sprintf("%03d", i); r.err != nil || !slices.Equal(slices.Collect(maps.Keys(r.entries)), []string{id}) {
				t.Errorf("%s: got %v, %v", id, r.entries, r.err)
			}
		}
		// Eight alone at once, and the other 92 by tens.
		if len(s.requests) != gathering+10 || time.Since(start) > 4*time.Second {
			t.Errorf("%d requests in %v", len(s.requests), time.Since(start))
		}
		if want := "008 009 010 011 012 013 014 015 016 017"; s.requests[gathering] != want {
			t.Errorf("the first in common is %q, want %q", s.requests[gathering], want)
		}
	})
}

func TestGatherAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(slowLog)
		start := time.Now()
		if r := gatherAll(t, s, 1); r[0].err != nil || time.Since(start) != time.Second {
			t.Errorf("%v after %v", r[0].err, time.Since(start))
		}
	})
}

// What one look-up wants does not fail the others' look-ups.
func TestGatherFailures(t *testing.T) {
	status := &codeError{404}
	for _, c := range []struct {
		name  string
		err   error
		alone bool // only the one who wants 020 fails
	}{
		{"not the log's answer", fmt.Errorf("%w: forged", ErrLog), true},
		{"too long", errTooLong, true},
		{"not found", status, true},
		{"out of reach", errors.New("connection refused"), false},
		{"busy", &codeError{503}, false},
		{"too many", &codeError{429}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &slowLog{fail: func(ids []string) error {
					if slices.Contains(ids, "020") {
						return c.err
					}
					return nil
				}}
				var failed []int
				for i, r := range gatherAll(t, s, 30) {
					if r.err != nil {
						failed = append(failed, i)
						if !errors.Is(r.err, c.err) {
							t.Errorf("%d: %v", i, r.err)
						}
					}
				}
				want := []int{20}
				if !c.alone {
					want = []int{18, 19, 20, 21, 22, 23, 24, 25, 26, 27}
				}
				if !slices.Equal(failed, want) {
					t.Errorf("failed %v, want %v", failed, want)
				}
			})
		})
	}
}

// A look-up that ends takes nothing from the others, and nothing is asked for it.
func TestGatherGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(slowLog)
		g := &gatherer{fetch: s.fetch}
		var callers sync.WaitGroup
		for i := range gathering {
			callers.Go(func() { gathered(t.Context(), g, fmt.Sprint(i)) })
			synctest.Wait()
		}
		ctx, cancel := context.WithCancel(t.Context())
		callers.Go(func() {
			if _, err := gathered(ctx, g, "gone"); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
		synctest.Wait()
		callers.Go(func() {
			if found, err := gathered(t.Context(), g, "stays"); err != nil || len(found) != 1 {
				t.Errorf("got %v, %v", found, err)
			}
		})
		synctest.Wait()
		cancel()
		callers.Wait()
		g.close()
		if last := s.requests[len(s.requests)-1]; last != "stays" || len(s.requests) != gathering+1 {
			t.Errorf("asked for %q", s.requests)
		}
	})
}

// Two tags may want the same entry, for anyone can log one with both subjects.
func TestGatherSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(slowLog)
		g := &gatherer{fetch: s.fetch}
		var callers sync.WaitGroup
		for range gathering + 5 {
			callers.Go(func() {
				if found, err := gathered(t.Context(), g, "same"); err != nil || found["same"] == nil {
					t.Errorf("got %v, %v", found, err)
				}
			})
			synctest.Wait()
		}
		callers.Wait()
		g.close()
		if last := s.requests[len(s.requests)-1]; last != "same" || len(s.requests) != gathering+1 {
			t.Errorf("asked for %q", s.requests)
		}
	})
}

// Whatever is wanted, no more answers than gathering are under way or in use,
// those to large wants are half of them at most, and what one look-up wants that
// has a single entry does not wait for all of them.
func TestGatherIsBounded(t *testing.T) {
	for name, size := range map[string]int{"full": maxBatch, "nearly full": maxBatch - 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := new(slowLog)
				g := &gatherer{fetch: s.fetch}
				start := time.Now()
				var callers sync.WaitGroup
				var inUse, most atomic.Int32
				for i := range 40 {
					var ids []string
					for k := range size {
						ids = append(ids, fmt.Sprint(i, "-", k))
					}
					callers.Go(func() {
						err := g.entries(t.Context(), ids, func(found entriesByID) error {
							if n := inUse.Add(1); n > most.Load() {
								most.Store(n)
							}
							if len(found) != size {
								t.Errorf("got %d entries", len(found))
							}
							time.Sleep(9 * time.Second)
							inUse.Add(-1)
							return nil
						})
						if err != nil {
							t.Error(err)
						}
					})
				}
				time.Sleep(time.Millisecond) // all are there
				if _, err := gathered(t.Context(), g, "small"); err != nil || time.Since(start) > 2*time.Second {
					t.Errorf("a small want got %v after %v", err, time.Since(start))
				}
				callers.Wait()
				g.close()
				if most.Load() != gatheringLarge || len(s.requests) != 41 || time.Since(start) != 100*time.Second {
					t.Errorf("%d large answers in use at once, %d requests in %v", most.Load(), len(s.requests), time.Since(start))
				}
			})
		})
	}
	t.Run("small", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := new(slowLog)
			g := &gatherer{fetch: s.fetch}
			var callers sync.WaitGroup
			for i := range 400 {
				callers.Go(func() {
					g.entries(t.Context(), []string{fmt.Sprint(i)}, func(entriesByID) error {
						time.Sleep(9 * time.Second)
						return nil
					})
				})
			}
			time.Sleep(5 * time.Second)
			s.mu.Lock()
			if len(s.requests) != gathering {
				t.Errorf("%d requests while the first answers are in use, want %d", len(s.requests), gathering)
			}
			s.mu.Unlock()
			callers.Wait()
			g.close()
		})
	})
}

// The error of who uses an answer is its own, and a look-up that ends while it
// waits holds nothing up.
func TestGatherUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(slowLog)
		g := &gatherer{fetch: s.fetch}
		broken := errors.New("broken")
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		for range 3 * gathering {
			if _, err := gathered(ctx, g, "ends"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			if err := g.entries(t.Context(), []string{"a"}, func(entriesByID) error { return broken }); err != broken {
				t.Errorf("got %v, want %v", err, broken)
			}
		}
		g.close()
	})
}

type codeError struct{ code int }

func (e *codeError) Code() int     { return e.code }
func (e *codeError) Error() string { return fmt.Sprintf("status %d", e.code) }
