package front_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/tlogistry/tlogistry/internal/cloudlog"
	"github.com/tlogistry/tlogistry/internal/front"
	"github.com/tlogistry/tlogistry/internal/limit"
	"github.com/tlogistry/tlogistry/internal/logtest"
	"github.com/tlogistry/tlogistry/internal/telemetry"
	"github.com/tlogistry/tlogistry/internal/upstream"
)

// measures are what a site has measured.
type measures struct {
	reader *sdkmetric.ManualReader
	spans  *tracetest.InMemoryExporter
	made   *telemetry.Instruments
}

func newMeasures(t testing.TB) *measures {
	t.Helper()
	m := &measures{reader: sdkmetric.NewManualReader(), spans: tracetest.NewInMemoryExporter()}
	var err error
	m.made, err = telemetry.New(sdktrace.NewTracerProvider(sdktrace.WithSyncer(m.spans)),
		sdkmetric.NewMeterProvider(sdkmetric.WithReader(m.reader)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// count returns a metric's points, "value,value N" by the attributes' values.
func (m *measures) count(t *testing.T, name string) []string {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := m.reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	var list []string
	add := func(attrs attribute.Set, n int64) {
		var values []string
		for _, a := range attrs.ToSlice() {
			values = append(values, a.Value.String())
		}
		list = append(list, fmt.Sprintf("%s %d", strings.Join(values, ","), n))
	}
	for _, scope := range all.ScopeMetrics {
		for _, metric := range scope.Metrics {
			if metric.Name != name {
				continue
			}
			switch d := metric.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					add(p.Attributes, p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					add(p.Attributes, int64(p.Count))
				}
			}
		}
	}
	slices.Sort(list)
	return list
}

// Every way that a pull by tag can end has its word, in the line and in the
// metrics.
func TestVerdicts(t *testing.T) {
	m := newMeasures(t)
	s := newSite(t, setup{measure: m.made, allow: []string{"registry.test/app", "127.0.0.1/app"}, clients: limit.NewClients(16, 0)})
	old, digest := image("old")
	fresh, _ := image("new")
	s.origin.push(t, "app", "1.0", old)
	s.origin.push(t, "app", "2.0", old)
	s.origin.push(t, "app", "sha256-"+strings.Repeat("0", 64), old)
	n := 0
	step := func(want, path string) {
		t.Helper()
		n++
		s.do("GET", path)
		line := s.lines.wait(t, n)[n-1]
		if want == "" && strings.Contains(line, `"verdict"`) || want != "" && !strings.Contains(line, fmt.Sprintf(`"verdict":%q`, want)) {
			t.Errorf("want %s: %s", want, line)
		}
	}
	step("first", appPath)
	step("served", appPath)
	step("served", appPath)
	s.log.FailOnce(logtest.Lookup, errors.New("broken"))
	step("unavailable", appPath)
	s.log.FailOnce(logtest.Add, &limit.Error{What: "new records", PerMinute: 1, Wait: time.Second})
	step("limited", "/v2/registry.test/app/manifests/2.0")
	s.origin.push(t, "app", "1.0", fresh)
	step("moved", appPath)
	step("unknown", "/v2/registry.test/app/manifests/3.0")
	step("denied", "/v2/registry.test/other/manifests/1.0")
	step("denied", "/v2/127.0.0.1/app/manifests/1.0")
	step("", "/v2/registry.test/app/manifests/"+digest)
	step("", "/v2/registry.test/app/manifests/sha256-"+strings.Repeat("0", 64))
	step("", "/v2/registry.test/app/tags/list")
	step("", "/v2/registry.test/App/manifests/1.0")
	step("", "/v2/")
	step("", "/")
	s.do("GET", "/healthz")
	s.origin.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	step("registry", appPath)
	step("", "/v2/") // the last that the client may send
	step("", "/v2/")
	s.server.Close() // waits for the handlers: an answer is out before it is measured
	for name, want := range map[string][]string{
		"tlogistry.pulls":            {"denied 2", "first 1", "limited 1", "moved 1", "registry 1", "served 2", "unavailable 1", "unknown 1"},
		"tlogistry.limited":          {"new records 1", "requests from one address 1"},
		"tlogistry.memory.lookups":   {"false,manifests 4", "true,manifests 5"},
		"tlogistry.request.duration": nil,
	} {
		if got := m.count(t, name); want != nil && !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	kinds := map[string]bool{}
	for _, point := range m.count(t, "tlogistry.request.duration") {
		kinds[strings.Split(point, ",")[0]] = true
	}
	for _, kind := range []string{"ping", "manifest", "tags", "bad", "page", "health"} {
		if !kinds[kind] {
			t.Errorf("no %s among %v", kind, kinds)
		}
	}
	requests, calls := 0, 0
	for _, span := range m.spans.GetSpans() {
		if span.Parent.IsValid() {
			calls++
		} else {
			requests++
		}
	}
	if asked := len(s.origin.asked()); requests != n+1 || calls != asked+1 { // one is kept from an address
		t.Errorf("%d spans of %d requests, %d of %d calls", requests, n+1, calls, asked+1)
	}
}

// BenchmarkMeasured answers a pull by digest from memory with and without
// measurements.
func BenchmarkMeasured(b *testing.B) {
	o := newOrigin(b)
	registries := upstream.New(upstream.Config{Mirrors: map[string]*url.URL{"registry.test": o.url}})
	b.Cleanup(registries.Close)
	manifest, digest := image("old")
	o.push(b, "app", "1.0", manifest)
	metrics := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))
	traces := sdktrace.NewTracerProvider(sdktrace.WithBatcher(discard{}))
	b.Cleanup(func() { _ = traces.Shutdown(context.Background()) })
	on, err := telemetry.New(traces, metrics)
	if err != nil {
		b.Fatal(err)
	}
	for _, bc := range []struct {
		name string
		made *telemetry.Instruments
	}{{"off", nil}, {"on", on}} {
		h := front.New(front.Options{
			Log:       logtest.New(1).Instance(),
			Upstream:  registries,
			Home:      http.NotFoundHandler(),
			Logger:    cloudlog.New(io.Discard, cloudlog.JSON, ""),
			Telemetry: bc.made,
		})
		r := httptest.NewRequest(http.MethodGet, "/v2/registry.test/app/manifests/"+digest, nil)
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w := blank{header: make(http.Header)}
				if h.ServeHTTP(&w, r); w.status != http.StatusOK {
					b.Fatalf("status %d", w.status)
				}
			}
		})
	}
}

// discard is an exporter to nowhere.
type discard struct{}

func (discard) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (discard) Shutdown(context.Context) error                             { return nil }
