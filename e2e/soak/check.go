package soak

import (
	"cmp"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// A Violation is a broken rule.
type Violation struct {
	Rule  string
	Tag   string
	Text  string
	After int // how many operations had ended when it could be seen
}

// A Report is the judgement on a history.
type Report struct {
	Operations int
	Served     int
	First      int // of those served
	Refused    int
	Unknown    map[int]int // by status, 0 without an answer

	Tags           int // with an operation
	Contested      int // tags with records of different digests
	Records        int // in the log
	Lost           int // of those, not in its index
	Linearizable   int // tags
	Unlinearizable int // tags, or such that the check did not decide

	Violations []Violation // the earliest first
}

// A rule finds what breaks it on one tag.
type rule struct {
	name  string
	check func(*tagHistory) []finding
}

// A finding is a violation that is not yet named.
type finding struct {
	text string
	at   time.Duration // when it could be seen
}

// rules are what [Check] checks beside linearizability. Several may find the
// same fault: each says something else of it.
var rules = []rule{
	{"answers are whole", answersWhole},
	{"a tag has one digest", oneDigest},
	{"a record named is in the log", backed},
	{"the index never rises", neverRises},
	{"the lowest record decides", lowestDecides},
	{"a refusal has a reason", refusalReason},
	{"what is answered is what the registry offers", offeredThen},
	{"first seen once", firstOnce},
}

// RuleLinearizable is the rule of violations that the linearizability check
// finds.
const RuleLinearizable = "a tag is a register that is written once"

// A tagHistory is the part of a history that is about one tag.
type tagHistory struct {
	whole      *History
	tag        string
	operations []Operation // in the order of their ends
	log        []Entry     // lowest index first
	byID       map[string]Entry
}

// answered returns the operations that were served or refused.
func (t *tagHistory) answered() []Operation {
	return slices.DeleteFunc(slices.Clone(t.operations), func(o Operation) bool { return o.Outcome == Unknown })
}

// Check judges a history.
func Check(h History) Report {
	r := Report{Operations: len(h.Operations), Records: len(h.Log), Unknown: make(map[int]int)}
	r.count(h)
	for _, t := range split(&h) {
		r.Tags++
		var digests, records []string
		for _, e := range t.log {
			records = append(records, e.UUID)
			if !slices.Contains(digests, e.Digest) {
				digests = append(digests, e.Digest)
			}
		}
		if len(digests) > 1 {
			r.Contested++
		}
		for _, rule := range rules {
			for _, f := range rule.check(t) {
				r.Violations = append(r.Violations, Violation{rule.name, t.tag, f.text, h.ended(f.at)})
			}
		}
		switch result := linearizable(t.operations, records); result {
		case porcupine.Ok:
			r.Linearizable++
		case porcupine.Illegal:
			at := firstIllegal(t.operations, records)
			r.Violations = append(r.Violations, Violation{RuleLinearizable, t.tag, "not linearizable: " + evidence(until(t.answered(), at)), h.ended(at)})
			r.Unlinearizable++
		default:
			r.Violations = append(r.Violations, Violation{RuleLinearizable, t.tag, "not decided in time", len(h.Operations)})
			r.Unlinearizable++
		}
	}
	slices.SortStableFunc(r.Violations, func(a, b Violation) int { return cmp.Compare(a.After, b.After) })
	return r
}

func (r *Report) count(h History) {
	for _, o := range h.Operations {
		switch o.Outcome {
		case Served:
			r.Served++
			if o.First {
				r.First++
			}
		case Refused:
			r.Refused++
		default:
			r.Unknown[o.Status]++
		}
	}
	for _, e := range h.Log {
		if !e.Shown {
			r.Lost++
		}
	}
}

// split returns the history of each tag that has been pulled, by name.
func split(h *History) []*tagHistory {
	tags := make(map[string]*tagHistory)
	var all []*tagHistory
	for _, o := range h.Operations {
		t := tags[o.Tag]
		if t == nil {
			t = &tagHistory{whole: h, tag: o.Tag, byID: make(map[string]Entry)}
			tags[o.Tag] = t
			all = append(all, t)
		}
		t.operations = append(t.operations, o)
	}
	for _, e := range h.Log {
		if t := tags[e.Tag]; t != nil {
			t.log = append(t.log, e)
			t.byID[e.UUID] = e
		}
	}
	for _, t := range all {
		slices.SortFunc(t.operations, func(a, b Operation) int { return cmp.Compare(a.End, b.End) })
		slices.SortFunc(t.log, func(a, b Entry) int { return cmp.Compare(a.Index, b.Index) })
	}
	slices.SortFunc(all, func(a, b *tagHistory) int { return cmp.Compare(a.tag, b.tag) })
	return all
}
