package export_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.uber.org/goleak"

	"github.com/tlogistry/tlogistry/internal/export"
	"github.com/tlogistry/tlogistry/internal/telemetry"
)

func TestMain(m *testing.M) {
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "OTEL_") {
			os.Unsetenv(name)
		}
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {})) // the process's, and it would print
	goleak.VerifyTestMain(m)
}

// A collector is what OTLP is sent to by HTTP.
type collector struct {
	*httptest.Server
	mu    sync.Mutex
	paths []string
	text  string // all bodies
}

func newCollector(t *testing.T) *collector {
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.text += string(body)
		if !slices.Contains(c.paths, r.URL.Path) {
			c.paths = append(c.paths, r.URL.Path)
			slices.Sort(c.paths)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// setenv sets variables given as name=value, with the collector's address for
// URL.
func (c *collector) setenv(t *testing.T, env ...string) {
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, strings.ReplaceAll(value, "URL", c.URL))
	}
}

// measure measures one request.
func measure(t *testing.T, e *export.Exports) {
	if e.Instruments != nil {
		e.Instruments.Begin(t.Context(), telemetry.Parent{}, time.Now()).End(telemetry.Answer{Method: "GET", Kind: "ping", Status: 200})
	}
}

// What is exported, and where to, is for the standard variables to say. Without
// them nothing is.
func TestVariables(t *testing.T) {
	const traces, metrics = "/v1/traces", "/v1/metrics"
	for _, tt := range []struct {
		name string
		env  []string
		want []string // paths; nil: nothing is measured
	}{
		{"none", nil, nil},
		{"others", []string{"OTEL_SERVICE_NAME=x", "OTEL_RESOURCE_ATTRIBUTES=a=b", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"}, nil},
		{"endpoint", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=URL"}, []string{metrics, traces}},
		{"endpoint of traces", []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=URL/v1/traces"}, []string{traces}},
		{"endpoint of metrics", []string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=URL/own/path"}, []string{"/own/path"}},
		{"no traces", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=URL", "OTEL_TRACES_EXPORTER=none"}, []string{metrics}},
		{"no metrics", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=URL", "OTEL_METRICS_EXPORTER=none"}, []string{traces}},
		{"neither", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=URL", "OTEL_METRICS_EXPORTER=none", "OTEL_TRACES_EXPORTER=none"}, nil},
		{"disabled", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=URL", "OTEL_TRACES_EXPORTER=otlp", "OTEL_SDK_DISABLED=TRUE"}, nil},
		{"not disabled", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=URL", "OTEL_SDK_DISABLED=false"}, []string{metrics, traces}},
		{"not sampled", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=URL", "OTEL_TRACES_SAMPLER=always_off"}, []string{metrics}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCollector(t)
			c.setenv(t, tt.env...)
			e, err := export.Start(t.Context(), export.Config{Version: "v1"})
			if err != nil {
				t.Fatal(err)
			}
			if (e.Instruments != nil) != (tt.want != nil) || e.Metrics != nil {
				t.Errorf("%+v", e)
			}
			measure(t, e)
			if err := e.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			if !slices.Equal(c.paths, tt.want) {
				t.Errorf("sent to %q, want %q", c.paths, tt.want)
			}
		})
	}
}

// Names of the service are the environment's, else its own.
func TestResource(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  []string
		has  []string
	}{
		{"default", nil, []string{"tlogistry", "service.version", "v1.2.3", "service.instance.id"}},
		{"name", []string{"OTEL_SERVICE_NAME=front-of-acme"}, []string{"front-of-acme", "v1.2.3"}},
		{"attributes", []string{"OTEL_RESOURCE_ATTRIBUTES=service.name=acme-too,team=blue"}, []string{"acme-too", "team", "blue"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCollector(t)
			c.setenv(t, append(tt.env, "OTEL_EXPORTER_OTLP_ENDPOINT=URL", "OTEL_METRICS_EXPORTER=none")...)
			e, err := export.Start(t.Context(), export.Config{Version: "v1.2.3"})
			if err != nil {
				t.Fatal(err)
			}
			measure(t, e)
			if err := e.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			for _, s := range tt.has {
				if !strings.Contains(c.text, s) {
					t.Errorf("no %q in %q", s, c.text)
				}
			}
		})
	}
}

func TestBadVariables(t *testing.T) {
	for _, tt := range []struct{ env, want string }{
		{"OTEL_TRACES_EXPORTER=fax", "export traces as OTEL_ variables say: unknown exporter"},
		{"OTEL_METRICS_EXPORTER=fax", "export metrics as OTEL_ variables say: unknown exporter"},
		{"OTEL_RESOURCE_ATTRIBUTES=nonsense", "OTEL_RESOURCE_ATTRIBUTES: "},
	} {
		name, value, _ := strings.Cut(tt.env, "=")
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			e, err := export.Start(t.Context(), export.Config{})
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) || e != nil {
				t.Errorf("%+v, %v", e, err)
			}
		})
	}
}

func TestPrometheus(t *testing.T) {
	e, err := export.Start(t.Context(), export.Config{Prometheus: true, Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	measure(t, e)
	w := httptest.NewRecorder()
	e.Metrics.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, line := range []string{
		`tlogistry_request_duration_seconds_count{kind="ping",status="200"} 1`,
		"# TYPE tlogistry_request_duration_seconds histogram", "go_goroutines ", "process_resident_memory_bytes ", `service_name="tlogistry"`,
	} {
		if !strings.Contains(w.Body.String(), line) {
			t.Errorf("no %s in %s", line, w.Body)
		}
	}
	if err := e.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// A collector that takes connections and never answers holds up neither a
// request nor, beyond what it is given, the end.
func TestBlackHole(t *testing.T) {
	release := make(chan struct{})
	hole := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer hole.Close()
	defer close(release)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", hole.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600000") // what waits for it waits for longer than a busy machine takes
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "16")
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
	e, err := export.Start(t.Context(), export.Config{})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for range 10_000 { // far more than the queue has room for
		measure(t, e)
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("10,000 requests took %v", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start = time.Now()
	if err := e.Shutdown(ctx); err == nil {
		t.Error("what was not taken is not lost")
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("the end took %v", took)
	}
}
