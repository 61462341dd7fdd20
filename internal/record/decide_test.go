package record_test

import (
	"slices"
	"testing"

	"github.com/tlogistry/tlogistry/internal/record"
)

func TestDecide(t *testing.T) {
	const (
		a, b, none = "sha256:aa", "sha256:bb", ""
		big        = int64(1) << 40
	)
	seen := func(index int64, digest string) record.Sighting {
		return record.Sighting{Ref: ref, Digest: digest, Index: index, UUID: "entry"}
	}
	tests := []struct {
		name      string
		digest    string
		sightings []record.Sighting
		want      record.Outcome
		first     int64 // index of the deciding sighting
	}{
		{"none", a, nil, record.Unseen, 0},
		{"empty", a, []record.Sighting{}, record.Unseen, 0},
		{"same", a, []record.Sighting{seen(7, a)}, record.Same, 7},
		{"moved", a, []record.Sighting{seen(7, b)}, record.Moved, 7},
		{"unnamed", a, []record.Sighting{seen(7, none)}, record.Unnamed, 7},
		{"index zero", a, []record.Sighting{seen(0, a)}, record.Same, 0},
		{"lowest is the same", a, []record.Sighting{seen(3, a), seen(5, b), seen(9, b)}, record.Same, 3},
		{"lowest is another", a, []record.Sighting{seen(3, b), seen(5, a), seen(9, a)}, record.Moved, 3},
		{"lowest is unnamed", a, []record.Sighting{seen(3, none), seen(5, a)}, record.Unnamed, 3},
		{"unnamed after the lowest", a, []record.Sighting{seen(3, a), seen(5, none)}, record.Same, 3},
		{"lowest of all is zero", a, []record.Sighting{seen(0, b), seen(1, a), seen(2, a)}, record.Moved, 0},
		{"indexes beyond 32 bits", a, []record.Sighting{seen(big, b), seen(big+1, a)}, record.Moved, big},
		{"indexes that compare otherwise as text", a, []record.Sighting{seen(9, a), seen(10, b)}, record.Same, 9},
		{"no digest is not the same as an unnamed one", none, []record.Sighting{seen(7, none)}, record.Unnamed, 7},
		{"no digest has moved", none, []record.Sighting{seen(7, a)}, record.Moved, 7},
		{"another case is another digest", a, []record.Sighting{seen(7, "sha256:AA")}, record.Moved, 7},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for order := range permutations(test.sightings) {
				before := slices.Clone(order)
				got, first := record.Decide(test.digest, order)
				if got != test.want || first.Index != test.first {
					t.Errorf("%v: %s by %d, want %s by %d", order, got, first.Index, test.want, test.first)
				}
				if len(order) > 0 && !slices.Contains(order, first) || len(order) == 0 && first != (record.Sighting{}) {
					t.Errorf("%v: decided by %+v", order, first)
				}
				if !slices.Equal(order, before) {
					t.Errorf("the list was changed from %v to %v", before, order)
				}
			}
		})
	}
}

// permutations yields every order of s.
func permutations(s []record.Sighting) func(func([]record.Sighting) bool) {
	return func(yield func([]record.Sighting) bool) {
		var each func(int) bool
		p := slices.Clone(s)
		each = func(n int) bool {
			if n >= len(p) {
				return yield(slices.Clone(p))
			}
			for i := n; i < len(p); i++ {
				p[n], p[i] = p[i], p[n]
				ok := each(n + 1)
				p[n], p[i] = p[i], p[n]
				if !ok {
					return false
				}
			}
			return true
		}
		each(0)
	}
}

func TestOutcomeString(t *testing.T) {
	for outcome, want := range map[record.Outcome]string{
		record.Unseen:  "unseen",
		record.Same:    "same",
		record.Moved:   "moved",
		record.Unnamed: "unnamed",
		4:              "Outcome(4)",
		-1:             "Outcome(-1)",
	} {
		if got := outcome.String(); got != want {
			t.Errorf("outcome %d is %q, want %q", int(outcome), got, want)
		}
	}
}
