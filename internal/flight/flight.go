// Package flight lets callers share one call: while it is under way, others
// with the same key wait for its result instead of making their own.
//
// It adds three things to golang.org/x/sync/singleflight, which it wraps. A
// caller that gives up ends neither the call nor the wait of the others. A call
// that panics is an error to all who wait, and does not end the process. And a
// group knows when all of its calls have ended, so that its owner can wait for
// them.
package flight

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// ErrClosed is returned for calls on a closed group.
var ErrClosed = errors.New("shutting down")

// A Group shares calls whose result is a T. It is safe for concurrent use.
type Group[T any] struct {
	limit time.Duration
	group singleflight.Group
	lead  sync.Map // keys whose call a caller of DoInline makes, or is about to

	mu     sync.Mutex // guards closed and calls.Add against Close
	closed bool
	calls  sync.WaitGroup
}

// NewGroup returns a group whose calls may each take limit at most.
func NewGroup[T any](limit time.Duration) *Group[T] {
	return &Group[T]{limit: limit}
}

// Do returns the result of the call under way for key, or of fn if there is
// none. The context of fn has the values of ctx and the group's limit, but not
// the end of ctx. Do returns early when ctx ends.
func (g *Group[T]) Do(ctx context.Context, key string, fn func(context.Context) (T, error)) (T, error) {
	c, err := g.begin(ctx, key, fn)
	if err != nil {
		var zero T
		return zero, err
	}
	select {
	case r := <-c:
		g.calls.Done()
		return result[T](r.Val, r.Err)
	case <-ctx.Done():
		go g.await(c)
		var zero T
		return zero, ctx.Err()
	}
}

// DoInline is [Group.Do] for short calls that are made often. Who is the first
// to want one makes it in its own goroutine: to hand it to another and back
// wakes processors, which takes longer than many a call. So the first stays
// until the call ends, even where ctx ends before, and gets the error of ctx
// then; those who wait for its call need not. A ctx that has a deadline within
// the group's limit makes this Do.
func (g *Group[T]) DoInline(ctx context.Context, key string, fn func(context.Context) (T, error)) (T, error) {
	if end, ok := ctx.Deadline(); ok && time.Until(end) < g.limit {
		return g.Do(ctx, key, fn)
	}
	// That somebody leads is a hint: singleflight decides what is shared. Where
	// the hint is late, Do begins a call, or this waits for one of Do's.
	if _, led := g.lead.LoadOrStore(key, nil); led {
		return g.Do(ctx, key, fn)
	}
	defer g.lead.Delete(key)
	var zero T
	if err := g.enter(); err != nil {
		return zero, err
	}
	defer g.calls.Done()
	v, err, _ := g.group.Do(key, g.call(ctx, fn))
	if ctx.Err() != nil {
		return zero, ctx.Err()
	}
	return result[T](v, err)
}

// Start begins the call for key, unless one is under way, and does not wait
// for it. On a closed group it does nothing.
func (g *Group[T]) Start(ctx context.Context, key string, fn func(context.Context) (T, error)) {
	if c, err := g.begin(ctx, key, fn); err == nil {
		go g.await(c)
	}
}

// begin begins or joins the call for key. Whoever gets the result counts the
// call as done.
func (g *Group[T]) begin(ctx context.Context, key string, fn func(context.Context) (T, error)) (<-chan singleflight.Result, error) {
	if err := g.enter(); err != nil {
		return nil, err
	}
	return g.group.DoChan(key, g.call(ctx, fn)), nil
}

// enter counts a call, unless the group is closed.
func (g *Group[T]) enter() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ErrClosed
	}
	g.calls.Add(1)
	return nil
}

// call is fn as singleflight wants it.
func (g *Group[T]) call(ctx context.Context, fn func(context.Context) (T, error)) func() (any, error) {
	return func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.limit)
		defer cancel()
		var v T
		var err error
		if p := Catch(func() { v, err = fn(ctx) }); p != nil {
			return nil, p
		}
		return v, err
	}
}

// result is a call's result as its callers want it.
func result[T any](v any, err error) (T, error) {
	if err != nil {
		var zero T
		return zero, err
	}
	t, _ := v.(T) // not of type T only where it is a nil interface
	return t, nil
}

// await sees a call to its end, which the limit bounds, for who does not.
func (g *Group[T]) await(c <-chan singleflight.Result) {
	<-c
	g.calls.Done()
}

// Close refuses further calls and waits for those under way.
func (g *Group[T]) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.calls.Wait()
}
