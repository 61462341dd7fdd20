package rekorlog

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-openapi/strfmt"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/sigstore-go/pkg/root"
	"golang.org/x/sync/errgroup"

	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/tally"
)

const (
	// manyHits is how many hits make a second search worth while, which the
	// server narrows to entries that name the identity.
	manyHits = 50
	// batches is how many batches of entries are fetched at once.
	batches = 4
	// untrustedFor is how long an entry that names an identity and is not
	// trusted is ignored unread. Anyone can log thousands of them.
	untrustedFor = time.Minute
)

// identities returns whose records count, the own identity first and each once.
func (l *Log) identities(ctx context.Context) ([]record.Identity, error) {
	own, err := l.Identity(ctx)
	if err != nil {
		return nil, err
	}
	all := []record.Identity{own}
	for _, id := range l.c.Trusted {
		if !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	return all, nil
}

// search asks the log for the sightings of ref by every identity whose records
// count, at the same time. It returns them lowest index first, with how long
// before the search the first of them was integrated. Those of the given ones
// that the index shows are among them, and not fetched again.
func (l *Log) search(ctx context.Context, ref string, proved ...record.Sighting) ([]record.Sighting, time.Duration, error) {
	identities, err := l.identities(ctx)
	if err != nil {
		return nil, 0, err
	}
	// Taken before: the index may show one identity's record and have been
	// asked for another's, with a lower index, long ago.
	asked := time.Now()
	found := make([][]record.Sighting, len(identities))
	dates := make([]time.Time, len(identities))
	g, gctx := errgroup.WithContext(ctx)
	for i, id := range identities {
		g.Go(caught(func() (err error) {
			found[i], dates[i], err = l.searchBy(gctx, id, ref, proved)
			return err
		}))
	}
	if err := g.Wait(); err != nil {
		return nil, 0, err
	}
	sightings, err := ordered(slices.Concat(found...))
	if err != nil {
		return nil, 0, err
	}
	age := time.Duration(math.MaxInt64)
	if len(sightings) > 0 {
		age = ageAt(sightings[0].Time, asked, dates)
	}
	return sightings, age, nil
}

// ordered sorts sightings by their log index, which decides between them: a log
// that gives two entries the same one cannot be believed about either.
func ordered(sightings []record.Sighting) ([]record.Sighting, error) {
	slices.SortFunc(sightings, func(a, b record.Sighting) int { return cmp.Compare(a.Index, b.Index) })
	for i, s := range sightings {
		if i > 0 && s.Index == sightings[i-1].Index && leafOf(s.UUID) != leafOf(sightings[i-1].UUID) {
			return nil, fmt.Errorf("%w: entries %s and %s have the same log index %d", ErrLog, sightings[i-1].UUID, s.UUID, s.Index)
		}
	}
	return sightings, nil
}

// searchBy asks the log for the sightings of ref by one identity, and returns
// the time of the index's answer by the server's clock, zero if it gave none.
// What is found under an identity's subject has to be that identity's own.
func (l *Log) searchBy(ctx context.Context, id record.Identity, ref string, proved []record.Sighting) ([]record.Sighting, time.Time, error) {
	ids, date, err := l.hits(ctx, id, ref)
	if err != nil {
		return nil, date, err
	}
	var shown []record.Sighting
	for _, s := range proved {
		if i := slices.Index(ids, s.UUID); i >= 0 && s.By == id {
			shown = append(shown, s)
			ids = slices.Delete(ids, i, i+1)
		}
	}
	own := id.OwnSubject(ref)
	ids = slices.DeleteFunc(ids, func(uuid string) bool { return l.ignored(uuid, own) })
	sightings, err := l.sightings(ctx, id, ref, ids)
	return append(sightings, shown...), date, err
}

// ageAt returns how long before a search a record was integrated, by this
// machine's clock or by one of the answers' dates, whichever says least: each
// may be wrong.
func ageAt(t, asked time.Time, dates []time.Time) time.Duration {
	age := asked.Sub(t)
	for _, date := range dates {
		if !date.IsZero() {
			age = min(age, date.Sub(t))
		}
	}
	return age
}

// hits returns the IDs that the index has under the identity's own subject for ref.
func (l *Log) hits(ctx context.Context, id record.Identity, ref string) ([]string, time.Time, error) {
	own := id.OwnSubject(ref)
	q := &models.SearchIndex{Hash: "sha256:" + hex.EncodeToString(own[:])}
	ids, date, err := l.client.search(ctx, q, maxAnswer)
	if !errors.Is(err, errTooLong) && (err != nil || len(ids) <= manyHits) {
		return ids, date, err
	}
	// Somebody floods the subject. Most do not also forge the identity's name.
	q.Operator = models.SearchIndexOperatorAnd
	nameIn(q, id)
	return l.client.search(ctx, q, maxAnswer)
}

// nameIn has a query find what names an identity.
func nameIn(q *models.SearchIndex, id record.Identity) {
	if strings.Contains(id.Subject, "://") {
		q.Subject = id.Subject // Rekor refuses a URI as an address
	} else {
		q.Email = strfmt.Email(id.Subject)
	}
}

// sightings fetches entries, a few batches at a time, and returns those that
// are records of ref by id. What a batch has shown to be foreign is remembered
// at once: a flood is read once, and need not be read in one go.
func (l *Log) sightings(ctx context.Context, id record.Identity, ref string, ids []string) ([]record.Sighting, error) {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(batches)
	var mu sync.Mutex
	var found []record.Sighting
	for batch := range slices.Chunk(ids, maxBatch) {
		g.Go(caught(func() error {
			own, err := l.batch(gctx, id, ref, batch)
			mu.Lock()
			defer mu.Unlock()
			found = append(found, own...)
			return err
		}))
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if ignored := len(ids) - len(found); ignored > 0 {
		tally.Note(ctx, tally.Ignored, ignored)
		l.c.Logger.InfoContext(ctx, "entries ignored", slog.String("reference", ref), slog.Int("ignored", ignored), slog.Int("own", len(found)), slog.String("identity", id.Subject))
	}
	return found, nil
}

// batch fetches at most maxBatch entries and returns those that are records of
// ref by id.
func (l *Log) batch(ctx context.Context, id record.Identity, ref string, ids []string) ([]record.Sighting, error) {
	var found []record.Sighting
	var foreign map[string]error
	var by root.TrustedMaterial
	// An entry that names the identity and is not trusted must not be ignored for a
	// trusted root that is out of date, nor for one that may be.
	// They are fetched again for a newer one: none are held while that is waited for.
	err := l.c.Trust.judge(ctx, func(tm root.TrustedMaterial) error {
		return l.gather.entries(ctx, ids, func(entries entriesByID) error {
			proved, err := l.proved(ctx, entries, tm)
			if err != nil {
				return err
			}
			by = tm
			found, foreign, err = sift(ctx, id, ref, proved, tm)
			return err
		})
	})
	if undecided(err) {
		return nil, err
	}
	for uuid, err := range foreign {
		l.ignore(uuid, id.OwnSubject(ref), err, by)
		l.c.Logger.DebugContext(ctx, "entry ignored", slog.String("reference", ref), slog.String("error", err.Error()))
	}
	return found, nil
}

// undecided reports whether an error of [Trust.judge] leaves open whose entries
// those are. That some are not trusted by a trusted root that is not out of date
// is an answer.
func undecided(err error) bool {
	return err != nil && (!errors.Is(err, errUntrusted) || errors.Is(err, errOutdated))
}

// sift tells records of ref by id from foreign entries, of which it says why,
// by ID. It fails with errUntrusted if the foreign ones may be records by a
// trusted root to come.
func sift(ctx context.Context, id record.Identity, ref string, entries []*logged, tm root.TrustedMaterial) (found []record.Sighting, foreign map[string]error, err error) {
	foreign = make(map[string]error)
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		s, err := identify(e, tm, id, ref)
		if err != nil {
			foreign[e.id] = err
			continue
		}
		found = append(found, s)
	}
	var untrusted error
	for _, err := range foreign {
		untrusted = latest(untrusted, err)
	}
	return found, foreign, untrusted
}

// A judgement says why an entry is no record under an own subject, which is of
// one identity and one reference: for good, or by a trusted root that does not
// trust it.
type judgement struct {
	until time.Time // zero: for good
	by    root.TrustedMaterial
}

// ignore remembers that an entry is no record under an own subject, for good
// unless that depends on the trusted root.
func (l *Log) ignore(uuid string, own [32]byte, why error, by root.TrustedMaterial) {
	var j judgement
	if errors.Is(why, errUntrusted) {
		j = judgement{time.Now().Add(untrustedFor), by}
	}
	l.foreign.Add(uuid+string(own[:]), j)
}

// ignored reports whether an entry is remembered to be no record under an own
// subject. One that was not trusted is not ignored by a newer trusted root,
// which may trust it.
func (l *Log) ignored(uuid string, own [32]byte) bool {
	j, ok := l.foreign.Get(uuid + string(own[:]))
	tm, _ := l.c.Trust.held()
	return ok && (j.until.IsZero() || time.Now().Before(j.until) && j.by == tm)
}
