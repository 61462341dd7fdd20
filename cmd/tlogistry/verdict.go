package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/tlogistry/tlogistry/internal/record"
)

// The verdicts on a reference.
const (
	same        = "same"
	moved       = "moved"
	notRecorded = "never recorded"
	unknown     = "cannot tell"
	pinned      = "pinned" // named by digest: there is nothing that could move
)

// A verdict says how a reference compares with its record.
type verdict struct {
	Reference string     `json:"reference"`
	Verdict   string     `json:"verdict"`
	Recorded  string     `json:"recorded,omitempty"` // digest; empty where the log has only a hash of the statement
	FirstSeen *time.Time `json:"firstSeen,omitempty"`
	LogIndex  *int64     `json:"logIndex,omitempty"`
	UUID      string     `json:"uuid,omitempty"`
	Identity  string     `json:"identity,omitempty"` // whose record it is, where several identities' count
	Issuer    string     `json:"issuer,omitempty"`
	Current   string     `json:"current,omitempty"` // digest that the registry serves
	Reason    string     `json:"reason,omitempty"`
}

func (d verdict) cannotTell(err error) verdict {
	d.Verdict, d.Reason = unknown, err.Error()
	return d
}

func (d *verdict) sighting(s record.Sighting) {
	d.Recorded, d.UUID, d.FirstSeen, d.LogIndex = s.Digest, s.UUID, &s.Time, &s.Index
}

// worst returns the error that ends the process with the status of the worst
// verdict, or nil.
func worst(verdicts []verdict) error {
	found := make(map[string]bool)
	for _, d := range verdicts {
		found[d.Verdict] = true
	}
	switch {
	case found[moved]:
		return &statusError{status: exitMoved}
	case found[notRecorded]:
		return &statusError{status: exitNotRecorded}
	case found[unknown]:
		return &statusError{status: exitCannotTell}
	}
	return nil
}

// A printer prints results for people or for programs.
type printer struct{ json bool }

func registerOutput(cmd *cobra.Command, format *string) {
	const name = "output"
	cmd.Flags().StringVarP(format, name, "o", "text", "output format: text or json")
	formats := cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp)
	if err := cmd.RegisterFlagCompletionFunc(name, formats); err != nil {
		panic(err) // only for a flag that there is not, or twice
	}
}

func printerOf(format string) (printer, error) {
	switch format {
	case "text":
		return printer{}, nil
	case "json":
		return printer{json: true}, nil
	}
	return printer{}, fmt.Errorf("--output=%q: want text or json", format)
}

// value prints v as JSON.
func (printer) value(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// table prints rows in columns.
func (printer) table(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, text := range row {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, cell(text))
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

// cell shows a text in one cell and on one line: a reference in a file may be
// anything, and must not look like a row of its own.
func cell(text string) string {
	if strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return strconv.Quote(text)
	}
	return cmp.Or(text, "-")
}

func (p printer) verdicts(w io.Writer, verdicts []verdict) error {
	if p.json {
		return p.value(w, verdicts)
	}
	rows := [][]string{{"REFERENCE", "VERDICT", "RECORDED", "FIRST SEEN", "LOG INDEX", "CURRENT"}}
	for _, d := range verdicts {
		row := []string{d.Reference, d.Verdict, d.Recorded, "", "", d.Current}
		if d.FirstSeen != nil {
			row[3], row[4] = d.FirstSeen.UTC().Format(time.RFC3339), fmt.Sprint(*d.LogIndex)
		}
		if d.Identity != "" {
			row = append(row, "recorded by "+d.Identity+" of "+d.Issuer)
		}
		if d.Reason != "" {
			row = append(row, d.Reason)
		}
		rows = append(rows, row)
	}
	return p.table(w, rows)
}
