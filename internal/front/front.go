// Package front is the HTTP side of the service: it answers the read part of
// the OCI distribution API and is the only writer of responses.
//
// docs/request-handling.md describes what is answered to which request.
package front

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/tlogistry/tlogistry/internal/ociref"
	"github.com/tlogistry/tlogistry/internal/record"
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
	// error is record.ErrRecorded.
	Add(ctx context.Context, ref, digest string) (record.Sighting, error)
}

// Options are a handler's parts.
type Options struct {
	Log      Log
	Upstream *upstream.Client
	Allow    []ociref.Pattern // repositories that may be pulled; nil: every one
	Home     http.Handler     // answers every path outside /v2/
	Logger   *slog.Logger     // gets one line per request
	Stall    time.Duration    // longest wait for a client that does not read on; zero: 30 s
}

// A Handler answers pulls. It is safe for concurrent use.
type Handler struct {
	o Options
}

// New returns a handler made of the given parts.
func New(o Options) *Handler {
	if o.Stall == 0 {
		o.Stall = 30 * time.Second
	}
	return &Handler{o: o}
}

// ServeHTTP answers one request and logs one line about it.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t := &trace{start: time.Now()}
	cw := &countingWriter{ResponseWriter: w}
	defer func() { h.logRequest(r, t, cw) }()
	a, err := h.process(r, t)
	if a == nil && err == nil {
		h.o.Home.ServeHTTP(cw, r)
		return
	}
	if err != nil {
		t.err = err
		t.gone = errors.Is(err, context.Canceled) && r.Context().Err() != nil
		a = refuse(err)
	}
	if err := a.write(cw, r.Method, h.o.Stall); err != nil {
		t.err = errors.Join(t.err, err)
	}
}

// process decides what to answer. Neither an answer nor an error means the
// home page.
func (h *Handler) process(r *http.Request, t *trace) (*answer, error) {
	if r.URL.Path != "/v2" && !strings.HasPrefix(r.URL.Path, "/v2/") {
		return nil, nil
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil, errMethod
	}
	req, err := ociref.Parse(r.URL.EscapedPath())
	if err != nil {
		return nil, err
	}
	t.req = req
	if req.Kind == ociref.Ping {
		return &answer{status: http.StatusOK, header: jsonHeader(), body: []byte("{}")}, nil
	}
	if err := h.permit(req, r.Host); err != nil {
		return nil, err
	}
	switch {
	case req.Kind == ociref.Blob:
		return h.blob(r, req)
	case req.Kind == ociref.Manifest && req.Tag == "":
		return h.byDigest(r.Context(), req)
	case req.Kind == ociref.Manifest && !req.Derived():
		return h.byTag(r.Context(), req, t)
	}
	return h.pass(r, req)
}

// permit refuses a repository that is not to be pulled through this service.
func (h *Handler) permit(req ociref.Request, host string) error {
	if self, err := ociref.Registry(strings.ToLower(host)); err == nil && self == req.Registry() {
		return errSelf
	}
	if h.o.Allow == nil {
		return nil
	}
	for _, p := range h.o.Allow {
		if p.Match(req.Repo) {
			return nil
		}
	}
	return &notAllowedError{repo: req.Repo}
}
