package soak

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// The digests and records of the histories here: a and b have two digests, the
// record of a tag is named for its index.
const (
	a = "sha256:aaaa"
	b = "sha256:bbbb"
)

func record(index int64) Record {
	return Record{UUID: fmt.Sprint("entry-", index), Index: index, Time: time.Unix(1_700_000_000+index, 0)}
}

func entry(index int64, digest string) Entry {
	return Entry{Record: record(index), Tag: "t", Digest: digest, Shown: true}
}

// An op makes an operation on tag t.
type op func(*Operation)

func operation(start, end time.Duration, ops ...op) Operation {
	o := Operation{Instance: "one", Tag: "t", Method: http.MethodGet, Start: start, End: end}
	for _, change := range ops {
		change(&o)
	}
	return o
}

func served(digest string, index int64) op {
	return func(o *Operation) {
		o.Outcome, o.Status, o.Digest, o.Body, o.Record = Served, http.StatusOK, digest, digest, record(index)
	}
}

func refused(recorded, offered string, index int64) op {
	return func(o *Operation) {
		o.Outcome, o.Status, o.Recorded, o.Offered, o.Record = Refused, http.StatusForbidden, recorded, offered, record(index)
	}
}

func failed(o *Operation) { o.Status = http.StatusServiceUnavailable }
func first(o *Operation)  { o.First = true }
func at(instance string) op {
	return func(o *Operation) { o.Instance = instance }
}

func head(o *Operation) {
	o.Method, o.Body, o.Recorded, o.Offered = http.MethodHead, "", "", ""
}

// both is a registry that may answer with a and with b at any time.
var both = []Move{{"t", a, 0, 0}, {"t", b, 0, math.MaxInt64}}

