// Command sigstore-local runs a whole Sigstore on loopback ports until it gets
// SIGINT or SIGTERM. Once everything answers it prints, as shell commands, the
// environment in which `tlogistry serve` uses it:
//
//	sigstore-local > env &
//	until [ -s env ]; do sleep 0.1; done; . ./env; tlogistry serve
//
// It is for trying things out. Nothing is kept: every start has new keys and
// an empty log.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "sigstore-local:", err)
		os.Exit(1)
	}
}

// run prints the environment to stdout and returns after ctx has ended and
// everything has stopped.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("sigstore-local", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var o sigstore.Options
	flags.StringVar(&o.Email, "email", sigstore.DefaultEmail, "service account that the metadata server names")
	flags.DurationVar(&o.SequenceEvery, "sequence-every", 0, "interval of the log's sequencer, such as 100ms; 0 integrates entries at once")
	flags.StringVar(&o.Dir, "dir", "", "existing directory for trusted_root.json (default a temporary one, removed at the end)")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}

	startCtx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	s, err := sigstore.Start(startCtx, o)
	if err != nil {
		return err
	}
	// One write, so that a reader never sees half of it.
	if _, err := io.WriteString(stdout, exports(s.Env())); err != nil {
		s.Close()
		return fmt.Errorf("print environment: %w", err)
	}
	<-ctx.Done()
	return s.Close()
}

// exports returns shell commands that set the variables, given as NAME=value.
func exports(env []string) string {
	var b strings.Builder
	for _, v := range env {
		name, value, _ := strings.Cut(v, "=")
		fmt.Fprintf(&b, "export %s=%s\n", name, quote(value))
	}
	return b.String()
}

// quote quotes a string for the shell where it needs it.
func quote(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+,="
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
