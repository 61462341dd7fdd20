package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/term"

	"github.com/tlogistry/tlogistry/internal/config"
	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/rekorlog"
	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// maxState bounds a kept checkpoint, in bytes. Witnesses' signatures make one
// long.
const maxState = 1 << 20

func newAudit() *cobra.Command {
	var flags sourceFlags
	var output, state string
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Check everything that a log holds of an instance",
		Long: `audit goes through a whole tile log, or through all entries of one identity in
Rekor, and verifies each. It recomputes a tile log's root from its entries, checks
the checkpoint's signature, and with --state that the log has only grown since the
last audit. It reports tags with more than one digest and broken records.

Exit status: 0 nothing is wrong, 1 the log contradicts itself or the promise,
3 it could not be read, is not the log that is meant, does not hold what was recorded,
or nothing of it is believed, or anything else is wrong.`,
		Example: `  tlogistry audit --state ~/.tlogistry-checkpoint
  tlogistry audit --identity tlogistry@project.iam.gserviceaccount.com --output json
  tlogistry audit --tlog https://front.example/tlog/ --key KEY`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			print, err := printerOf(output)
			if err != nil {
				return err
			}
			return audit(cmd, flags, state, print)
		},
	}
	flags.register(cmd)
	registerOutput(cmd, &output)
	cmd.Flags().StringVar(&state, "state", "", "`file` that keeps the checkpoint for the next audit")
	return cmd
}

// audit audits the log that flags and environment name.
func audit(cmd *cobra.Command, flags sourceFlags, state string, print printer) error {
	c, err := flags.config()
	if err != nil {
		return err
	}
	old, err := readState(state)
	if err != nil {
		return err
	}
	progress, done := progressOn(cmd.ErrOrStderr())
	var r *report
	var checkpoint []byte
	if c.Log == config.Local {
		r, checkpoint, err = auditTiles(cmd.Context(), flags, c, old, progress)
	} else {
		r, checkpoint, err = auditRekor(cmd.Context(), c, old, progress)
	}
	done()
	// Whatever else is wrong, what is proved is kept: a log that takes a finding
	// back must not be a log that has only grown, to the next audit.
	var unkept error
	if checkpoint != nil {
		unkept = writeState(state, checkpoint)
	}
	if err != nil {
		return &statusError{statusOf(err), errors.Join(err, unkept)}
	}
	if err := print.report(cmd.OutOrStdout(), r); err != nil {
		return err
	}
	if status := r.status(); status != 0 {
		return &statusError{status, unkept}
	}
	return unkept
}

// statusOf tells a log that contradicts itself from one that cannot be read, or
// is not the one that the user means.
func statusOf(err error) int {
	var status *statusError
	if errors.As(err, &status) {
		return status.status
	}
	for _, stranger := range []error{rekorlog.ErrUnsigned, rekorlog.ErrKept} {
		if errors.Is(err, stranger) {
			return exitCannotTell
		}
	}
	for _, contradiction := range []error{tilelog.ErrDamaged, tilelog.ErrForked, rekorlog.ErrFork, rekorlog.ErrLog} {
		if errors.Is(err, contradiction) {
			return exitMoved
		}
	}
	return exitCannotTell
}

// auditTiles audits a tile log. It returns the log's checkpoint once its
// signature, its root and that it goes on from the old one are proved.
func auditTiles(ctx context.Context, flags sourceFlags, c config.Config, old []byte, progress func(done, total int)) (*report, []byte, error) {
	r, err := flags.openTiles(c)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	cp, err := r.Checkpoint(ctx)
	if err != nil {
		return nil, nil, err
	}
	if old != nil {
		before, err := r.Parse(old)
		if err != nil { // whatever it is, the log has not said it
			return nil, nil, &statusError{exitCannotTell, fmt.Errorf("the checkpoint kept from before: %w", err)}
		}
		if err := r.Consistent(ctx, before, cp); err != nil {
			return nil, nil, err
		}
	}
	rep := &report{Log: r.Origin(), Size: cp.Size}
	var found []record.Sighting
	err = r.Records(ctx, cp, func(index int64, _ []byte, rec tilelog.Record, err error) error {
		rep.Entries++
		progress(rep.Entries, int(cp.Size))
		if err != nil {
			rep.Broken = append(rep.Broken, fmt.Sprintf("entry %d: %v", index, err))
			return nil
		}
		s, err := rec.Sighting(index)
		found = append(found, s)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	rep.conclude(found)
	return rep, cp.Raw, nil
}

// auditRekor audits an identity's entries in Rekor. It returns the log's
// checkpoint once its signature and that it goes on from the old one are proved.
func auditRekor(ctx context.Context, c config.Config, old []byte, progress func(done, total int)) (*report, []byte, error) {
	log, err := openRekor(c)
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	id, err := log.Identity(ctx)
	if err != nil {
		return nil, nil, err
	}
	checkpoint, err := log.Checkpoint(ctx, old)
	if err != nil {
		return nil, nil, err
	}
	a, err := log.Audit(ctx, progress)
	if err != nil {
		return nil, checkpoint, err
	}
	rep := &report{
		Log:      c.RekorURL.String(),
		Identity: id.Subject,
		Issuer:   id.Issuer,
		Entries:  len(a.Records) + len(a.Unnamed) + len(a.Foreign) + len(a.Broken),
		Unnamed:  a.Unnamed,
		Ignored:  texts(a.Foreign),
		Broken:   texts(a.Broken),
	}
	rep.conclude(a.Records)
	return rep, checkpoint, nil
}

func texts(errs []error) []string {
	var t []string
	for _, err := range errs {
		t = append(t, err.Error())
	}
	return t
}

// progressOn returns what shows progress on a terminal, and what ends it. In a
// pipe both do nothing.
func progressOn(w io.Writer) (progress func(done, total int), end func()) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func(int, int) {}, func() {}
	}
	bar := progressbar.NewOptions(-1,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription("entries"),
		progressbar.OptionShowCount(),
		progressbar.OptionClearOnFinish())
	// A bar that cannot be drawn is no reason to stop.
	return func(done, total int) {
			bar.ChangeMax(total)
			_ = bar.Set(done)
		}, func() {
			_ = bar.Finish()
		}
}

// readState reads the checkpoint that the last audit kept, nil if there is none.
// Whose it is, the log's reader verifies; that it is a signed note, readState.
func readState(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxState+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) == 0:
		return nil, fmt.Errorf("%s is empty: remove it to begin anew", path)
	case len(b) > maxState:
		return nil, fmt.Errorf("%s is longer than %d bytes: it is no checkpoint", path, maxState)
	}
	var unverified *note.UnverifiedNoteError
	if _, err := note.Open(b, note.VerifierList()); !errors.As(err, &unverified) {
		return nil, fmt.Errorf("%s is no checkpoint: %w", path, err)
	}
	return b, nil
}

// writeState keeps a checkpoint, whole or not at all.
func writeState(path string, checkpoint []byte) error {
	if path == "" {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".checkpoint-*")
	if err != nil {
		return err
	}
	_, err = f.Write(checkpoint)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
