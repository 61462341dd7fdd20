package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"

	"github.com/tlogistry/tlogistry/internal/export"
)

// exportLimit is how long what was measured last may take to be exported when
// the command ends. A collector that cannot be reached must not hold it up.
const exportLimit = 3 * time.Second

// An observation is what the command exports while it serves.
type observation struct {
	*export.Exports
	server *httpServer // for Prometheus; nil if there is none
}

// observe begins to export what the environment asks for, and listens for
// Prometheus on an address if that is not empty.
func observe(ctx context.Context, address string, logger *slog.Logger) (*observation, error) {
	// OpenTelemetry's own errors have no other way out.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		logger.Warn("telemetry", "error", oneLine(err.Error()))
	}))
	otel.SetLogger(logr.FromSlogHandler(logger.Handler()))
	e, err := export.Start(ctx, export.Config{Version: version(), Prometheus: address != ""})
	if err != nil {
		return nil, err
	}
	o := &observation{Exports: e}
	if address == "" {
		return o, nil
	}
	bounds, err := metricsLimits.within(metricsShare)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--metrics-address: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", e.Metrics)
	o.server = newServer(ctx, l, mux, bounds, logger)
	return o, nil
}

// end exports what is left and ends the server for Prometheus.
func (o *observation) end(ctx context.Context, logger *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, exportLimit)
	defer cancel()
	if err := o.Shutdown(ctx); err != nil {
		logger.Warn("telemetry", "error", oneLine(err.Error()))
	}
	if o.server != nil {
		o.server.end(ctx)
	}
}
