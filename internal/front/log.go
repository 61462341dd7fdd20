package front

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/tally"
	"github.com/tlogistry/tlogistry/internal/telemetry"
)

// A trace gathers what a request's log line says, and what is measured.
type trace struct {
	start    time.Time
	kind     string // of request: a registry request's, or one of those below
	target          // as far as it was read
	path     string // of the request, as it was sent, if that is known
	digest   string // of the manifest that the registry served
	outcome  record.Outcome
	sighting record.Sighting
	first    bool
	err      error
	gone     bool // the client went away before there was an answer
	became   string
	calls    tally.Tally
	measured *telemetry.Request // nil if nothing is
}

// Kinds of requests that are no registry's.
const (
	kindHealth = "health"
	kindPage   = "page"
	kindBad    = "bad" // not a path of the registry's API, or refused before it was read
)

// statusClosed is logged where the client went away before there was an
// answer: what was written then reached nobody. The number is nginx's.
const statusClosed = 499

// status is what was answered, as the log has it.
func (t *trace) status(w *clientWriter) int {
	if t.gone {
		return statusClosed
	}
	return w.status
}

// done logs and measures a request.
func (h *Handler) done(r *http.Request, t *trace, w *clientWriter) {
	h.logRequest(r, t, w)
	if t.measured == nil {
		return
	}
	a := telemetry.Answer{
		Method: r.Method, Kind: t.kind, Status: t.status(w), Took: time.Since(t.start),
		Verdict: t.became, Limit: t.limited(), Digest: t.digest,
		Recorded: t.sighting.Digest, Index: t.sighting.Index,
	}
	if t.req.Repo != "" {
		a.Reference = t.name
	}
	t.measured.End(a)
}

// sent is the path of a request as the client sent it.
func (t *trace) sent(r *http.Request) string {
	if t.path != "" {
		return t.path
	}
	return r.URL.EscapedPath()
}

// clip cuts what others chose to what a log line bears.
func clip(s string) string {
	const most = 2048 // bytes; more than any path of the registry API has
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// mostAttrs is how many attributes a request's line has at most, on one level.
const mostAttrs = 24

// logRequest writes the one line of a request. An answer about health has none:
// probes come every few seconds, and would be most of the log. What they find
// wrong has a line of its own.
// The logger is passed by: it would look up the line of source that calls it.
func (h *Handler) logRequest(r *http.Request, t *trace, w *clientWriter) {
	status := t.status(w)
	if h.o.Logger == nil || t.kind == kindHealth && t.err == nil {
		return
	}
	level := slog.LevelInfo
	if t.err != nil {
		level = slog.LevelWarn
		if status >= http.StatusInternalServerError {
			level = slog.LevelError
		}
	}
	ctx := r.Context()
	if ctx.Err() != nil { // the line is written all the same
		ctx = context.WithoutCancel(ctx)
	}
	handler := h.o.Logger.Handler()
	if !handler.Enabled(ctx, level) {
		return
	}
	line := slog.NewRecord(time.Now(), level, "request", 0)
	var space [mostAttrs]slog.Attr
	line.AddAttrs(t.attrs(append(space[:0], slog.GroupAttrs("httpRequest",
		slog.String("requestMethod", clip(r.Method)),
		slog.String("requestUrl", clip(t.sent(r))),
		slog.Int("status", status),
		slog.Int64("responseSize", w.size),
		slog.String("userAgent", clip(r.UserAgent())),
		slog.Duration("latency", line.Time.Sub(t.start)))), r.Header)...)
	_ = handler.Handle(ctx, line) // there is no other place to tell
}

// attrs appends what a line says beside the exchange itself.
func (t *trace) attrs(to []slog.Attr, h http.Header) []slog.Attr {
	parent := telemetry.ParseParent(h)
	if t.measured != nil {
		parent = t.measured.Within(parent)
	}
	if parent.Trace != "" {
		to = append(to, slog.String("trace", parent.Trace))
		if parent.Span != "" {
			to = append(to, slog.String("spanId", parent.Span))
		}
		to = append(to, slog.Bool("traceSampled", parent.Sampled))
	}
	if t.req.Repo != "" {
		to = append(to, slog.String("kind", t.kind), slog.String("reference", t.name))
	}
	if t.digest != "" {
		to = append(to, slog.String("digest", t.digest))
	}
	if t.became != "" {
		to = append(to, slog.String("verdict", t.became))
	}
	if t.sighting.UUID != "" {
		to = append(to,
			slog.String("recorded", t.sighting.Digest),
			slog.Int64("logIndex", t.sighting.Index),
			slog.Bool("firstSeen", t.first))
		if t.sighting.By != (record.Identity{}) {
			to = append(to, slog.String("recordedBy", t.sighting.By.Subject))
		}
	}
	for p := range tally.Peers {
		if n, took := t.calls.Calls(tally.Peer(p)); n > 0 {
			to = append(to, slog.Int64(callNames[p].count, n), slog.Float64(callNames[p].took, float64(took.Microseconds())/1000))
		}
	}
	if t.err != nil {
		to = append(to, slog.String("error", clip(t.err.Error())))
	}
	return to
}

// callNames are the attributes of the requests sent to each peer: how many, and
// the milliseconds that they took together.
var callNames = func() (names [tally.Peers]struct{ count, took string }) {
	for p := range names {
		name := tally.Peer(p).String()
		names[p].count, names[p].took = name+"Requests", name+"Ms"
	}
	return names
}()
