package soak

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// String says what was judged, in a few lines.
func (r Report) String() string {
	var unknown []string
	n := 0
	for _, status := range slices.Sorted(maps.Keys(r.Unknown)) {
		n += r.Unknown[status]
		name := fmt.Sprint(status)
		if status == 0 {
			name = "no answer"
		}
		unknown = append(unknown, fmt.Sprint(name, " ", r.Unknown[status]))
	}
	return fmt.Sprintf("%d operations: %d served (%d first seen), %d refused, %d unknown (%s)\n"+
		"%d tags, %d of them recorded with two digests or more; %d records, %d of them lost by the index\n"+
		"linearizable: %d of %d tags; %d violations",
		r.Operations, r.Served, r.First, r.Refused, n, strings.Join(unknown, ", "),
		r.Tags, r.Contested, r.Records, r.Lost,
		r.Linearizable, r.Linearizable+r.Unlinearizable, len(r.Violations))
}

// String says which rule was broken, when, and by what.
func (v Violation) String() string {
	return fmt.Sprintf("after %d operations, %s: %s: %s", v.After, v.Tag, v.Rule, v.Text)
}
