// Package tally counts what is done on behalf of one request: what is asked of
// others, and what need not be asked.
//
// A tally travels in the request's context. Whatever sends a request sends it
// through [RoundTrip], whatever looks into a memory calls [Note], and neither
// knows who counts. Where several requests share one call, it is on the tally of
// the request that began it: the sum of all tallies is what was asked.
package tally

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// A Peer is a kind of server that requests are sent to.
type Peer uint8

// The peers of the service.
const (
	Registry Peer = iota // registries, their token servers and where they redirect to
	Log                  // Rekor
	Fulcio
	Metadata // Google's metadata server
	TUF      // the repository of the trusted root

	Peers = iota // how many there are
)

var peerNames = [Peers]string{"registry", "log", "fulcio", "metadata", "tuf"}

// String returns a peer's name, in lower case.
func (p Peer) String() string { return peerNames[p] }

// An Event is something else that is counted.
type Event uint8

// The events.
const (
	ManifestHit  Event = iota // a manifest was in memory
	ManifestMiss              // and was not
	RecordHit                 // the records of a tag were in memory
	RecordMiss                // and were not
	Ignored                   // an entry of the log's index is no record of ours
)

// A Call is a request that was sent.
type Call struct {
	Peer   Peer
	Method string
	Host   string // with a port where it is not the scheme's
	Start  time.Time
	Took   time.Duration // until the header of the answer, or the error
	Status int           // zero if there was no answer
}

// An Observer learns what is counted. Its methods must be safe for concurrent
// use, and are called after the request has been answered as well: some calls
// go on in the background.
type Observer interface {
	Called(Call)
	Noted(e Event, n int)
}

// A Tally is one request's. The zero value is ready for use. Its methods are
// safe for concurrent use.
type Tally struct {
	Observer Observer // to be set before In; nil: nobody else learns of anything

	counts [Peers]struct{ calls, nanoseconds atomic.Int64 }
}

type key struct{}

// In returns a context in which t counts.
func (t *Tally) In(ctx context.Context) context.Context {
	return context.WithValue(ctx, key{}, t)
}

// Calls returns how many requests were sent to a peer, again-sent ones
// included, and how long those took together that have been answered. Two that
// were under way at the same time count with both their times.
func (t *Tally) Calls(p Peer) (n int64, took time.Duration) {
	c := &t.counts[p]
	return c.calls.Load(), time.Duration(c.nanoseconds.Load())
}

// RoundTrip sends a request by a transport and counts it on the tally in the
// request's context, if there is one.
func RoundTrip(via http.RoundTripper, r *http.Request, p Peer) (*http.Response, error) {
	t, ok := r.Context().Value(key{}).(*Tally)
	if !ok {
		return via.RoundTrip(r)
	}
	c := &t.counts[p]
	c.calls.Add(1)
	start := time.Now()
	resp, err := via.RoundTrip(r)
	took := time.Since(start)
	c.nanoseconds.Add(int64(took))
	if t.Observer != nil {
		call := Call{Peer: p, Method: r.Method, Host: r.URL.Host, Start: start, Took: took}
		if err == nil {
			call.Status = resp.StatusCode
		}
		t.Observer.Called(call)
	}
	return resp, err
}

// Note counts n events for the tally in the context, if there is one.
func Note(ctx context.Context, e Event, n int) {
	t, ok := ctx.Value(key{}).(*Tally)
	if ok && t.Observer != nil {
		t.Observer.Noted(e, n)
	}
}
