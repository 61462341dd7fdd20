package telemetry_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tlogistry/tlogistry/internal/tally"
	"github.com/tlogistry/tlogistry/internal/telemetry"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// figures reads every point as "name{attributes} value", in order; a
// histogram's value is its count and sum.
func figures(t *testing.T, r *sdkmetric.ManualReader) []string {
	t.Helper()
	var all metricdata.ResourceMetrics
	check(t, r.Collect(t.Context(), &all))
	var list []string
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					list = append(list, fmt.Sprintf("%s{%s} %d", m.Name, names(p.Attributes), p.Value))
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					list = append(list, fmt.Sprintf("%s{%s} %d in %.3f %s", m.Name, names(p.Attributes), p.Count, p.Sum, m.Unit))
				}
			default:
				t.Errorf("%s is a %T", m.Name, d)
			}
		}
	}
	slices.Sort(list)
	return list
}

func names(s attribute.Set) string {
	var list []string
	for _, a := range s.ToSlice() {
		list = append(list, string(a.Key)+"="+a.Value.String())
	}
	return strings.Join(list, " ")
}

func TestMetrics(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	i, err := telemetry.New(noop.NewTracerProvider(), sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	check(t, err)
	r := i.Begin(t.Context(), telemetry.Parent{}, time.Now())
	for _, c := range []struct {
		peer   tally.Peer
		status int
	}{{tally.Registry, 200}, {tally.Registry, 299}, {tally.Registry, 307}, {tally.Registry, 401}, {tally.Log, 0}, {tally.Log, 999}, {tally.Fulcio, 503}} {
		r.Called(tally.Call{Peer: c.peer, Status: c.status, Took: 250 * time.Millisecond})
	}
	for _, e := range []tally.Event{tally.ManifestHit, tally.ManifestMiss, tally.RecordHit, tally.RecordMiss, tally.Ignored} {
		r.Noted(e, 3)
	}
	r.End(telemetry.Answer{Method: "GET", Kind: "manifest", Status: 200, Took: time.Second, Verdict: "served"})
	other := i.Begin(t.Context(), telemetry.Parent{}, time.Now())
	other.End(telemetry.Answer{Method: "GET", Kind: "bad", Status: 429, Took: time.Millisecond, Limit: "new records"})
	r.Called(tally.Call{Peer: tally.TUF, Status: 200, Took: time.Second}) // in the background
	want := []string{
		"tlogistry.call.duration{peer=fulcio result=5xx} 1 in 0.250 s",
		"tlogistry.call.duration{peer=log result=error} 2 in 0.500 s",
		"tlogistry.call.duration{peer=registry result=2xx} 2 in 0.500 s",
		"tlogistry.call.duration{peer=registry result=3xx} 1 in 0.250 s",
		"tlogistry.call.duration{peer=registry result=4xx} 1 in 0.250 s",
		"tlogistry.call.duration{peer=tuf result=2xx} 1 in 1.000 s",
		"tlogistry.entries.ignored{} 3",
		"tlogistry.limited{limit=new records} 1",
		"tlogistry.memory.lookups{hit=false memory=manifests} 3",
		"tlogistry.memory.lookups{hit=false memory=records} 3",
		"tlogistry.memory.lookups{hit=true memory=manifests} 3",
		"tlogistry.memory.lookups{hit=true memory=records} 3",
		"tlogistry.pulls{verdict=served} 1",
		"tlogistry.request.duration{kind=bad status=429} 1 in 0.001 s",
		"tlogistry.request.duration{kind=manifest status=200} 1 in 1.000 s",
	}
	if got := figures(t, reader); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	given := telemetry.Parent{Trace: "x"}
	if got := r.Within(given); got != given {
		t.Errorf("without traces, within %+v", got)
	}
}

// said is a span's own words.
func said(s tracetest.SpanStub) string {
	attrs := map[string]string{}
	for _, a := range s.Attributes {
		attrs[string(a.Key)] = a.Value.String()
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		list = append(list, name+"="+attrs[name])
	}
	return fmt.Sprintf("%s %s %v %s %s", s.Name, s.SpanKind, s.EndTime.Sub(s.StartTime), s.Status.Code, strings.Join(list, " "))
}

func TestTraces(t *testing.T) {
	kept := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(kept))
	i, err := telemetry.New(provider, sdkmetric.NewMeterProvider())
	check(t, err)
	parent := telemetry.Parent{Trace: "0af7651916cd43dd8448eb211c80319c", Span: "b7ad6b7169203331", Sampled: true}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	start := time.Now()
	r := i.Begin(ended, parent, start)
	within := r.Within(telemetry.Parent{})
	r.Called(tally.Call{Peer: tally.Registry, Method: "HEAD", Host: "ghcr.io", Status: 200, Start: start, Took: 20 * time.Millisecond})
	r.Called(tally.Call{Peer: tally.Log, Method: "POST", Host: "rekor.test", Start: start, Took: time.Second})
	r.End(telemetry.Answer{Method: "BREW", Kind: "manifest", Status: 503, Verdict: "moved", Reference: "ghcr.io/a/b:1",
		Digest: "sha256:1", Recorded: "sha256:2", Index: 7})
	spans := kept.GetSpans()
	if len(spans) != 3 {
		t.Fatalf("%d spans", len(spans))
	}
	for n, want := range []string{
		"HEAD registry client 20ms Unset http.request.method=HEAD http.response.status_code=200 server.address=ghcr.io",
		"POST log client 1s Error http.request.method=POST server.address=rekor.test",
	} {
		if got := said(spans[n]); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if spans[n].Parent.SpanID() != spans[2].SpanContext.SpanID() {
			t.Errorf("span %d is not the request's", n)
		}
	}
	request := spans[2]
	request.EndTime = request.StartTime
	want := "_OTHER manifest server 0s Error http.request.method=_OTHER http.response.status_code=503 tlogistry.digest=sha256:1 " +
		"tlogistry.log_index=7 tlogistry.recorded=sha256:2 tlogistry.reference=ghcr.io/a/b:1 tlogistry.verdict=moved"
	if got := said(request); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !request.StartTime.Equal(start) || request.Parent.SpanID().String() != parent.Span || !request.Parent.IsRemote() {
		t.Errorf("started %v of %v", request.StartTime, request.Parent)
	}
	c := request.SpanContext
	if want := (telemetry.Parent{Trace: parent.Trace, Span: c.SpanID().String(), Sampled: true}); within != want {
		t.Errorf("within %+v, want %+v", within, want)
	}
}

