// Command tlogistry runs the registry front as a plain process, and checks
// what an instance has recorded without trusting it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
)

// Exit statuses of verify and audit. Whatever else keeps them from an answer,
// be it a wrong flag, is exitCannotTell too, so that 1 and 2 are findings alone.
// Other commands end with 1 on any error.
const (
	exitMoved       = 1 // a tag moved; an audit found a contradiction
	exitNotRecorded = 2 // a tag was never recorded
	exitCannotTell  = 3 // the log or the registry could not be asked or verified
)

// A statusError ends the process with a status of its own. One without an
// error has said everything on standard output.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *statusError) Unwrap() error { return e.err }

func main() {
	// Tessera's log is for servers. It is the process's, so run leaves it alone.
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// run runs the command that the arguments name and returns its exit status. An
// error is one line on stderr.
func run(ctx context.Context, args []string, in io.Reader, out, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	var status *statusError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status) && status.err == nil:
		return status.status
	}
	fmt.Fprintf(stderr, "tlogistry: %s\n", oneLine(err.Error()))
	switch {
	case status != nil:
		return status.status
	case cmd.Name() == "verify", cmd.Name() == "audit":
		return exitCannotTell
	}
	return 1
}

// oneLine puts the lines of joined errors, and of some parsers', on one.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(c rune) bool { return c == '\n' || c == '\r' }), "; ")
}

func newRoot() *cobra.Command {
	serve := newServe()
	root := &cobra.Command{
		Use:   "tlogistry",
		Short: "An OCI registry front that makes tags transparently immutable",
		Long: `tlogistry serves images of public registries. The first pull of a tag records its
digest in a transparency log; every later pull is checked against that record
and refused if the tag has moved. Without a command it serves.`,
		Example: `  tlogistry
  docker pull localhost:8080/alpine:3.16.0
  tlogistry verify alpine:3.16.0`,
		Args:          cobra.NoArgs,
		RunE:          serve.RunE,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(serve, newVerify(), newAudit(), newDemo(), &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "tlogistry", version())
			return err
		},
	})
	return root
}

// version returns the version that the Go command has built in.
func version() string {
	b, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	v := b.Main.Version
	for _, s := range b.Settings {
		if s.Key == "vcs.revision" && (v == "" || v == "(devel)") {
			v = s.Value
		}
	}
	return v + " " + b.GoVersion
}
