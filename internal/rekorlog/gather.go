package rekorlog

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync"

	"github.com/sigstore/rekor/pkg/generated/models"
)

// gathering is how many requests for gathered entries are under way at once.
const gathering = 8

type entriesByID = map[string]*models.LogEntryAnon

// A gatherer fetches entries for look-ups of different tags in common. While
// fewer requests than gathering are under way, each want is a request of its
// own, at once. What is wanted meanwhile waits, and goes together. It is safe
// for concurrent use.
type gatherer struct {
	// fetch fetches at most maxBatch entries, within a limit of its own.
	fetch func(ctx context.Context, ids []string) (entriesByID, error)

	mu      sync.Mutex
	waiting []*want // in order of arrival
	workers int
	running sync.WaitGroup // workers
}

// A want is a few entries that one look-up waits for.
type want struct {
	ctx    context.Context
	ids    []string
	result chan result
}

type result struct {
	entries entriesByID
	err     error
}

// entries returns the entries of at most maxBatch IDs. As with the client's
// own, the answer has these and no others.
func (g *gatherer) entries(ctx context.Context, ids []string) (entriesByID, error) {
	if len(ids) == maxBatch {
		return g.fetch(ctx, ids) // there is no room for others
	}
	w := &want{ctx, ids, make(chan result, 1)}
	g.mu.Lock()
	g.waiting = append(g.waiting, w)
	if g.workers < gathering {
		g.workers++
		g.running.Go(g.work)
	}
	g.mu.Unlock()
	select {
	case r := <-w.result:
		return r.entries, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
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
	}
}

// next takes what fits into one request. Where nothing waits the worker ends.
func (g *gatherer) next() []*want {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, taken := 0, 0
	for _, w := range g.waiting {
		if taken += len(w.ids); taken > maxBatch {
			break
		}
		n++
	}
	if n == 0 {
		g.workers--
		return nil
	}
	wants := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	return wants
}

// serve answers wants by one request. An answer that cannot be used is the
// fault of some entry, and concerns those alone who want that: each then gets a
// request of its own. That the log cannot be asked concerns all.
func (g *gatherer) serve(wants []*want) {
	wants = slices.DeleteFunc(wants, func(w *want) bool { return w.ctx.Err() != nil })
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
	// The limit is the fetch's own: no look-up's end is the others' end.
	found, err := g.fetch(context.WithoutCancel(wants[0].ctx), ids)
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
}

// particular reports whether a request failed for what was asked for.
func particular(err error) bool {
	var status interface{ Code() int }
	return errors.Is(err, ErrLog) || errors.Is(err, errTooLong) || errors.As(err, &status) && status.Code() < 500 && status.Code() != http.StatusTooManyRequests
}

// close waits for requests under way. Whoever asks must have ended before.
func (g *gatherer) close() { g.running.Wait() }
