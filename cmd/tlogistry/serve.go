package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/tlogistry/tlogistry"
	"github.com/tlogistry/tlogistry/internal/cloudlog"
	"github.com/tlogistry/tlogistry/internal/config"
	"github.com/tlogistry/tlogistry/internal/embedded"
	"github.com/tlogistry/tlogistry/internal/service"
)

// Cloud Run kills an instance ten seconds after SIGTERM. Requests under way may
// take so much of it that their answers can still arrive, which takes
// [flushLimit], and what was measured last can be exported.
const (
	endLimit   = 10 * time.Second
	drainLimit = 8 * time.Second
)

func newServe() *cobra.Command {
	var metricsAddress string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the registry front until SIGINT or SIGTERM",
		Long: `serve runs the HTTP function that runs in the cloud on a server of its own. It is
configured by environment variables alone. Where none of K_SERVICE,
GCE_METADATA_HOST and REKOR_URL is set and TLOG does not say otherwise, it keeps a
log of its own in TLOG_DIR.`,
		Example: `  tlogistry serve
  PORT=5000 ALLOW='docker.io/library/*' tlogistry serve`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd, metricsAddress) },
	}
	cmd.Flags().StringVar(&metricsAddress, "metrics-address", "", "address to answer Prometheus on, at /metrics, such as 127.0.0.1:9464")
	return cmd
}

// serve runs the function until the command's context ends, and then drains it.
// The Functions Framework would listen without any limit on slow clients. What it
// adds to a function beside that is for the platform's logs, and a panic is
// caught by the function itself.
func serve(cmd *cobra.Command, metricsAddress string) error {
	c, err := config.Load(os.Getenv)
	if err != nil {
		return err
	}
	bounds, err := serverLimits.within(serverShare)
	if err != nil {
		return err
	}
	logger := cloudlog.New(os.Stderr, c.LogFormat, c.Project)
	klog.SetSlogLogger(logger) // Tessera's
	ctx := cmd.Context()
	address := net.JoinHostPort(c.Host, c.Port)
	l, err := net.Listen("tcp", address) // before anything else starts
	if err != nil {
		return err // it names the address
	}
	observed, err := observe(ctx, metricsAddress, logger)
	if err != nil {
		_ = l.Close() // nobody was answered
		return err
	}
	function, err := tlogistry.Start(ctx, service.Options{Local: embedded.Open, Telemetry: observed.Instruments})
	if err != nil {
		_ = l.Close() // nobody was answered
		return err
	}
	s := newServer(ctx, l, function, bounds, logger)
	fmt.Fprintf(cmd.OutOrStdout(), "tlogistry: listening on %s\n", address)
	err = s.wait(ctx)
	ctx, cancel := context.WithTimeout(context.Background(), endLimit)
	defer cancel()
	if derr := drain(ctx); err == nil {
		err = derr
	}
	s.end(ctx)
	observed.end(ctx, logger)
	return err
}

// drain waits for the requests under way.
func drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	return tlogistry.Drain(ctx)
}
