package flight_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tlogistry/tlogistry/internal/flight"
)

// goroutine tells the goroutine that it is called on.
func goroutine() string {
	stack := make([]byte, 64)
	first, _, _ := bytes.Cut(stack[:runtime.Stack(stack, false)], []byte(" ["))
	return string(first)
}

// A way is how a caller shares a call.
type way func(ctx context.Context, key string, fn func(context.Context) (string, error)) (string, error)

// Who is the first makes the call, unless a deadline may end its wait.
func TestInlineIsTheCallersGoroutine(t *testing.T) {
	const limit = time.Minute
	for name, test := range map[string]struct {
		deadline time.Duration
		same     bool
	}{
		"deadline past the limit":  {limit + 1, true},
		"deadline at the limit":    {limit, true},
		"deadline below the limit": {limit - 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := flight.NewGroup[string](limit)
				ctx, cancel := context.WithTimeout(t.Context(), test.deadline)
				defer cancel()
				for range 2 { // the next is the first again
					on, err := g.DoInline(ctx, "key", func(context.Context) (string, error) { return goroutine(), nil })
					if same := on == goroutine(); same != test.same || err != nil {
						t.Errorf("on the caller's goroutine: %t, want %t; %v", same, test.same, err)
					}
				}
				g.Close()
			})
		})
	}
}

// The call's context and its results are as those of Do are.
func TestInlineIsAsDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 3 * time.Second
		g := flight.NewGroup[fmt.Stringer](limit)
		defer g.Close()
		type key struct{}
		var kept context.Context
		parent := context.WithValue(t.Context(), key{}, "value")
		got, err := g.DoInline(parent, "", func(ctx context.Context) (fmt.Stringer, error) {
			kept = ctx
			if ctx.Value(key{}) != "value" {
				t.Error("the call's context lacks the caller's values")
			}
			if end, ok := ctx.Deadline(); !ok || time.Until(end) != limit {
				t.Errorf("the call's limit is %s, want %s", time.Until(end), limit)
			}
			return nil, nil
		})
		if got != nil || err != nil || kept.Err() != context.Canceled {
			t.Errorf("%v, %v, the call's context: %v", got, err, kept.Err())
		}
		broken := errors.New("broken")
		got, err = g.DoInline(parent, "", func(context.Context) (fmt.Stringer, error) { return time.Second, broken })
		if got != nil || err != broken {
			t.Errorf("%v, %v, want nothing and the call's own error", got, err)
		}
		got, err = g.DoInline(parent, "", func(context.Context) (fmt.Stringer, error) { panic("reason") })
		var p *flight.PanicError
		if got != nil || !errors.As(err, &p) || p.Value != "reason" {
			t.Errorf("%v, %v", got, err)
		}
		got, err = g.DoInline(parent, "", func(context.Context) (fmt.Stringer, error) { return time.Second, nil })
		if got != time.Second || err != nil {
			t.Errorf("%v, %v after the others", got, err)
		}
	})
}

// The first one's ctx ends: it stays until the call ends, which goes on. One of
// those who wait gives up at once, the others get the result.
func TestInlineFirstGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := flight.NewGroup[string](time.Minute)
		start := time.Now()
		none := func(context.Context) (string, error) {
			t.Error("a second call")
			return "", nil
		}
		var callers sync.WaitGroup
		caller := func(leaves time.Duration, do way, call func(context.Context) (string, error), want string, wantErr error, ends time.Duration) {
			callers.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if leaves > 0 {
					defer time.AfterFunc(leaves, cancel).Stop()
				}
				got, err := do(ctx, "", call)
				if got != want || err != wantErr || time.Since(start) != ends {
					t.Errorf("%q, %v after %s, want %q, %v after %s", got, err, time.Since(start), want, wantErr, ends)
				}
			})
			synctest.Wait()
		}
		caller(time.Second, g.DoInline, func(ctx context.Context) (string, error) {
			select {
			case <-time.After(10 * time.Second):
				return "result", nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}, "", context.Canceled, 10*time.Second)
		caller(2*time.Second, g.DoInline, none, "", context.Canceled, 2*time.Second)
		caller(3*time.Second, g.Do, none, "", context.Canceled, 3*time.Second)
		caller(0, g.DoInline, none, "result", nil, 10*time.Second)
		caller(0, g.Do, none, "result", nil, 10*time.Second)
		callers.Wait()
		g.Close()
	})
}

// A call of Do's is shared with who would make one inline, and a panic inline
// is an error to who waits.
func TestInlineAmongOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := flight.NewGroup[string](time.Minute)
		var callers sync.WaitGroup
		for _, do := range []way{g.Do, g.DoInline, g.DoInline} {
			callers.Go(func() {
				got, err := do(t.Context(), "begun by Do", func(context.Context) (string, error) {
					time.Sleep(time.Second)
					return "first", nil
				})
				if got != "first" || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
			})
			synctest.Wait()
		}
		for range 3 {
			callers.Go(func() {
				_, err := g.DoInline(t.Context(), "panics", func(context.Context) (string, error) {
					time.Sleep(time.Second)
					panic("reason")
				})
				var p *flight.PanicError
				if !errors.As(err, &p) || p.Value != "reason" {
					t.Error(err)
				}
			})
		}
		start := time.Now()
		callers.Wait()
		if time.Since(start) != time.Second {
			t.Errorf("the calls take %s", time.Since(start))
		}
		g.Close()
	})
}

// Close waits for a call inline, and nothing begins afterwards.
func TestInlineClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := flight.NewGroup[string](time.Minute)
		var ended atomic.Bool
		var callers sync.WaitGroup
		callers.Go(func() {
			got, err := g.DoInline(t.Context(), "", func(context.Context) (string, error) {
				time.Sleep(time.Second)
				ended.Store(true)
				return "result", nil
			})
			if got != "result" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
		synctest.Wait()
		g.Close()
		if !ended.Load() {
			t.Error("closed while a call goes on")
		}
		callers.Wait()
		for _, key := range []string{"", "other", "other"} {
			if _, err := g.DoInline(t.Context(), key, nil); err != flight.ErrClosed {
				t.Errorf("key %q: %v, want %v", key, err, flight.ErrClosed)
			}
		}
	})
}

// Callers of every kind at once, some of whom give up: no two calls of one key
// overlap, and none outlives Close. For the race detector.
func TestInlineRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := flight.NewGroup[int](time.Minute)
		var under [3]atomic.Int64
		var callers sync.WaitGroup
		for i := range 16 {
			callers.Go(func() {
				for n := range 200 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					if rand.IntN(4) == 0 {
						time.AfterFunc(time.Duration(rand.IntN(1000)), cancel)
					}
					do := g.DoInline
					if rand.IntN(4) == 0 {
						do = g.Do
					}
					key := (i + n) % len(under)
					got, err := do(ctx, fmt.Sprint(key), func(context.Context) (int, error) {
						if under[key].Add(1) != 1 {
							t.Error("two calls of one key")
						}
						defer under[key].Add(-1)
						time.Sleep(time.Duration(rand.IntN(1000)))
						return key, nil
					})
					if (got != key || err != nil) && err != context.Canceled {
						t.Error(got, err)
					}
					cancel()
				}
			})
		}
		callers.Wait()
		g.Close()
		for key := range under {
			if n := under[key].Load(); n != 0 {
				t.Errorf("%d calls under way after Close", n)
			}
		}
	})
}
