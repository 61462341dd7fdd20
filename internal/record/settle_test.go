package record_test

import (
	"context"
	"errors"
	"testing"

	"github.com/tlogistry/tlogistry/internal/record"
)

func TestSettle(t *testing.T) {
	const a, b = "sha256:aa", "sha256:bb"
	down := errors.New("log is down")
	unnamed := record.Sighting{Index: 1, UUID: "unnamed"}
	own := record.Sighting{Index: 2, UUID: "own", Digest: a}
	naming := func(digest string, err error) record.Resolver {
		return func(_ context.Context, s record.Sighting, _ string) (record.Sighting, error) {
			s.Digest = digest
			return s, err
		}
	}
	for _, test := range []struct {
		name      string
		digest    string
		sightings []record.Sighting
		resolve   record.Resolver
		want      record.Outcome
		uuid      string
		err       error
	}{
		{name: "none", digest: a},
		{name: "named, same", digest: a, sightings: []record.Sighting{own}, want: record.Same, uuid: "own"},
		{name: "named, moved", digest: b, sightings: []record.Sighting{own}, want: record.Moved, uuid: "own"},
		{name: "unnamed, same", digest: a, sightings: []record.Sighting{own, unnamed}, resolve: naming(a, nil), want: record.Same, uuid: "unnamed"},
		{name: "unnamed, moved", digest: a, sightings: []record.Sighting{own, unnamed}, resolve: naming(b, nil), want: record.Moved, uuid: "unnamed"},
		{name: "unnamed and stays so", digest: a, sightings: []record.Sighting{unnamed, own}, resolve: naming("", nil), want: record.Unnamed, uuid: "unnamed"},
		{name: "no digest to compare", sightings: []record.Sighting{unnamed, own}, want: record.Unnamed, uuid: "unnamed"},
		{name: "foreign before own", digest: a, sightings: []record.Sighting{unnamed, own}, resolve: naming("", record.ErrForeign), want: record.Same, uuid: "own"},
		{name: "only foreign", digest: a, sightings: []record.Sighting{unnamed}, resolve: naming("", record.ErrForeign)},
		{name: "log down", digest: a, sightings: []record.Sighting{unnamed, own}, resolve: naming("", down), want: record.Unnamed, uuid: "unnamed", err: down},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := len(test.sightings)
			got, s, err := record.Settle(t.Context(), test.digest, test.sightings, test.resolve)
			if got != test.want || s.UUID != test.uuid || !errors.Is(err, test.err) {
				t.Errorf("%v %q %v, want %v %q %v", got, s.UUID, err, test.want, test.uuid, test.err)
			}
			if len(test.sightings) != before || before > 0 && test.sightings[0].UUID == "" {
				t.Error("the caller's sightings were changed")
			}
		})
	}
}