// A caller that keeps no trace is followed, by default; one without a trace
// begins one.
func TestSampling(t *testing.T) {
	kept := tracetest.NewInMemoryExporter()
	i, err := telemetry.New(sdktrace.NewTracerProvider(sdktrace.WithSyncer(kept)), sdkmetric.NewMeterProvider())
	check(t, err)
	not := telemetry.Parent{Trace: "0af7651916cd43dd8448eb211c80319c", Span: "b7ad6b7169203331"}
	r := i.Begin(t.Context(), not, time.Now())
	r.Called(tally.Call{Peer: tally.Registry})
	if got := r.Within(not); got != not {
		t.Errorf("within %+v", got)
	}
	r.End(telemetry.Answer{})
	if n := len(kept.GetSpans()); n != 0 {
		t.Errorf("%d spans are kept", n)
	}
	for _, p := range []telemetry.Parent{{}, {Trace: not.Trace}} {
		r = i.Begin(t.Context(), p, time.Now())
		if got := r.Within(p); len(got.Trace) != 32 || len(got.Span) != 16 || got.Trace == not.Trace || !got.Sampled {
			t.Errorf("of %+v: within %+v", p, got)
		}
		r.End(telemetry.Answer{})
	}
	if n := len(kept.GetSpans()); n != 2 {
		t.Errorf("%d spans", n)
	}
}
