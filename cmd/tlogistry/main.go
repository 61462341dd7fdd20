// Command tlogistry runs the registry front as a plain process.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"

	"github.com/tlogistry/tlogistry"
	"github.com/tlogistry/tlogistry/internal/config"
)

// drainLimit is how long requests under way may take after SIGTERM. Cloud Run
// kills an instance ten seconds after it.
const drainLimit = 10 * time.Second

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "tlogistry: %v\n", err)
		os.Exit(1)
	}
}

// run runs the command named by the arguments; serve if there is none.
func run(args []string, out io.Writer) error {
	switch {
	case len(args) == 0, len(args) == 1 && args[0] == "serve":
		return serve(out)
	}
	return fmt.Errorf("unknown command %q: want serve", args[0])
}

// serve runs the function until SIGINT or SIGTERM, and then drains it.
func serve(out io.Writer) error {
	c, err := config.Load(os.Getenv)
	if err != nil {
		return err
	}
	if c.Log == config.Local {
		return errors.New("no transparency log: set REKOR_URL, or run with a Google identity, which K_SERVICE or GCE_METADATA_HOST tells")
	}
	// The framework serves the function of this name at every path.
	if err := os.Setenv("FUNCTION_TARGET", "Registry"); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed := make(chan error, 1)
	go func() { failed <- funcframework.StartHostPort(c.Host, c.Port) }()
	fmt.Fprintf(out, "tlogistry: listening on %s\n", net.JoinHostPort(c.Host, c.Port))
	select {
	case err := <-failed:
		return fmt.Errorf("listen: %w", err)
	case <-ctx.Done():
	}
	stop() // a second signal ends the process at once
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	return tlogistry.Drain(ctx)
}
