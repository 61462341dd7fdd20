// Package telemetry makes OpenTelemetry's metrics and traces of requests.
//
// It knows the API of OpenTelemetry and no exporter: what becomes of the
// measurements is for the providers to say that it is given. The names are
// listed in docs/operations.md.
package telemetry

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/tlogistry/tlogistry/internal/tally"
)

// scope names the instruments' library.
const scope = "github.com/tlogistry/tlogistry"

// bounds are those of the histograms' buckets, in seconds: from an answer from
// memory to a create in a log under load.
var bounds = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// Instruments measure requests. They are safe for concurrent use.
type Instruments struct {
	tracer   trace.Tracer
	requests metric.Float64Histogram
	pulls    metric.Int64Counter
	calls    metric.Float64Histogram
	lookups  metric.Int64Counter
	ignored  metric.Int64Counter
	limited  metric.Int64Counter
}

// New returns instruments made by providers.
func New(traces trace.TracerProvider, metrics metric.MeterProvider) (*Instruments, error) {
	m := metrics.Meter(scope)
	var errs []error
	histogram := func(name, description string) metric.Float64Histogram {
		h, err := m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(bounds...))
		errs = append(errs, err)
		return h
	}
	counter := func(name, unit, description string) metric.Int64Counter {
		c, err := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
		return c
	}
	i := &Instruments{
		tracer:   traces.Tracer(scope),
		requests: histogram("tlogistry.request.duration", "Requests answered, until the answer was written, by kind and status."),
		pulls:    counter("tlogistry.pulls", "{pull}", "Pulls by tag, by verdict."),
		calls:    histogram("tlogistry.call.duration", "Requests sent to others, until the header of their answer, by peer and result."),
		lookups:  counter("tlogistry.memory.lookups", "{lookup}", "Looks into memory for a manifest or the records of a tag, by what was found."),
		ignored:  counter("tlogistry.entries.ignored", "{entry}", "Entries of the log's index that are no records of this identity."),
		limited:  counter("tlogistry.limited", "{request}", "Requests refused by a limit of this instance, by limit."),
	}
	return i, errors.Join(errs...)
}

// A Request is one that is being answered. It is the observer of its tally, and
// goes on as such when it has ended: calls in the background do. It is safe for
// concurrent use.
type Request struct {
	i    *Instruments
	ctx  context.Context // with the span; has no end
	span trace.Span
}

// Begin begins a request that started at a time, as a part of its parent.
func (i *Instruments) Begin(ctx context.Context, parent Parent, start time.Time) *Request {
	ctx, span := i.tracer.Start(trace.ContextWithRemoteSpanContext(context.WithoutCancel(ctx), parent.context()),
		"request", trace.WithTimestamp(start), trace.WithSpanKind(trace.SpanKindServer))
	return &Request{i, ctx, span}
}

// context is the parent as the API has it. It is invalid if there is none.
func (p Parent) context() trace.SpanContext {
	var c trace.SpanContextConfig
	var err error
	if c.TraceID, err = trace.TraceIDFromHex(p.Trace); err != nil {
		return trace.SpanContext{}
	}
	if c.SpanID, err = trace.SpanIDFromHex(p.Span); err != nil {
		return trace.SpanContext{}
	}
	c.TraceFlags, c.Remote = c.TraceFlags.WithSampled(p.Sampled), true
	return trace.NewSpanContext(c)
}

// Within returns what a log line of the request names as its trace and span:
// its own, or given if no traces are made.
func (r *Request) Within(given Parent) Parent {
	c := r.span.SpanContext()
	if !c.IsValid() || !r.span.IsRecording() {
		return given
	}
	return Parent{Trace: c.TraceID().String(), Span: c.SpanID().String(), Sampled: c.IsSampled()}
}

// An Answer is what became of a request.
type Answer struct {
	Method  string
	Kind    string // of request, one of few
	Status  int
	Took    time.Duration
	Verdict string // on a pull by tag, one of few; empty for other requests
	Limit   string // that refused the request, one of few; empty for none

	// For the trace alone.
	Reference string
	Digest    string // of the manifest that the registry served
	Recorded  string // digest of the record
	Index     int64  // of the record in the log, if Recorded is not empty
}

// End ends the request.
func (r *Request) End(a Answer) {
	r.i.requests.Record(r.ctx, a.Took.Seconds(), metric.WithAttributes(
		attribute.String("kind", a.Kind), attribute.Int("status", a.Status)))
	if a.Verdict != "" {
		r.i.pulls.Add(r.ctx, 1, metric.WithAttributes(attribute.String("verdict", a.Verdict)))
	}
	if a.Limit != "" {
		r.i.limited.Add(r.ctx, 1, metric.WithAttributes(attribute.String("limit", a.Limit)))
	}
	defer r.span.End()
	if !r.span.IsRecording() {
		return
	}
	r.span.SetName(method(a.Method) + " " + a.Kind)
	r.span.SetAttributes(attribute.String("http.request.method", method(a.Method)), attribute.Int("http.response.status_code", a.Status))
	for name, value := range map[string]string{
		"tlogistry.verdict": a.Verdict, "tlogistry.reference": a.Reference,
		"tlogistry.digest": a.Digest, "tlogistry.recorded": a.Recorded,
	} {
		if value != "" {
			r.span.SetAttributes(attribute.String(name, value))
		}
	}
	if a.Recorded != "" {
		r.span.SetAttributes(attribute.Int64("tlogistry.log_index", a.Index))
	}
	if a.Status >= http.StatusInternalServerError {
		r.span.SetStatus(codes.Error, "")
	}
}

// Called measures a request that was sent, and makes a span of it.
func (r *Request) Called(c tally.Call) {
	r.i.calls.Record(r.ctx, c.Took.Seconds(), metric.WithAttributes(
		attribute.String("peer", c.Peer.String()), attribute.String("result", result(c.Status))))
	if !r.span.SpanContext().IsSampled() {
		return
	}
	_, span := r.i.tracer.Start(r.ctx, c.Method+" "+c.Peer.String(), trace.WithTimestamp(c.Start), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("http.request.method", c.Method), attribute.String("server.address", c.Host)))
	if c.Status != 0 {
		span.SetAttributes(attribute.Int("http.response.status_code", c.Status))
	} else {
		span.SetStatus(codes.Error, "no answer")
	}
	span.End(trace.WithTimestamp(c.Start.Add(c.Took)))
}

// Noted measures another event.
func (r *Request) Noted(e tally.Event, n int) {
	lookup := func(memory string, hit bool) {
		r.i.lookups.Add(r.ctx, int64(n), metric.WithAttributes(attribute.String("memory", memory), attribute.Bool("hit", hit)))
	}
	switch e {
	case tally.ManifestHit, tally.ManifestMiss:
		lookup("manifests", e == tally.ManifestHit)
	case tally.RecordHit, tally.RecordMiss:
		lookup("records", e == tally.RecordHit)
	case tally.Ignored:
		r.i.ignored.Add(r.ctx, int64(n))
	}
}

// result is an answer's class, such as 2xx. Registries choose their statuses,
// and each would be a series of its own.
func result(status int) string {
	if status < 100 || status > 599 {
		return "error"
	}
	return strconv.Itoa(status/100) + "xx"
}

// method returns a method, if it is known. Clients choose theirs.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodTrace, http.MethodConnect:
		return m
	}
	return "_OTHER"
}
