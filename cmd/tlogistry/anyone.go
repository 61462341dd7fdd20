package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/tlogistry/tlogistry/internal/config"
	"github.com/tlogistry/tlogistry/internal/ociref"
	"github.com/tlogistry/tlogistry/internal/pullfile"
	"github.com/tlogistry/tlogistry/internal/record"
)

// A crowd is what everybody recorded for a reference.
type crowd struct {
	Reference string    `json:"reference"`
	Agree     bool      `json:"agree"` // all identities are known to have seen one digest
	Records   []witness `json:"records"`
	Reason    string    `json:"reason,omitempty"` // why it cannot be told

	split bool // two identities are known to have seen different digests
}

type witness struct {
	Identity  string    `json:"identity"`
	Issuer    string    `json:"issuer"`
	Recorded  string    `json:"recorded,omitempty"`
	FirstSeen time.Time `json:"firstSeen"`
	LogIndex  int64     `json:"logIndex"`
	UUID      string    `json:"uuid"`
}

// verifyAnyone prints what every identity recorded for each reference.
func verifyAnyone(cmd *cobra.Command, flags sourceFlags, images []pullfile.Image, print printer) error {
	flags.anyone = true
	c, err := flags.config()
	if err != nil {
		return err
	}
	if c.Log == config.Local {
		return errors.New("--anyone asks Rekor: set --rekor or REKOR_URL")
	}
	log, err := openRekor(c)
	if err != nil {
		return err
	}
	defer log.Close()
	found := make([]*crowd, len(images))
	g, ctx := errgroup.WithContext(cmd.Context())
	g.SetLimit(verifyAtOnce)
	for i, image := range images {
		g.Go(func() error {
			found[i] = everyone(ctx, log, image)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	all := []crowd{}
	for _, c := range found {
		if c != nil {
			all = append(all, *c)
		}
	}
	if err := print.crowds(cmd.OutOrStdout(), all); err != nil {
		return err
	}
	return worstCrowd(all)
}

// everyone returns who recorded a reference, or nil where it is named by digest.
// What keeps it from that is part of the answer.
func everyone(ctx context.Context, log *rekorSource, image pullfile.Image) *crowd {
	c := crowd{Reference: image.Reference, Records: []witness{}}
	err := image.Err
	var req ociref.Request
	if err == nil {
		req, err = ociref.ParseReference(image.Reference)
	}
	if err == nil && req.Tag == "" {
		return nil
	}
	var found []record.Witness
	if err == nil {
		c.Reference = req.String()
		found, err = log.Everyone(ctx, req.String())
	}
	if err != nil {
		c.Reason = oneLine(err.Error())
		return &c
	}
	c = crowdOf(req.String(), found)
	return &c
}

// crowdOf gathers the records of a reference. Each identity's first one counts.
func crowdOf(ref string, found []record.Witness) crowd {
	c := crowd{Reference: ref, Agree: true, Records: []witness{}}
	seen := make(map[record.Identity]bool)
	digest := ""
	for _, f := range found {
		c.Records = append(c.Records, witness{f.Identity.Subject, f.Identity.Issuer, f.Digest, f.Time, f.Index, f.UUID})
		switch {
		case seen[f.Identity]:
		case f.Digest == "":
			c.Agree = false // the log does not hold what it was
		case digest != "" && f.Digest != digest:
			c.Agree, c.split = false, true
		default:
			digest = f.Digest
		}
		seen[f.Identity] = true
	}
	return c
}

// worstCrowd returns the error that ends the process with the status of the
// worst of them, or nil.
func worstCrowd(all []crowd) error {
	var split, nobody, untold bool
	for _, c := range all {
		split = split || c.split
		nobody = nobody || c.Reason == "" && len(c.Records) == 0
		untold = untold || !c.Agree
	}
	switch {
	case split:
		return &statusError{status: exitMoved}
	case nobody:
		return &statusError{status: exitNotRecorded}
	case untold:
		return &statusError{status: exitCannotTell}
	}
	return nil
}

func (p printer) crowds(w io.Writer, all []crowd) error {
	if p.json {
		return p.value(w, all)
	}
	rows := [][]string{{"REFERENCE", "RECORDED", "FIRST SEEN", "LOG INDEX", "IDENTITY", "ISSUER"}}
	var notes []string
	for _, c := range all {
		for _, r := range c.Records {
			rows = append(rows, []string{c.Reference, r.Recorded, r.FirstSeen.UTC().Format(time.RFC3339), fmt.Sprint(r.LogIndex), r.Identity, r.Issuer})
		}
		switch {
		case c.Reason != "":
			notes = append(notes, cell(c.Reference)+": cannot tell: "+c.Reason)
		case len(c.Records) == 0:
			notes = append(notes, c.Reference+": nobody recorded it")
		case c.split:
			notes = append(notes, c.Reference+": identities saw different digests")
		case !c.Agree:
			notes = append(notes, c.Reference+": the log does not hold all that was recorded")
		}
	}
	if err := p.table(w, rows); err != nil {
		return err
	}
	for _, note := range notes {
		if _, err := fmt.Fprintln(w, note); err != nil {
			return err
		}
	}
	return nil
}
