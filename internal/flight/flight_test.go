package flight_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tlogistry/tlogistry/internal/flight"
)

// Every test runs in a bubble of its own: synctest.Test fails if a goroutine
// is left when the test function has returned.

func TestResultAndError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := flight.NewGroup[string](time.Minute)
		got, err := g.Do(t.Context(), "key", func(context.Context) (string, error) { return "result", nil })
		if got != "result" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		broken := errors.New("broken")
		got, err = g.Do(t.Context(), "key", func(context.Context) (string, error) { return "partly", broken })
		if got != "" || err != broken {
			t.Errorf("got %q, %v, want nothing and the call's own error", got, err)
		}
		g.Close()
	})
}

func TestNilInterface(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := flight.NewGroup[fmt.Stringer](time.Minute)
		got, err := g.Do(t.Context(), "key", func(context.Context) (fmt.Stringer, error) { return nil, nil })
		if got != nil || err != nil {
			t.Errorf("got %v, %v", got, err)
		}
		g.Close()
	})
}

func TestSharing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := flight.NewGroup[int64](time.Minute)
		var calls atomic.Int64
		call := func(context.Context) (int64, error) {
			n := calls.Add(1)
			time.Sleep(time.Second)
			return n, nil
		}
		got := map[string]*[10]int64{"a": {}, "b": {}}
		var callers sync.WaitGroup
		for key, results := range got {
			for i := range results {
				callers.Go(func() {
					n, err := g.Do(t.Context(), key, call)
					if err != nil {
						t.Error(err)
					}
					results[i] = n
				})
			}
		}
		callers.Wait()
		if calls.Load() != 2 {
			t.Errorf("%d calls for two keys", calls.Load())
		}
		for key, results := range got {
			for _, n := range results {
				if n != results[0] || n == 0 {
					t.Errorf("key %s: results %v of more than one call", key, results)
				}
			}
		}
		if got["a"][0] == got["b"][0] {
			t.Error("two keys shared a call")
		}

		// What has ended is not shared.
		if n, err := g.Do(t.Context(), "a", call); n != 3 || err != nil {
			t.Errorf("the next call gives %d, %v", n, err)
		}
		g.Close()
	})
}

func TestErrorIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := flight.NewGroup[int](time.Minute)
		broken := errors.New("broken")
		var callers sync.WaitGroup
		for range 3 {
			callers.Go(func() {
				if _, err := g.Do(t.Context(), "", func(context.Context) (int, error) {
					time.Sleep(time.Second)
					return 0, broken
				}); err != broken {
					t.Errorf("got %v", err)
				}
			})
		}
		callers.Wait()
		g.Close()
	})
}

// The caller that began the call gives up; the call goes on for the others.
func TestFirstCallerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := flight.NewGroup[string](time.Minute)
		start := time.Now()
		call := func(ctx context.Context) (string, error) {
			select {
			case <-time.After(10 * time.Second):
				return "result", nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
		var callers sync.WaitGroup
		callers.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			got, err := g.Do(ctx, "", call)
			if got != "" || err != context.DeadlineExceeded || time.Since(start) != time.Second {
				t.Errorf("the first: %q, %v after %s", got, err, time.Since(start))
			}
		})
		synctest.Wait()
		callers.Go(func() {
			got, err := g.Do(t.Context(), "", func(context.Context) (string, error) {
				t.Error("a second call")
				return "", nil
			})
			if got != "result" || err != nil || time.Since(start) != 10*time.Second {
				t.Errorf("the second: %q, %v after %s", got, err, time.Since(start))
			}
		})
		callers.Wait()
		g.Close()
	})
}

// A caller that waits for another's call gives up; the first is not disturbed.
func TestLaterCallerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := flight.NewGroup[string](time.Minute)
		var callers sync.WaitGroup
		callers.Go(func() {
			got, err := g.Do(t.Context(), "", func(ctx context.Context) (string, error) {
				time.Sleep(10 * time.Second)
				return "result", ctx.Err()
			})
			if got != "result" || err != nil {
				t.Errorf("the first: %q, %v", got, err)
			}
		})
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if got, err := g.Do(ctx, "", nil); got != "" || err != context.Canceled {
			t.Errorf("the second: %q, %v", got, err)
		}
		callers.Wait()
		g.Close()
	})
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 3 * time.Second
		g := flight.NewGroup[int](limit)
		type key struct{}
		parent, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "value"), time.Hour)
		defer cancel()
		start := time.Now()
		_, err := g.Do(parent, "", func(ctx context.Context) (int, error) {
			if ctx.Value(key{}) != "value" {
				t.Error("the call's context lacks the caller's values")
			}
			if end, ok := ctx.Deadline(); !ok || end.Sub(start) != limit {
				t.Errorf("the call's limit is %s, want %s", end.Sub(start), limit)
			}
			<-ctx.Done()
			return 0, ctx.Err()
		})
		if err != context.DeadlineExceeded || time.Since(start) != limit {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		g.Close()
	})
}

