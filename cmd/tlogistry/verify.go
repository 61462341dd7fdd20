package main

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/tlogistry/tlogistry/internal/ociref"
	"github.com/tlogistry/tlogistry/internal/pullfile"
	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/service"
	"github.com/tlogistry/tlogistry/internal/upstream"
)

// verifyAtOnce is how many references are verified at the same time.
const verifyAtOnce = 8

func newVerify() *cobra.Command {
	var flags sourceFlags
	var files []string
	var output string
	var anyone bool
	cmd := &cobra.Command{
		Use:   "verify [REF...]",
		Short: "Compare tags with what was recorded for them",
		Long: `verify asks the log itself what was recorded for each reference, verifies the
answer completely, asks the real registry what the tag points at now, and
compares. It needs no running instance and trusts none.

References come from the arguments, from the files given with -f (the images of
a Dockerfile, or of a Kubernetes or Compose YAML), or, without both, one a line
from standard input.

Exit status: 0 all are the same, 1 any has moved, 2 any was never recorded,
3 any cannot be told, or anything else is wrong.`,
		Example: `  tlogistry verify alpine:3.16.0
  tlogistry verify --identity tlogistry@project.iam.gserviceaccount.com -f Dockerfile
  tlogistry verify --tlog https://front.example/tlog/ --key KEY alpine:3.16.0
  tlogistry verify --anyone alpine:3.16.0`,
		RunE: func(cmd *cobra.Command, args []string) error {
			print, err := printerOf(output)
			if err != nil {
				return err
			}
			refs, err := references(args, files, cmd.InOrStdin())
			if err != nil {
				return err
			}
			if anyone {
				return verifyAnyone(cmd, flags, refs, print)
			}
			return verify(cmd, flags, refs, print)
		},
	}
	flags.register(cmd)
	cmd.Flags().StringArrayVarP(&files, "file", "f", nil, "read references from a Dockerfile or a YAML `file`; - is standard input")
	registerOutput(cmd, &output)
	cmd.Flags().StringVar(&flags.trusted, "trusted", "", "`issuer=identity` pairs, comma-separated, whose records count as well (TRUSTED_IDENTITIES)")
	cmd.MarkFlagsMutuallyExclusive("tlog", "trusted")
	cmd.Flags().BoolVar(&anyone, "anyone", false, "list what every identity recorded (Rekor only)")
	cmd.MarkFlagsMutuallyExclusive("anyone", "trusted")
	return cmd
}

// references gathers references, each once, in order.
func references(args, files []string, in io.Reader) ([]pullfile.Image, error) {
	if len(args) == 0 && len(files) == 0 {
		files = []string{"-"}
	}
	var images []pullfile.Image
	for _, ref := range args {
		images = append(images, pullfile.Image{Reference: ref})
	}
	for _, name := range files {
		found, err := imagesOf(name, in)
		if err != nil {
			return nil, err
		}
		images = append(images, found...)
	}
	if len(images) == 0 {
		return nil, errors.New("no references: name them, or a file with -f")
	}
	seen := make(map[string]bool)
	return slices.DeleteFunc(images, func(i pullfile.Image) bool {
		key := canonical(i)
		twice := seen[key]
		seen[key] = true
		return twice
	}), nil
}

// canonical returns what is the same for two spellings of a reference. What is
// no reference is only like itself.
func canonical(i pullfile.Image) string {
	if i.Err != nil {
		return "error: " + i.Err.Error()
	}
	if req, err := ociref.ParseReference(i.Reference); err == nil {
		return req.String()
	}
	return "none: " + i.Reference
}

func imagesOf(name string, in io.Reader) ([]pullfile.Image, error) {
	if name == "-" {
		return pullfile.Read(name, in)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return pullfile.Read(name, f)
}

// verify prints a verdict on each reference.
func verify(cmd *cobra.Command, flags sourceFlags, images []pullfile.Image, print printer) error {
	v, err := newVerifier(cmd.Context(), flags)
	if err != nil {
		return err
	}
	defer v.close()
	verdicts := make([]verdict, len(images))
	g, ctx := errgroup.WithContext(cmd.Context())
	g.SetLimit(verifyAtOnce)
	for i, image := range images {
		g.Go(func() error {
			verdicts[i] = v.judge(ctx, image)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := print.verdicts(cmd.OutOrStdout(), verdicts); err != nil {
		return err
	}
	return worst(verdicts)
}

// A verifier compares a log's records with what registries serve.
type verifier struct {
	log      source
	upstream *upstream.Client
	several  bool // identities have records that count
}

func newVerifier(ctx context.Context, flags sourceFlags) (*verifier, error) {
	c, err := flags.config()
	if err != nil {
		return nil, err
	}
	registries, err := service.Registries(c)
	if err != nil {
		return nil, err
	}
	log, err := flags.open(ctx, c)
	if err != nil {
		registries.Close()
		return nil, &statusError{exitCannotTell, err}
	}
	return &verifier{log: log, upstream: registries, several: len(c.Trusted) > 0}, nil
}

func (v *verifier) close() {
	v.log.Close()
	v.upstream.Close()
}

// judge compares one reference. What keeps it from that is part of the verdict.
func (v *verifier) judge(ctx context.Context, image pullfile.Image) verdict {
	d := verdict{Reference: image.Reference}
	if image.Err != nil {
		return d.cannotTell(image.Err)
	}
	req, err := ociref.ParseReference(image.Reference)
	if err != nil {
		return d.cannotTell(err)
	}
	d.Reference = req.String()
	if req.Tag == "" {
		d.Verdict, d.Current = pinned, req.Digest
		return d
	}
	m, uerr := v.upstream.Manifest(ctx, req)
	if uerr == nil {
		d.Current = m.Digest
	}
	sightings, err := v.log.Lookup(ctx, req.String())
	if err != nil {
		return d.cannotTell(err)
	}
	outcome, s, err := record.Settle(ctx, d.Current, sightings, v.log.Resolve)
	if err != nil {
		return d.cannotTell(err)
	}
	if outcome == record.Unseen {
		d.Verdict = notRecorded
		return d
	}
	d.sighting(s)
	if v.several {
		d.Identity, d.Issuer = s.By.Subject, s.By.Issuer
	}
	if uerr != nil {
		return d.cannotTell(uerr)
	}
	d.Verdict = moved
	if outcome == record.Same {
		d.Verdict = same
	}
	return d
}
