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
	var zero T
	c, err := g.begin(ctx, key, fn)
	if err != nil {
		return zero, err
	}
	select {
	case r := <-c:
		g.calls.Done()
		if r.Err != nil {
			return zero, r.Err
		}
		v, _ := r.Val.(T) // not of type T only where it is a nil interface
		return v, nil
	case <-ctx.Done():
		go g.await(c)
		return zero, ctx.Err()
	}
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
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil, ErrClosed
	}
	g.calls.Add(1)
	g.mu.Unlock()
	return g.group.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.limit)
		defer cancel()
		var v T
		var err error
		if p := Catch(func() { v, err = fn(ctx) }); p != nil {
			return nil, p
		}
		return v, err
	}), nil
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
