package rekorlog

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sigstore/rekor/pkg/generated/models"

	"github.com/tlogistry/tlogistry/internal/flight"
)

const (
	// gathering is how many answers to requests for entries there are at once:
	// under way, or in use.
	gathering = 8
	// gatheringLarge is how many of them may be to large wants, so that floods
	// leave room for others.
	gatheringLarge = gathering / 2
)

type entriesByID = map[string]*models.LogEntryAnon

// A gatherer fetches entries for look-ups of different tags in common. While
// fewer requests than gathering are under way, each want is a request of its
// own, at once. What is wanted meanwhile waits, and goes together. However many
// look-ups there are, no more entries are in memory than gathering answers have.
// It is safe for concurrent use.
type gatherer struct {
	// fetch fetches at most maxBatch entries, within a limit of its own.
	fetch func(ctx context.Context, ids []string) (entriesByID, error)

	mu      sync.Mutex
	waiting []*want // in order of arrival
	workers int
	large   int            // workers that serve a large want
	running sync.WaitGroup // workers
}

// A want is a few entries that one look-up waits for.
type want struct {
	ctx    context.Context
	ids    []string
	result chan result
	used   chan struct{} // closed when the look-up needs the result no more
}

// large reports whether there is little room for others in the same request.
func (w *want) large() bool { return len(w.ids) > maxBatch/2 }

type result struct {
	entries entriesByID
	err     error
}

// entries calls use with the entries of at most maxBatch IDs. As with the
// client's own, these are all of them and no others. Others wait until use
// returns. It must not ask for entries itself, and keep none.
func (g *gatherer) entries(ctx context.Context, ids []string, use func(entriesByID) error) error {
	w := &want{ctx, ids, make(chan result, 1), make(chan struct{})}
	defer close(w.used)
	g.mu.Lock()
	g.waiting = append(g.waiting, w)
	if g.workers < gathering {
		g.workers++
		g.running.Go(g.work)
	}
	g.mu.Unlock()
	select {
	case r := <-w.result:
		if r.err != nil {
			return r.err
		}
		return use(r.entries)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// work fetches what waits until nothing does.
func (g *gatherer) work() {
	for {
		wants := g.next()
		if wants == nil {
			return
		}
		g.serve(wants)
		if wants[0].large() {
			g.mu.Lock()
			g.large--
			g.mu.Unlock()
		}
	}
}

// next takes what fits into one request: a large want alone, or others in order.
// Where there is nothing to take the worker ends.
func (g *gatherer) next() []*want {
	g.mu.Lock()
	defer g.mu.Unlock()
	var wants, rest []*want
	taken, full := 0, false
	for _, w := range g.waiting {
		switch {
		case full || w.large() && (taken > 0 || g.large == gatheringLarge):
			rest = append(rest, w)
		case taken+len(w.ids) > maxBatch:
			full = true
			rest = append(rest, w)
		default:
			wants = append(wants, w)
			taken += len(w.ids)
			full = w.large()
		}
	}
	g.waiting = rest
	if len(wants) == 0 {
		g.workers--
	} else if wants[0].large() {
		g.large++
	}
	return wants
}

// serve answers wants by one request, and waits until they have used the answer.
// One that cannot be used is the fault of some entry, and concerns those alone
// who want that: each then gets a request of its own. That the log cannot be
// asked concerns all.
func (g *gatherer) serve(wants []*want) {
	wants = slices.DeleteFunc(slices.Clone(wants), func(w *want) bool { return w.ctx.Err() != nil })
	if len(wants) == 0 {
		return
	}
	var ids []string
	for _, w := range wants {
		ids = append(ids, w.ids...)
	}
	// Two look-ups never want the same entry under one tag; under two they may.
	slices.Sort(ids)
	ids = slices.Compact(ids)
	ctx, cancel := untilAllEnd(wants)
	defer cancel()
	var found entriesByID
	err := caught(func() (err error) {
		found, err = g.fetch(ctx, ids)
		return err
	})()
	if err != nil && len(wants) > 1 && particular(err) {
		for _, w := range wants {
			g.serve([]*want{w})
		}
		return
	}
	for _, w := range wants {
		mine := maps.Clone(found)
		maps.DeleteFunc(mine, func(id string, _ *models.LogEntryAnon) bool { return !slices.Contains(w.ids, id) })
		w.result <- result{mine, err}
	}
	for _, w := range wants {
		<-w.used
	}
}

// untilAllEnd returns a context that ends when those of all wants have: no
// look-up's end is the others' end, but what nobody waits for holds nothing up.
func untilAllEnd(wants []*want) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(wants[0].ctx))
	var left atomic.Int64
	left.Store(int64(len(wants)))
	var stops []func() bool
	for _, w := range wants {
		stops = append(stops, context.AfterFunc(w.ctx, func() {
			if left.Add(-1) == 0 {
				cancel()
			}
		}))
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}

// particular reports whether a request failed for what was asked for.
func particular(err error) bool {
	var status interface{ Code() int }
	return errors.Is(err, ErrLog) || errors.Is(err, errTooLong) || errors.As(err, &status) && status.Code() < 500 && status.Code() != http.StatusTooManyRequests
}

// caught returns f with a panic as its error, for a goroutine of our own: what
// strangers have logged is read there, and must not end the process.
func caught(f func() error) func() error {
	return func() (err error) {
		if p := flight.Catch(func() { err = f() }); p != nil {
			return p
		}
		return err
	}
}

// close waits for requests under way. Whoever asks must have ended before.
func (g *gatherer) close() { g.running.Wait() }
