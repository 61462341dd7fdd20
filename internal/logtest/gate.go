package logtest

import (
	"context"
	"sync"
)

// A Gate holds calls.
type Gate struct {
	open chan struct{} // closed by Release

	mu      sync.Mutex // guards what follows
	held    int
	arrival chan struct{} // closed, and replaced, when a call arrives
}

// Hold makes calls wait until the gate returned is released. A call whose
// context ends goes away with the context's error. Holding a call that is held
// already puts a new gate in the place of the old, which keeps what it holds.
func (in *Instance) Hold(c Call) *Gate {
	g := &Gate{open: make(chan struct{}), arrival: make(chan struct{})}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.stages[c].gate = g
	return g
}

// pass waits at the gate of a call, if there is one.
func (in *Instance) pass(ctx context.Context, c Call) error {
	in.mu.Lock()
	g := in.stages[c].gate
	in.mu.Unlock()
	if g == nil {
		return nil
	}
	return g.wait(ctx)
}

func (g *Gate) wait(ctx context.Context) error {
	g.mu.Lock()
	g.held++
	close(g.arrival)
	g.arrival = make(chan struct{})
	g.mu.Unlock()
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Arrived waits until n calls in all have come to the gate, or until ctx ends.
func (g *Gate) Arrived(ctx context.Context, n int) error {
	for {
		g.mu.Lock()
		held, next := g.held, g.arrival
		g.mu.Unlock()
		if held >= n {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Release lets go what the gate holds and whatever comes to it later. It may
// be called again.
func (g *Gate) Release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
	default:
		close(g.open)
	}
}
