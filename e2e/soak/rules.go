package soak

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// answersWhole: every answer is one that the service gives, a 200 or 403 names
// its record, and a manifest's bytes have the digest that the header says.
func answersWhole(t *tagHistory) (found []finding) {
	for _, o := range t.operations {
		switch {
		case o.Malformed != "":
			found = append(found, finding{fmt.Sprintf("%v: %s", o, o.Malformed), o.End})
		case o.Outcome == Served && o.Digest == "":
			found = append(found, finding{fmt.Sprintf("%v: no digest", o), o.End})
		case o.Body != "" && o.Body != o.Digest:
			found = append(found, finding{fmt.Sprintf("%v: the bytes have the digest %s", o, o.Body), o.End})
		}
	}
	return found
}

// oneDigest: no tag is answered 200 with two digests, ever, by any instance.
func oneDigest(t *tagHistory) (found []finding) {
	var first Operation
	for _, o := range t.operations {
		switch {
		case o.Outcome != Served:
		case first.Outcome != Served:
			first = o
		case o.Digest != first.Digest:
			found = append(found, finding{"served with two digests: " + evidence([]Operation{first, o}), o.End})
		}
	}
	return found
}

// backed: what an answer names as its record is an entry of the log, with that
// index and time, and of this tag; what is served has its digest.
func backed(t *tagHistory) (found []finding) {
	for _, o := range t.answered() {
		e, ok := t.byID[o.Record.UUID]
		switch {
		case !ok:
			found = append(found, finding{fmt.Sprintf("%v: the log has no record %q of the tag", o, o.Record.UUID), o.End})
		case e.Index != o.Record.Index || !e.Time.Equal(o.Record.Time):
			found = append(found, finding{fmt.Sprintf("%v at %v: in the log it is %d at %v", o, o.Record.Time, e.Index, e.Time), o.End})
		case o.Outcome == Served && e.Digest != o.Digest:
			found = append(found, finding{fmt.Sprintf("%v: the record is of %s", o, e.Digest), o.End})
		}
	}
	return found
}

// neverRises: once a tag was answered by a record, no operation that starts
// later is answered by one with a higher index.
func neverRises(t *tagHistory) (found []finding) {
	answered := t.answered()
	for _, o := range answered {
		for _, before := range answered {
			if before.End >= o.Start {
				break
			}
			if before.Record.Index < o.Record.Index {
				found = append(found, finding{evidence([]Operation{before, o}), o.End})
				break
			}
		}
	}
	return found
}

// lowestDecides: in the end a tag is answered by the lowest of its records that
// the index shows.
func lowestDecides(t *tagHistory) []finding {
	var last *Operation
	for _, o := range t.answered() {
		if last == nil || o.Start > last.Start {
			last = &o
		}
	}
	i := slices.IndexFunc(t.log, func(e Entry) bool { return e.Shown })
	if last == nil || i < 0 || t.log[i].UUID == last.Record.UUID {
		return nil
	}
	return []finding{{fmt.Sprintf("%v: the lowest record of the tag is %d of %s", *last, t.log[i].Index, t.log[i].Digest), last.End}}
}

// refusalReason: a refusal names the recorded digest, and that is not the one
// which the registry offered.
func refusalReason(t *tagHistory) (found []finding) {
	for _, o := range t.answered() {
		e, ok := t.byID[o.Record.UUID]
		switch {
		case o.Outcome != Refused || !ok || o.Offered == "":
		case o.Recorded != "" && o.Recorded != e.Digest:
			found = append(found, finding{fmt.Sprintf("%v: refused as recorded as %s; the record is of %s", o, o.Recorded, e.Digest), o.End})
		case o.Offered == e.Digest:
			found = append(found, finding{fmt.Sprintf("%v: refused, and %s is what was recorded", o, o.Offered), o.End})
		}
	}
	return found
}

// offeredThen: what is served, or given as the reason of a refusal, is what the
// registry said of the tag at that time. A refused HEAD does not say: of it,
// some other digest than the recorded one was to be had.
func offeredThen(t *tagHistory) (found []finding) {
	for _, o := range t.answered() {
		offered := t.whole.offered(t.tag, o.Start-t.whole.Reach, o.End)
		digest := o.Digest + o.Offered // one of them is empty
		ok := slices.Contains(offered, digest)
		if digest == "" {
			ok = o.Outcome == Refused && (o.Method == http.MethodGet || slices.ContainsFunc(offered, func(d string) bool {
				return d != t.byID[o.Record.UUID].Digest
			}))
		}
		if !ok {
			found = append(found, finding{fmt.Sprintf("%v: the registry offered %v, not %q", o, offered, digest), o.End})
		}
	}
	return found
}

// firstOnce: the answers that say that they saw the tag first name one record.
// Its writer alone says so, and only to those that shared the write: all of
// them were asking it when the write ended.
func firstOnce(t *tagHistory) (found []finding) {
	var firsts []Operation
	var start time.Duration
	for _, o := range t.answered() {
		if !o.First {
			continue
		}
		if o.Outcome != Served {
			found = append(found, finding{fmt.Sprintf("%v: refused, and first seen", o), o.End})
		}
		firsts = append(firsts, o)
		start = max(start, o.Start)
		one := firsts[0] // the first to end
		if o.Record.UUID != one.Record.UUID || o.Instance != one.Instance || start > one.End {
			found = append(found, finding{"first seen more than once: " + evidence([]Operation{one, o}), o.End})
		}
	}
	return found
}

// evidence describes operations, each on its own line, the last twelve at most.
func evidence(operations []Operation) string {
	var b strings.Builder
	for _, o := range operations[max(0, len(operations)-12):] {
		b.WriteString("\n    " + o.String())
	}
	return b.String()
}