// TestCheck gives the checker a history for each way to break the promise, and
// some that look like one and keep it.
func TestCheck(t *testing.T) {
	const (
		whole     = "answers are whole"
		one       = "a tag has one digest"
		inLog     = "a record named is in the log"
		rises     = "the index never rises"
		lowest    = "the lowest record decides"
		reason    = "a refusal has a reason"
		offered   = "what is answered is what the registry offers"
		firstSeen = "first seen once"
		register  = RuleLinearizable
	)
	for _, test := range []struct {
		name  string
		ops   []Operation
		log   []Entry
		moves []Move // both if nil
		want  []string
	}{
		// What keeps the promise.
		{"nothing", nil, nil, nil, nil},
		{"first, same, refused", []Operation{
			operation(0, 1, served(a, 5), first), operation(2, 3, served(a, 5)), operation(4, 5, refused(a, b, 5)),
		}, []Entry{entry(5, a)}, nil, nil},
		{"two first by one write", []Operation{
			operation(0, 5, served(a, 5), first), operation(4, 9, served(a, 5), first),
		}, []Entry{entry(5, a)}, nil, nil},
		{"the race that one instance loses", []Operation{
			operation(0, 9, served(a, 5), first), operation(0, 9, refused(a, b, 5), at("two")), operation(10, 11, served(a, 5), at("two")),
		}, []Entry{entry(5, a), entry(6, b)}, nil, nil},
		{"read before the writer has its answer", []Operation{
			operation(0, 9, served(a, 5), first), operation(2, 3, refused(a, b, 5), at("two")), operation(4, 5, served(a, 5), at("two")),
		}, []Entry{entry(5, a)}, nil, nil},
		{"recorded by one that failed", []Operation{
			operation(0, 1, failed), operation(20, 30, served(a, 5), at("two")),
		}, []Entry{entry(5, a)}, nil, nil},
		{"recorded by one that failed and was slow", []Operation{
			operation(0, 1, failed), operation(2, 9, served(b, 6), first, at("two")),
		}, []Entry{entry(6, b), entry(7, a)}, nil, nil},
		{"failures all the time", []Operation{
			operation(0, 1, failed), operation(0, 2, failed), operation(0, 3, failed), operation(1, 4, served(a, 5), first), operation(5, 6, failed), operation(7, 8, served(a, 5)),
		}, []Entry{entry(5, a)}, nil, nil},
		{"a lost entry counts for nobody", []Operation{operation(0, 1, served(a, 5), first)},
			[]Entry{{Record: record(4), Tag: "t", Digest: b}, entry(5, a)}, nil, nil},
		{"the statement is gone", []Operation{
			operation(0, 1, served(a, 5), first), operation(2, 3, refused("", b, 5)), operation(4, 5, refused(a, b, 5), head),
		}, []Entry{entry(5, a)}, nil, nil},
		{"moved meanwhile", []Operation{operation(50, 60, served(a, 5), first), operation(61, 62, refused(a, b, 5))},
			[]Entry{entry(5, a)}, []Move{{"t", a, 0, 1}, {"t", b, 55, 58}}, nil},
		{"moved while others asked", []Operation{operation(50, 60, served(a, 5), first)},
			[]Entry{entry(5, a)}, []Move{{"t", a, 0, 1}, {"t", b, 10, 45}}, nil}, // within reach

		// Two digests.
		{"two digests at once", []Operation{
			operation(0, 9, served(a, 5), first), operation(0, 9, served(b, 6), first, at("two")),
		}, []Entry{entry(5, a), entry(6, b)}, nil, []string{one, firstSeen, register}},
		{"two digests, later", []Operation{
			operation(0, 1, served(a, 5), first), operation(2, 3, served(b, 6), first, at("two")),
		}, []Entry{entry(5, a), entry(6, b)}, nil, []string{one, rises, firstSeen, lowest, register}},
		{"two digests by a record below", []Operation{
			operation(0, 1, served(b, 6), first), operation(2, 3, served(a, 5), at("two")),
		}, []Entry{entry(5, a), entry(6, b)}, nil, []string{one, register}},
		{"two digests by one record", []Operation{
			operation(0, 1, served(a, 5), first), operation(2, 3, served(b, 5)),
		}, []Entry{entry(5, a)}, nil, []string{one, inLog}},
		{"two digests of HEAD", []Operation{
			operation(0, 1, served(a, 5), first, head), operation(2, 3, served(b, 6), head),
		}, []Entry{entry(5, a), entry(6, b)}, nil, []string{one, rises, lowest, register}},

		// Not the log's.
		{"unrecorded", []Operation{operation(0, 1, served(a, 5), first)}, nil, nil, []string{inLog}},
		{"the record of another tag", []Operation{operation(0, 1, served(a, 5), first)},
			[]Entry{{Record: record(5), Tag: "other", Digest: a, Shown: true}}, nil, []string{inLog}},
		{"another digest than recorded", []Operation{operation(0, 1, served(a, 5), first)}, []Entry{entry(5, b)}, nil, []string{inLog}},
		{"another index than recorded", []Operation{operation(0, 1, served(a, 5), first)},
			[]Entry{{Record: Record{"entry-5", 4, record(5).Time}, Tag: "t", Digest: a, Shown: true}}, nil, []string{inLog}},
		{"another time than recorded", []Operation{operation(0, 1, served(a, 5), first)},
			[]Entry{{Record: Record{"entry-5", 5, record(6).Time}, Tag: "t", Digest: a, Shown: true}}, nil, []string{inLog}},
		{"refused by a record that is not there", []Operation{operation(0, 1, failed), operation(0, 1, refused(a, b, 5))}, nil, nil, []string{inLog, register}},

		// The order of records.
		{"a higher index with the same digest", []Operation{
			operation(0, 1, served(a, 5), first), operation(2, 3, served(a, 6), at("two")),
		}, []Entry{entry(5, a), entry(6, a)}, nil, []string{rises, lowest, register}},
		{"a higher index of a refusal", []Operation{
			operation(0, 1, served(a, 5), first), operation(2, 3, refused(b, a, 6), at("two")),
		}, []Entry{entry(5, a), entry(6, b)}, nil, []string{rises, lowest, register}},
		{"a lower index later", []Operation{
			operation(0, 1, served(a, 6), first), operation(2, 3, served(a, 5), at("two")),
		}, []Entry{entry(5, a), entry(6, a)}, nil, []string{register}},
		{"served by the second record", []Operation{operation(0, 1, served(b, 6), first)},
			[]Entry{entry(5, a), entry(6, b)}, nil, []string{lowest}},
		{"read before any write", []Operation{operation(0, 1, served(a, 5)), operation(2, 3, failed)},
			[]Entry{entry(5, a)}, nil, []string{register}},
		{"refused before any write", []Operation{operation(0, 1, refused(a, b, 5)), operation(2, 3, served(a, 5), first)},
			[]Entry{entry(5, a)}, nil, []string{register}},

		// Refusals.
		{"refused without a reason", []Operation{operation(0, 1, served(a, 5), first), operation(2, 3, refused(a, a, 5))},
			[]Entry{entry(5, a)}, nil, []string{reason}},
		{"refused with a wrong reason", []Operation{operation(0, 1, served(a, 5), first), operation(2, 3, refused("sha256:cccc", b, 5))},
			[]Entry{entry(5, a)}, nil, []string{reason}},
		{"refused what was never offered", []Operation{operation(0, 1, served(a, 5), first), operation(2, 3, refused(a, "sha256:cccc", 5))},
			[]Entry{entry(5, a)}, nil, []string{offered}},
		{"HEAD refused while the tag had not moved", []Operation{operation(0, 1, served(a, 5), first), operation(2, 3, refused(a, b, 5), head)},
			[]Entry{entry(5, a)}, []Move{{"t", a, 0, 0}}, []string{offered}},
		{"served what was not offered any more", []Operation{operation(0, 1, served(a, 5), first), operation(50, 51, served(a, 5))},
			[]Entry{entry(5, a)}, []Move{{"t", a, 0, 0}, {"t", b, 10, 15}}, []string{offered}},
		{"served what was not offered yet", []Operation{operation(0, 1, served(a, 5), first)},
			[]Entry{entry(5, a)}, []Move{{"t", b, 0, 0}, {"t", a, 10, 15}}, []string{offered}},

		// First seen.
		{"first seen again", []Operation{operation(0, 1, served(a, 5), first), operation(2, 3, served(a, 5), first)},
			[]Entry{entry(5, a)}, nil, []string{firstSeen}},
		{"first seen again by the third", []Operation{
			operation(0, 5, served(a, 5), first), operation(0, 9, served(a, 5), first), operation(7, 9, served(a, 5), first),
		}, []Entry{entry(5, a)}, nil, []string{firstSeen}},
		{"first seen by two", []Operation{operation(0, 9, served(a, 5), first), operation(0, 9, served(a, 5), first, at("two"))},
			[]Entry{entry(5, a)}, nil, []string{firstSeen}},
		{"first seen and refused", []Operation{operation(0, 9, served(a, 5), first), operation(0, 9, refused(a, b, 5), first)},
			[]Entry{entry(5, a)}, nil, []string{firstSeen}},

		// Answers.
		{"bytes of another digest", []Operation{operation(0, 1, served(a, 5), first, func(o *Operation) { o.Body = b })},
			[]Entry{entry(5, a)}, nil, []string{whole}},
		{"malformed", []Operation{operation(0, 1, func(o *Operation) { o.Malformed = "status 500" })}, nil, nil, []string{whole}},
		{"served without a record", []Operation{operation(0, 1, func(o *Operation) {
			o.Outcome, o.Status, o.Digest, o.Malformed = Served, http.StatusOK, a, "status 200 without a record"
		})}, nil, nil, []string{whole, inLog, register}},
		{"no digest", []Operation{operation(0, 1, served(a, 5), first, head, func(o *Operation) { o.Digest = "" })},
			[]Entry{entry(5, a)}, nil, []string{whole, inLog, offered}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.moves == nil {
				test.moves = both
			}
			r := Check(History{Operations: test.ops, Moves: test.moves, Log: test.log, Reach: 10})
			var got []string
			for _, v := range r.Violations {
				if !slices.Contains(got, v.Rule) {
					got = append(got, v.Rule)
				}
			}
			slices.Sort(got)
			slices.Sort(test.want)
			if !slices.Equal(got, test.want) {
				t.Errorf("broken rules %q, want %q", got, test.want)
				for _, v := range r.Violations {
					t.Log(v)
				}
			}
		})
	}
}