// When a call returns, its context ends: what it began ends with it.
func TestContextEndsWithTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := flight.NewGroup[context.Context](time.Minute)
		ctx, err := g.Do(t.Context(), "", func(ctx context.Context) (context.Context, error) { return ctx, nil })
		if err != nil || ctx.Err() != context.Canceled {
			t.Errorf("context: %v, call: %v", ctx.Err(), err)
		}
		g.Close()
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := flight.NewGroup[int](time.Minute)
		start := time.Now()
		// The only caller has gone when the group is closed.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var ended atomic.Bool
		if _, err := g.Do(ctx, "", func(context.Context) (int, error) {
			time.Sleep(10 * time.Second)
			ended.Store(true)
			return 0, nil
		}); err != context.DeadlineExceeded {
			t.Fatal(err)
		}

		var closing sync.WaitGroup
		for range 2 { // closing twice is no mistake
			closing.Go(func() {
				g.Close()
				if !ended.Load() || time.Since(start) != 10*time.Second {
					t.Errorf("closed after %s, call ended: %t", time.Since(start), ended.Load())
				}
			})
		}
		synctest.Wait()
		// Neither a new key nor the call under way is to be had any more.
		for _, key := range []string{"", "other"} {
			if _, err := g.Do(t.Context(), key, func(context.Context) (int, error) {
				t.Error("a call on a closed group")
				return 0, nil
			}); err != flight.ErrClosed {
				t.Errorf("key %q: %v, want %v", key, err, flight.ErrClosed)
			}
		}
		closing.Wait()
		if _, err := g.Do(t.Context(), "", nil); err != flight.ErrClosed || err.Error() != "shutting down" {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestCloseWithWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := flight.NewGroup[string](time.Minute)
		var callers sync.WaitGroup
		callers.Go(func() {
			got, err := g.Do(t.Context(), "", func(context.Context) (string, error) {
				time.Sleep(time.Second)
				return "result", nil
			})
			if got != "result" || err != nil {
				t.Errorf("the caller that waits gets %q, %v", got, err)
			}
		})
		synctest.Wait()
		g.Close()
		callers.Wait()
	})
}

// Do and Close from many goroutines at once: for the race detector.
func TestCloseRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 20 {
			g := flight.NewGroup[int](time.Minute)
			var under atomic.Int64
			var callers sync.WaitGroup
			for i := range 8 {
				callers.Go(func() {
					_, err := g.Do(t.Context(), fmt.Sprint(i%3), func(context.Context) (int, error) {
						under.Add(1)
						defer under.Add(-1)
						time.Sleep(time.Millisecond)
						return 0, nil
					})
					if err != nil && err != flight.ErrClosed {
						t.Error(err)
					}
				})
			}
			g.Close()
			if n := under.Load(); n != 0 {
				t.Errorf("%d calls under way after Close", n)
			}
			callers.Wait()
		}
	})
}

func TestStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := flight.NewGroup[string](time.Minute)
		var calls atomic.Int32
		call := func(ctx context.Context) (string, error) {
			calls.Add(1)
			time.Sleep(time.Second)
			return "result", ctx.Err()
		}
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		g.Start(ctx, "key", call)
		g.Start(ctx, "key", call)
		cancel() // does not end the call
		if time.Since(start) != 0 {
			t.Errorf("Start waits %v", time.Since(start))
		}
		if got, err := g.Do(t.Context(), "key", call); got != "result" || err != nil || calls.Load() != 1 {
			t.Errorf("got %q, %v of %d calls", got, err, calls.Load())
		}
		g.Start(t.Context(), "key", call)
		g.Close()
		if calls.Load() != 2 || time.Since(start) != 2*time.Second {
			t.Errorf("Close does not wait: %d calls in %v", calls.Load(), time.Since(start))
		}
		g.Start(t.Context(), "key", call)
		synctest.Wait()
		if calls.Load() != 2 {
			t.Error("a closed group makes calls")
		}
	})
}
