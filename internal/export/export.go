// Package export sends what package telemetry measures to where the standard
// OTEL_ variables say, and shows it to Prometheus.
//
// It is apart so that the function does not carry it: OpenTelemetry's SDK and
// its OTLP exporter over HTTP alone add 1.95 MB to the 24.4 MB of a stripped
// function binary, which is a part of every cold start.
package export

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/attribute"
	prometheusexporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tlogistry/tlogistry/internal/telemetry"
)

// A Config says what is to be exported, beside what the environment says.
type Config struct {
	Version    string // of the service
	Prometheus bool   // whether Metrics is wanted
}

// Exports are under way until they are shut down. Nothing waits for them: what
// a collector does not take is dropped.
type Exports struct {
	Instruments *telemetry.Instruments // nil if nothing is exported
	Metrics     http.Handler           // answers Prometheus; nil if not wanted

	shutdowns []func(context.Context) error
}

// Start begins to export. Traces are exported if OTEL_TRACES_EXPORTER or an
// endpoint for them is set, metrics likewise, and neither where
// OTEL_SDK_DISABLED is true. Without any of these variables nobody is asked for
// anything, as OpenTelemetry's own default, a collector on this machine, would
// be. All other variables are read by the SDK and package autoexport.
func Start(ctx context.Context, c Config) (*Exports, error) {
	e := new(Exports)
	if err := e.start(ctx, c); err != nil {
		return nil, errors.Join(err, e.Shutdown(ctx))
	}
	return e, nil
}

func (e *Exports) start(ctx context.Context, c Config) error {
	about, err := describe(ctx, c.Version)
	if err != nil {
		return err
	}
	traces, err := e.traces(ctx, about)
	if err != nil {
		return err
	}
	readers, err := e.readers(ctx, c.Prometheus)
	if err != nil {
		return err
	}
	if traces == nil && len(readers) == 0 {
		return nil
	}
	options := []sdkmetric.Option{sdkmetric.WithResource(about)}
	for _, r := range readers {
		options = append(options, sdkmetric.WithReader(r))
	}
	metrics := sdkmetric.NewMeterProvider(options...)
	e.shutdowns = append(e.shutdowns, metrics.Shutdown)
	if traces == nil {
		traces = noop.NewTracerProvider()
	}
	e.Instruments, err = telemetry.New(traces, metrics)
	return err
}

// traces returns what exports traces, or nil if none are to be exported.
func (e *Exports) traces(ctx context.Context, about *resource.Resource) (trace.TracerProvider, error) {
	if !wanted("TRACES") {
		return nil, nil
	}
	x, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, fmt.Errorf("export traces as OTEL_ variables say: %w", err)
	}
	// A full queue drops spans rather than hold up who ends them.
	p := sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithBatcher(x))
	e.shutdowns = append(e.shutdowns, p.Shutdown)
	return p, nil
}

// readers returns what reads the metrics. The one that works by itself comes
// last, so that nothing can fail once it does.
func (e *Exports) readers(ctx context.Context, forPrometheus bool) ([]sdkmetric.Reader, error) {
	var readers []sdkmetric.Reader
	if forPrometheus {
		r, err := e.prometheus()
		if err != nil {
			return nil, fmt.Errorf("show metrics to Prometheus: %w", err)
		}
		readers = append(readers, r)
	}
	if wanted("METRICS") {
		r, err := autoexport.NewMetricReader(ctx)
		if err != nil {
			return nil, fmt.Errorf("export metrics as OTEL_ variables say: %w", err)
		}
		readers = append(readers, r)
	}
	return readers, nil
}

// wanted reports whether the environment asks for the export of a signal.
func wanted(signal string) bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	switch os.Getenv("OTEL_" + signal + "_EXPORTER") {
	case "none":
		return false
	case "":
		return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != ""
	}
	return true
}

// describe returns what tells this process from others. OTEL_SERVICE_NAME and
// OTEL_RESOURCE_ATTRIBUTES come last, so that they decide.
func describe(ctx context.Context, version string) (*resource.Resource, error) {
	about, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(
			attribute.String("service.name", "tlogistry"),
			attribute.String("service.version", version),
			attribute.String("service.instance.id", rand.Text())),
		resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	return about, nil
}

// prometheus makes the handler for Prometheus, and returns what reads the
// metrics for it. The process's own figures are added, as Prometheus's users
// expect.
func (e *Exports) prometheus() (sdkmetric.Reader, error) {
	registry := prometheus.NewRegistry()
	if err := errors.Join(
		registry.Register(collectors.NewGoCollector()),
		registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
	); err != nil {
		return nil, err
	}
	e.Metrics = promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
	return prometheusexporter.New(prometheusexporter.WithRegisterer(registry), prometheusexporter.WithoutScopeInfo())
}

// Shutdown exports what has not been yet, and ends. It takes no longer than ctx
// allows; what could not be exported until then is lost.
func (e *Exports) Shutdown(ctx context.Context) error {
	var errs []error
	for _, end := range e.shutdowns {
		errs = append(errs, end(ctx))
	}
	return errors.Join(errs...)
}
