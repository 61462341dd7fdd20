package soak

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// checkLimit bounds the linearizability check of one tag, which takes
// milliseconds where nothing is wrong.
const checkLimit = 20 * time.Second

// A tag is a register that is written once, and this is its value: the ID of
// the record that decides, empty before there is one.
//
//   - A pull that was first to see the tag writes the register, or finds its
//     own record there: those that share one write all say so.
//   - Any other answer reads it. So it needs a write before it or meanwhile.
//   - A pull that failed may have written any one record of the tag that the
//     log holds, at any time from its start on, or none.
//
// Since a value, once there, never changes, every later answer by any instance
// must name the same record, and so the same digest and index.
func register(records []string) porcupine.Model {
	model := porcupine.NondeterministicModel{
		Init: func() []any { return []any{""} },
		Step: func(state, _, output any) []any {
			value, o := state.(string), output.(Operation)
			switch {
			case o.Outcome == Unknown && value == "":
				next := []any{""}
				for _, r := range records {
					next = append(next, r)
				}
				return next
			case o.Outcome == Unknown:
				return []any{value}
			case o.Record.UUID == "":
				return nil
			case value == o.Record.UUID, value == "" && o.First:
				return []any{o.Record.UUID}
			}
			return nil
		},
		DescribeOperation: func(_, output any) string { return fmt.Sprint(output.(Operation)) },
	}
	return model.ToModel()
}

// linearizable judges the operations on one tag, given its records.
//
// Of the pulls that failed it keeps the one that began first. One at most has
// written the register, and that one may have done so whenever any other may.
// To try all of them in all orders would take for ever and find the same.
func linearizable(operations []Operation, records []string) porcupine.CheckResult {
	var history []porcupine.Operation
	var failed *Operation
	for _, o := range operations {
		switch {
		case o.Outcome != Unknown:
			history = append(history, porcupine.Operation{Call: int64(o.Start), Output: o, Return: int64(o.End)})
		case failed == nil || o.Start < failed.Start:
			failed = &o
		}
	}
	if failed != nil {
		history = append(history, porcupine.Operation{Call: int64(failed.Start), Output: *failed, Return: math.MaxInt64})
	}
	return porcupine.CheckOperationsTimeout(register(records), history, checkLimit)
}

// firstIllegal returns the end of the operation with which the history of a tag
// stops being linearizable. Every part up to some time of a history that is, is.
func firstIllegal(operations []Operation, records []string) time.Duration {
	ends := make([]time.Duration, 0, len(operations))
	for _, o := range operations {
		ends = append(ends, o.End)
	}
	slices.Sort(ends)
	i, _ := slices.BinarySearchFunc(ends, true, func(at time.Duration, _ bool) int {
		if linearizable(until(operations, at), records) == porcupine.Illegal {
			return 1
		}
		return -1
	})
	return ends[min(i, len(ends)-1)]
}

// until returns the operations as they were at a time: those under way unknown.
func until(operations []Operation, at time.Duration) []Operation {
	var seen []Operation
	for _, o := range operations {
		switch {
		case o.Start > at:
			continue
		case o.End > at:
			o.Outcome = Unknown
		}
		seen = append(seen, o)
	}
	slices.SortFunc(seen, func(a, b Operation) int { return cmp.Compare(a.Start, b.Start) })
	return seen
}
