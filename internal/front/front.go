// Package front is the HTTP side of the service: it answers the read part of
// the OCI distribution API and is the only writer of responses.
//
// docs/request-handling.md describes what is answered to which request.
package front

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/tlogistry/tlogistry/internal/flight"
	"github.com/tlogistry/tlogistry/internal/limit"
	"github.com/tlogistry/tlogistry/internal/ociref"
	"github.com/tlogistry/tlogistry/internal/ready"
	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/telemetry"
	"github.com/tlogistry/tlogistry/internal/upstream"
)

// A Log is what a handler needs of a transparency log.
// Its methods must be safe for concurrent use.
type Log interface {
	// Lookup returns the verified sightings of ref, lowest index first.
	// An empty list means that the log answered and holds none;
	// a log out of reach or an answer that cannot be verified is an error.
	// Before the first of a list no other can show later: whoever looked up
	// and did not write serves by it.
	Lookup(ctx context.Context, ref string) ([]record.Sighting, error)

	// Resolve fills in the digest of a sighting that Lookup returned without
	// one. It is digest if the statement about digest is the logged one, and
	// that is proved, signature included, without asking the log for the
	// statement. Else it is the digest that the log's copy of the statement
	// names. It stays empty where the log does not hold the statement.
	// A sighting that turns out to be no record of its reference after all is
	// record.ErrForeign.
	Resolve(ctx context.Context, s record.Sighting, digest string) (record.Sighting, error)

	// Add writes the record and returns it once its inclusion has been
	// verified and a look-up can no longer miss an earlier record of ref.
	// The record that decides may be another one: ask Lookup again.
	// If the log is known to have a record of ref, nothing is written and the
	// error is record.ErrRecorded. If it may not write one now, the error is a
	// *limit.Error. Only what is about to be written counts for that, and what
	// several callers write together counts once: a log knows, its caller does not.
	Add(ctx context.Context, ref, digest string) (record.Sighting, error)
}

// A Recaller is a Log that can say what it has in memory. Lookup need not then
// run in a goroutine of its own, beside the registry.
type Recaller interface {
	// Recall returns what Lookup would return for ref without asking anybody,
	// or false.
	Recall(ctx context.Context, ref string) ([]record.Sighting, bool)
}

// Options are a handler's parts.
type Options struct {
	Log      Log
	Upstream *upstream.Client
	Allow    []ociref.Pattern    // repositories that may be pulled; nil: every one
	Mutable  []ociref.TagPattern // tags that are passed through unrecorded; nil: none
	Clients  *limit.Clients      // requests below /v2/ that one client may make; nil: any
	Home     http.Handler        // answers every path outside /v2/
	Ready    *ready.Checker      // for the answers about health; nil: always ready
	Logger   *slog.Logger        // gets one line per request

	// Telemetry measures requests. Nil: nothing does.
	Telemetry *telemetry.Instruments

	Stall time.Duration // longest wait for a client that does not read on; zero: 30 s
}

// A Handler answers pulls. It is safe for concurrent use.
type Handler struct {
	o        Options
	recaller Recaller            // o.Log, if it is one
	targets  *targets            // what was asked for before
	room     *semaphore.Weighted // for the bytes of large answers
	spare    buffers             // for streams
}

// New returns a handler made of the given parts.
func New(o Options) *Handler {
	if o.Stall == 0 {
		o.Stall = 30 * time.Second
	}
	h := &Handler{o: o, targets: newTargets(), room: semaphore.NewWeighted(largeRoom), spare: make(buffers, spareBuffers)}
	h.recaller, _ = o.Log.(Recaller)
	return h
}

// ServeHTTP answers one request and logs one line about it.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t := h.begin(r)
	cw := &clientWriter{ResponseWriter: w, stall: h.o.Stall}
	defer withoutBody(cw, r)()
	defer func() { h.done(r, t, cw) }()
	defer func() {
		if p := recover(); p != nil {
			h.crashed(p, r, t, cw)
		}
	}()
	a, err := h.process(r, t)
	if t.ns != "" {
		cw.Header().Set("OCI-Namespace", t.ns)
	}
	if a == nil && err == nil {
		h.o.Home.ServeHTTP(cw, r.WithContext(t.calls.In(r.Context())))
		return
	}
	if err != nil {
		t.err = err
		h.logPanic(r.Context(), err)
		t.gone = errors.Is(err, context.Canceled) && r.Context().Err() != nil
		a = refuse(err)
	}
	t.became = t.verdict()
	if err := h.give(a, cw, r.Method); err != nil {
		t.err = errors.Join(t.err, err)
		if errors.Is(err, errRoom) { // and so the client got something else
			t.became = t.verdict()
		}
	}
}

// begin begins to gather what is to be said of a request.
func (h *Handler) begin(r *http.Request) *trace {
	t := &trace{start: time.Now(), kind: kindBad}
	if h.o.Telemetry != nil {
		t.measured = h.o.Telemetry.Begin(r.Context(), telemetry.ParseParent(r.Header), t.start)
		t.calls.Observer = t.measured
	}
	return t
}

// crashed answers a request whose handling panicked, as far as nothing has been
// answered, and tells the log where. Other requests go on.
func (h *Handler) crashed(p any, r *http.Request, t *trace, w *clientWriter) {
	t.err = &flight.PanicError{Value: p, Stack: debug.Stack()}
	t.became = t.verdict()
	h.logPanic(r.Context(), t.err)
	if w.status != 0 {
		breakOff(w)
		return
	}
	_ = refuse(t.err).write(w, r.Method) // the client went away; there is nobody to tell
}

// logPanic tells the log where a panic was, if that is what an error is.
func (h *Handler) logPanic(ctx context.Context, err error) {
	var p *flight.PanicError
	if h.o.Logger != nil && errors.As(err, &p) {
		h.o.Logger.ErrorContext(ctx, "panic", "error", fmt.Sprint(p.Value), "stack", string(p.Stack))
	}
}

// process decides what to answer. Neither an answer nor an error means the
// home page.
func (h *Handler) process(r *http.Request, t *trace) (*answer, error) {
	if r.URL.Path != "/v2" && !strings.HasPrefix(r.URL.Path, "/v2/") {
		return h.outside(r, t)
	}
	if err := h.o.Clients.Take(r); err != nil {
		return nil, err
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil, errMethod
	}
	if upstream.Looped(r.Header) {
		return nil, errLoop
	}
	query, err := h.read(r, t)
	if err != nil {
		return nil, err
	}
	ctx, req := t.calls.In(r.Context()), t.req
	switch {
	case req.Kind == ociref.Ping:
		return &answer{status: http.StatusOK, header: jsonHeader(), body: []byte("{}")}, nil
	case req.Kind == ociref.Blob:
		return h.blob(ctx, r, req)
	case req.Kind == ociref.Manifest && req.Tag == "":
		return h.byDigest(ctx, req)
	case t.pull:
		return h.byTag(ctx, req, t)
	}
	return h.pass(ctx, r, req, t.ns, query)
}

// outside answers what is not below /v2/, as far as it is not the home page's.
func (h *Handler) outside(r *http.Request, t *trace) (*answer, error) {
	a, err := h.health(r)
	t.kind = kindHealth
	if a == nil && err == nil {
		t.kind = kindPage
	}
	return a, err
}
