package main

import (
	"fmt"
	"io"
	"time"

	"github.com/tlogistry/tlogistry/internal/record"
)

// A report is what an audit found.
type report struct {
	Log       string     `json:"log"`
	Identity  string     `json:"identity,omitempty"`
	Issuer    string     `json:"issuer,omitempty"`
	Size      int64      `json:"size,omitempty"` // of a tile log's tree
	Entries   int        `json:"entries"`
	Records   int        `json:"records"`
	Tags      int        `json:"tags"`
	Conflicts []conflict `json:"conflicts"`
	Broken    []string   `json:"broken"`
	Unnamed   []string   `json:"unnamed,omitempty"` // IDs of entries whose statement the log does not hold
	Ignored   []string   `json:"ignored,omitempty"` // entries that name the identity and are no records of it
	Warning   string     `json:"warning,omitempty"`
	Clean     bool       `json:"clean"`
}

// A conflict is a tag with more than one digest. The first record is the one
// that counts; the instance that wrote another one has never served by it, if
// it kept the rule.
type conflict struct {
	Reference string  `json:"reference"`
	Records   []logAt `json:"records"`
}

type logAt struct {
	Digest   string    `json:"digest"`
	LogIndex int64     `json:"logIndex"`
	Time     time.Time `json:"time"`
	UUID     string    `json:"uuid"`
}

// conclude counts records, lowest index first, and finds the conflicts.
func (r *report) conclude(found []record.Sighting) {
	r.Records = len(found)
	byRef := make(map[string][]logAt)
	var order []string
	for _, s := range found {
		if byRef[s.Ref] == nil {
			order = append(order, s.Ref)
		}
		byRef[s.Ref] = append(byRef[s.Ref], logAt{s.Digest, s.Index, s.Time, s.UUID})
	}
	r.Tags = len(order)
	r.Conflicts = []conflict{}
	if r.Broken == nil {
		r.Broken = []string{}
	}
	for _, ref := range order {
		for _, at := range byRef[ref] {
			if at.Digest != byRef[ref][0].Digest {
				r.Conflicts = append(r.Conflicts, conflict{ref, byRef[ref]})
				break
			}
		}
	}
	r.Warning = r.doubt()
	r.Clean = len(r.Conflicts) == 0 && len(r.Broken) == 0 && len(r.Unnamed) == 0 && r.Warning == ""
}

// doubt says so where entries name the identity and none of them is believed.
// One that is not is a stranger's. All of them are also where the trusted root
// is another Sigstore's, or too old, and then nothing has been audited.
func (r *report) doubt() string {
	if len(r.Ignored) == 0 || len(r.Ignored) < r.Entries {
		return ""
	}
	return fmt.Sprintf("none of the %d entries that name the identity is believed: is the trusted root this log's? The first: %s", r.Entries, r.Ignored[0])
}

// status returns the exit status that the report demands. Entries without a
// statement may hide a contradiction: nobody signed that the log has no
// statement for them.
func (r *report) status() int {
	switch {
	case r.Clean:
		return 0
	case len(r.Conflicts) > 0 || len(r.Broken) > 0:
		return exitMoved
	}
	return exitCannotTell
}

func (p printer) report(w io.Writer, r *report) error {
	if p.json {
		return p.value(w, r)
	}
	rows := [][]string{{"log", r.Log}}
	if r.Identity != "" {
		rows = append(rows, []string{"identity", r.Identity}, []string{"issuer", r.Issuer})
	}
	for _, count := range []struct {
		name string
		n    int
	}{
		{"entries", r.Entries},
		{"records", r.Records},
		{"tags", r.Tags},
		{"tags with more than one digest", len(r.Conflicts)},
		{"broken records", len(r.Broken)},
		{"entries without a statement", len(r.Unnamed)},
		{"entries ignored", len(r.Ignored)},
	} {
		rows = append(rows, []string{count.name, fmt.Sprint(count.n)})
	}
	if err := p.table(w, rows); err != nil {
		return err
	}
	rows = nil
	for _, c := range r.Conflicts {
		for _, at := range c.Records {
			rows = append(rows, []string{"conflict", c.Reference, at.Digest, fmt.Sprint(at.LogIndex), at.Time.UTC().Format(time.RFC3339)})
		}
	}
	for _, text := range r.Broken {
		rows = append(rows, []string{"broken", text})
	}
	if r.Warning != "" {
		rows = append(rows, []string{"warning", r.Warning})
	}
	return p.table(w, rows)
}
