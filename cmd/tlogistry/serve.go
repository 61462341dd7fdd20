package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/tlogistry/tlogistry"
	"github.com/tlogistry/tlogistry/internal/config"
	"github.com/tlogistry/tlogistry/internal/embedded"
	"github.com/tlogistry/tlogistry/internal/front"
)

// drainLimit is how long requests under way may take after SIGTERM. Cloud Run
// kills an instance ten seconds after it.
const drainLimit = 10 * time.Second

func newServe() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Serve the registry front until SIGINT or SIGTERM",
		Long: `serve runs the HTTP function through the Functions Framework, as it runs in the
cloud. It is configured by environment variables alone. Without a Google identity
and without REKOR_URL it keeps a log of its own in TLOG_DIR.`,
		Example: `  tlogistry serve
  PORT=5000 ALLOW='docker.io/library/*' tlogistry serve`,
		Args: cobra.NoArgs,
		RunE: serve,
	}
}

// serve runs the function until the command's context ends, and then drains it.
func serve(cmd *cobra.Command, _ []string) error {
	c, err := config.Load(os.Getenv)
	if err != nil {
		return err
	}
	// The framework serves the function of this name at every path.
	if err := os.Setenv("FUNCTION_TARGET", "Registry"); err != nil {
		return err
	}
	klog.SetSlogLogger(front.NewLogger(os.Stderr)) // Tessera's
	ctx := cmd.Context()
	address := net.JoinHostPort(c.Host, c.Port)
	if err := listenable(address); err != nil {
		return err
	}
	if err := tlogistry.Start(ctx, embedded.Open); err != nil {
		return err
	}
	host := c.Host
	if strings.Contains(host, ":") { // the framework puts no brackets around IPv6
		host = "[" + host + "]"
	}
	failed := make(chan error, 1)
	go func() { failed <- funcframework.StartHostPort(host, c.Port) }()
	if err = accepting(ctx, address, failed); err == nil {
		fmt.Fprintf(cmd.OutOrStdout(), "tlogistry: listening on %s\n", address)
		select {
		case err = <-failed:
			err = fmt.Errorf("listen: %w", err)
		case <-ctx.Done():
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	if derr := tlogistry.Drain(ctx); err == nil {
		err = derr
	}
	return err
}

// listenable finds out whether the address can be listened on, before anything
// else starts. The framework opens its own listener and takes none.
func listenable(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err // it names the address
	}
	return l.Close()
}

// accepting waits until the address accepts connections, which the framework
// does not tell, until ctx ends, or until the framework has failed.
func accepting(ctx context.Context, address string, failed <-chan error) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	dialer := net.Dialer{Timeout: time.Second}
	for {
		if conn, err := dialer.DialContext(ctx, "tcp", address); err == nil {
			return conn.Close()
		}
		select {
		case err := <-failed:
			return fmt.Errorf("listen: %w", err)
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
