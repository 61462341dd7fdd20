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

// drainLimit is how long requests under way may take after SIGTERM. Cloud Run
// kills an instance ten seconds after it.
const drainLimit = 10 * time.Second

func newServe() *cobra.Command {
	var metricsAddress string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the registry front until SIGINT or SIGTERM",
		Long: `serve runs the HTTP function that runs in the cloud on a server of its own. It is
configured by environment variables alone. Without a Google identity and without
REKOR_URL it keeps a log of its own in TLOG_DIR.`,
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
	s := newServer(ctx, l, function, serverLimits, logger)
	fmt.Fprintf(cmd.OutOrStdout(), "tlogistry: listening on %s\n", address)
	err = s.wait(ctx)
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	if derr := tlogistry.Drain(ctx); err == nil {
		err = derr
	}
	s.end(ctx)
	observed.end(ctx, logger)
	return err
}
