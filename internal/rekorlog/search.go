package rekorlog

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/go-openapi/strfmt"
	"github.com/sigstore/rekor/pkg/generated/models"
	"golang.org/x/sync/errgroup"

	"github.com/tlogistry/tlogistry/internal/record"
)

const (
	// manyHits is how many hits make a second search worth while, which the
	// server narrows to entries that name the identity's address.
	manyHits = 50
	// batches is how many batches of entries are fetched at once.
	batches = 4
	// staleTrust is how old the trusted root may be when an entry that names
	// this identity is not trusted by it.
	staleTrust = 10 * time.Minute
)

// search asks the log for the sightings of ref, lowest index first, and
// returns how long ago the first of them was integrated.
func (l *Log) search(ctx context.Context, ref string) ([]record.Sighting, time.Duration, error) {
	id, err := l.Identity(ctx)
	if err != nil {
		return nil, 0, err
	}
	ids, date, err := l.hits(ctx, id, ref)
	if err != nil {
		return nil, 0, err
	}
	ids = slices.DeleteFunc(ids, func(uuid string) bool { return l.foreign.Contains(uuid + " " + ref) })
	sightings, err := l.sightings(ctx, id, ref, ids)
	if err != nil {
		return nil, 0, err
	}
	slices.SortFunc(sightings, func(a, b record.Sighting) int { return cmp.Compare(a.Index, b.Index) })
	age := time.Duration(math.MaxInt64)
	if len(sightings) > 0 {
		age = ageAt(sightings[0].Time, date)
	}
	return sightings, age, nil
}

// ageAt returns how long before now a record was integrated, by the log's
// clock or by this machine's, whichever says less: either may be wrong.
func ageAt(t, date time.Time) time.Duration {
	age := time.Since(t)
	if !date.IsZero() {
		age = min(age, date.Sub(t))
	}
	return age
}

// hits returns the IDs that the index has under the identity's own subject for ref.
func (l *Log) hits(ctx context.Context, id record.Identity, ref string) ([]string, time.Time, error) {
	own := id.OwnSubject(ref)
	q := &models.SearchIndex{Hash: "sha256:" + hex.EncodeToString(own[:])}
	ids, date, err := l.client.search(ctx, q)
	if err != nil || len(ids) <= manyHits {
		return ids, date, err
	}
	// Somebody floods the subject. Most do not also forge our address.
	q.Operator = models.SearchIndexOperatorAnd
	q.Email = strfmt.Email(id.Subject)
	return l.client.search(ctx, q)
}

// sightings fetches entries and returns those that are records of ref by id.
func (l *Log) sightings(ctx context.Context, id record.Identity, ref string, ids []string) ([]record.Sighting, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	entries, err := l.fetch(ctx, ids)
	if err != nil {
		return nil, err
	}
	found, foreign, err := l.verify(ctx, id, ref, entries, l.c.Trust.maxAge)
	if err != nil {
		return nil, err
	}
	// An entry that names us and is not trusted must not be ignored for a
	// trusted root that is out of date.
	if slices.ContainsFunc(foreign, func(e error) bool { return errors.Is(e, errUntrusted) }) {
		if found, foreign, err = l.verify(ctx, id, ref, entries, staleTrust); err != nil {
			return nil, err
		}
	}
	for _, e := range foreign {
		l.c.Logger.DebugContext(ctx, "entry ignored", slog.String("reference", ref), slog.String("error", e.Error()))
	}
	if len(foreign) > 0 {
		l.c.Logger.InfoContext(ctx, "entries ignored", slog.String("reference", ref), slog.Int("ignored", len(foreign)), slog.Int("own", len(found)))
	}
	return found, nil
}

// fetch returns the entries of ids, by ID.
func (l *Log) fetch(ctx context.Context, ids []string) (map[string]*models.LogEntryAnon, error) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(batches)
	var mu sync.Mutex
	all := make(map[string]*models.LogEntryAnon, len(ids))
	for batch := range slices.Chunk(ids, maxBatch) {
		g.Go(func() error {
			entries, err := l.client.entries(ctx, batch)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			for id, e := range entries {
				all[id] = e
			}
			return nil
		})
	}
	return all, g.Wait()
}

// verify proves entries and tells records of ref by id from foreign ones. It
// remembers the foreign ones.
func (l *Log) verify(ctx context.Context, id record.Identity, ref string, entries map[string]*models.LogEntryAnon, maxAge time.Duration) (found []record.Sighting, foreign []error, err error) {
	tm, err := l.c.Trust.Material(ctx, maxAge)
	if err != nil {
		return nil, nil, err
	}
	for uuid, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		proved, err := prove(ctx, uuid, e, tm)
		if err != nil {
			return nil, nil, err
		}
		s, err := identify(proved, tm, id, ref)
		if err == nil {
			found = append(found, s)
			continue
		}
		foreign = append(foreign, err)
		if !errors.Is(err, errUntrusted) {
			l.foreign.Add(uuid+" "+ref, struct{}{})
		}
	}
	return found, foreign, nil
}