// TestCheckAfter checks the place in the history that a violation is given.
func TestCheckAfter(t *testing.T) {
	ops := []Operation{operation(0, 10, served(a, 5), first)}
	for i := range 50 {
		at := time.Duration(20 + 2*i)
		ops = append(ops, operation(at, at+1, refused(a, b, 5)))
	}
	ops[30] = operation(ops[30].Start, ops[30].End, served(b, 6), first, at("two"))
	r := Check(History{Operations: ops, Moves: both, Log: []Entry{entry(5, a), entry(6, b)}, Reach: 10})
	for _, rule := range []string{"a tag has one digest", "the index never rises", "first seen once", RuleLinearizable} {
		i := slices.IndexFunc(r.Violations, func(v Violation) bool { return v.Rule == rule })
		if i < 0 || r.Violations[i].After != 31 {
			t.Errorf("rule %q: want it broken after 31 operations, got %v", rule, r.Violations)
		}
	}
	if r.Unlinearizable != 1 || r.Linearizable != 0 || r.Tags != 1 || r.Contested != 1 {
		t.Errorf("got %v", r)
	}
}

// TestCheckMany has the checker judge what would take a naive one for ever:
// pulls that all failed and may all have recorded something.
func TestCheckMany(t *testing.T) {
	var ops []Operation
	var log []Entry
	for i := range 200 {
		ops = append(ops, operation(0, time.Duration(i), failed))
	}
	for i := range int64(5) {
		log = append(log, entry(i, []string{a, b}[i%2]))
	}
	for i := range 2000 {
		at := time.Duration(300 + i)
		ops = append(ops, operation(at, at+20, served(a, 0)), operation(at, at+20, refused(a, b, 0)), operation(at, at+20, failed))
	}
	began := time.Now()
	r := Check(History{Operations: ops, Moves: both, Log: log, Reach: 10})
	if len(r.Violations) != 0 || r.Linearizable != 1 {
		t.Errorf("got %v\n%v", r, r.Violations)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestReport checks what a report says.
func TestReport(t *testing.T) {
	r := Check(History{
		Operations: []Operation{
			operation(0, 1, served(a, 5), first), operation(2, 3, served(a, 5)), operation(4, 5, refused(a, b, 5)),
			operation(4, 5), operation(4, 5, failed), operation(6, 7, served(b, 6)),
		},
		Moves: both,
		Log:   []Entry{entry(5, a), entry(6, b), {Record: record(4), Tag: "t", Digest: b}},
		Reach: 10,
	})
	want := "6 operations: 3 served (1 first seen), 1 refused, 2 unknown (no answer 1, 503 1)\n" +
		"1 tags, 1 of them recorded with two digests or more; 3 records, 1 of them lost by the index\n" +
		"linearizable: 0 of 1 tags; 4 violations"
	if r.String() != want {
		t.Errorf("got\n%v\nwant\n%v", r, want)
	}
	text := r.Violations[0].String()
	want = "after 6 operations, t: a tag has one digest: served with two digests: \n" +
		"    #0 0s-0s GET at one: served 200, record 5, sha256:aaaa, first seen\n" +
		"    #0 0s-0s GET at one: served 200, record 6, sha256:bbbb"
	if text != want || strings.Count(text, "\n") != 2 {
		t.Errorf("got\n%v\nwant\n%v", text, want)
	}
}
