package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	metricscollector "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracecollector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlpmetrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	otlptrace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A collector is what OTLP is sent to over HTTP. It keeps the last value of
// each series, "name{attribute=value …}", and every span. A histogram's value
// is its count.
type collector struct {
	*httptest.Server
	mu      sync.Mutex
	service map[string]bool // service.name of what sent
	values  map[string]int64
	spans   []*otlptrace.Span
}

func newCollector(t *testing.T) *collector {
	c := &collector{values: map[string]int64{}, service: map[string]bool{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = c.take(r.URL.Path, body)
		}
		if err != nil {
			t.Errorf("%s: %v", r.URL.Path, err)
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) take(path string, body []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch path {
	case "/v1/traces":
		var req tracecollector.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &req); err != nil {
			return err
		}
		for _, r := range req.ResourceSpans {
			c.service[attribute(r.Resource.Attributes, "service.name")] = true
			for _, s := range r.ScopeSpans {
				c.spans = append(c.spans, s.Spans...)
			}
		}
	case "/v1/metrics":
		var req metricscollector.ExportMetricsServiceRequest
		if err := proto.Unmarshal(body, &req); err != nil {
			return err
		}
		for _, r := range req.ResourceMetrics {
			c.service[attribute(r.Resource.Attributes, "service.name")] = true
			for _, s := range r.ScopeMetrics {
				for _, m := range s.Metrics {
					c.keep(m)
				}
			}
		}
	default:
		return fmt.Errorf("not a path of OTLP")
	}
	return nil
}

func (c *collector) keep(m *otlpmetrics.Metric) {
	for _, p := range m.GetSum().GetDataPoints() {
		c.values[series(m.Name, p.Attributes)] = p.GetAsInt()
	}
	for _, p := range m.GetHistogram().GetDataPoints() {
		c.values[series(m.Name, p.Attributes)] = int64(p.Count)
	}
}

func series(name string, attrs []*common.KeyValue) string {
	var list []string
	for _, a := range attrs {
		list = append(list, a.Key+"="+valueOf(a.Value))
	}
	slices.Sort(list)
	return name + "{" + strings.Join(list, " ") + "}"
}

func valueOf(v *common.AnyValue) string {
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_BoolValue:
		return fmt.Sprint(v.BoolValue)
	case *common.AnyValue_IntValue:
		return fmt.Sprint(v.IntValue)
	}
	return fmt.Sprint(v)
}

func attribute(attrs []*common.KeyValue, name string) string {
	for _, a := range attrs {
		if a.Key == name {
			return valueOf(a.Value)
		}
	}
	return ""
}

// request returns the span of a request within a trace, and how many calls it
// made of each peer.
func (c *collector) request(t *testing.T, trace string) (*otlptrace.Span, map[string]int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var request *otlptrace.Span
	calls := map[string]int{}
	for _, s := range c.spans {
		switch {
		case fmt.Sprintf("%x", s.TraceId) != trace:
		case s.Kind == otlptrace.Span_SPAN_KIND_SERVER:
			request = s
		default:
			_, peer, _ := strings.Cut(s.Name, " ")
			calls[peer]++
		}
	}
	if request == nil {
		t.Fatalf("no span of trace %s", trace)
	}
	return request, calls
}
