package soak

import (
	"slices"
	"sync"
	"testing"
	"time"
)

// TestOffered checks which digests may have been answered within a time.
func TestOffered(t *testing.T) {
	h := History{Moves: []Move{
		{"t", "a", 0, 10}, {"other", "x", 0, 10}, {"t", "b", 20, 30}, {"t", "c", 40, 50}, {"t", "a", 60, 70},
	}}
	for _, test := range []struct {
		name       string
		start, end time.Duration
		want       []string
	}{
		{"before all", -5, -1, nil},
		{"from before on", -5, 5, []string{"a"}},
		{"between moves", 12, 18, []string{"a"}},
		{"up to a move", 12, 20, []string{"a", "b"}},
		{"within a move", 22, 28, []string{"a", "b"}},
		{"from a move's end", 30, 35, []string{"a", "b"}},
		{"after it", 31, 35, []string{"b"}},
		{"over two", 31, 60, []string{"b", "c", "a"}},
		{"at last", 71, 100, []string{"a"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := h.offered("t", test.start, test.end); !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// TestRecorder writes from several goroutines.
func TestRecorder(t *testing.T) {
	r := NewRecorder()
	before := r.History()
	var g sync.WaitGroup
	for i := range 100 {
		g.Go(func() {
			start := r.Now()
			r.Operation(Operation{N: i, Start: start, End: r.Now()})
			r.Move(Move{Tag: "t", Start: start, End: r.Now()})
		})
	}
	g.Wait()
	h := r.History()
	if len(h.Operations) != 100 || len(h.Moves) != 100 || len(before.Operations) != 0 {
		t.Errorf("%d operations and %d moves, want 100 each", len(h.Operations), len(h.Moves))
	}
	for _, o := range h.Operations {
		if o.Start < 0 || o.End < o.Start {
			t.Errorf("operation %v", o)
		}
	}
}
