package record

import (
	"context"
	"errors"
	"slices"
)

// A Resolver names the digest of a sighting that came without one, as far as
// its log can. Its error is [ErrForeign] for what is no record of the
// reference after all.
type Resolver func(ctx context.Context, s Sighting, digest string) (Sighting, error)

// Settle is [Decide] for sightings that may lack their digest: it has the one
// that decides resolved, and goes on without it if it is foreign. Without a
// digest to compare nothing is resolved. An error is the resolver's; the
// sighting is then the one that it could not resolve.
func Settle(ctx context.Context, digest string, sightings []Sighting, resolve Resolver) (Outcome, Sighting, error) {
	for {
		outcome, s := Decide(digest, sightings)
		if outcome != Unnamed || digest == "" {
			return outcome, s, nil
		}
		named, err := resolve(ctx, s, digest)
		switch {
		case errors.Is(err, ErrForeign):
			sightings = slices.DeleteFunc(slices.Clone(sightings), func(o Sighting) bool { return o.UUID == s.UUID })
			continue
		case err != nil:
			return outcome, s, err
		}
		outcome, s = Decide(digest, []Sighting{named})
		return outcome, s, nil
	}
}
