package rekorlog

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/tlogistry/tlogistry/internal/record"
)

// Everyone returns the records of ref by every identity, lowest index first.
// An entry whose statement the log does not hold is named by its hash if it is
// a record of one of the first digests, maxNames at most, that others name. Else
// it has no digest, and what it is about is not proved.
//
// It reads all entries that one answer of the index can name: some 25,000 have
// room in it, and where there are more it fails.
func (l *Log) Everyone(ctx context.Context, ref string) ([]record.Witness, error) {
	found, _, err := l.Some(ctx, ref, math.MaxInt)
	return found, err
}

// errBroken marks an entry whose statement says that it is a record, and which
// is not one.
var errBroken = errors.New("broken record")

// An Audit is what the log holds under one identity.
type Audit struct {
	Records []record.Sighting // lowest index first, each with its own reference
	Broken  []error           // entries of the identity that say they are records and are not
	Unnamed []string          // IDs of entries whose statement the log does not hold
	Foreign []error           // entries that name the identity and are no records of it
}

// Audit goes through all entries that the log's index has for the identity.
// It calls progress, if that is not nil, with how many entries are done of how
// many there are.
func (l *Log) Audit(ctx context.Context, progress func(done, total int)) (*Audit, error) {
	id, err := l.Identity(ctx)
	if err != nil {
		return nil, err
	}
	q := new(models.SearchIndex)
	nameIn(q, id)
	ids, _, err := l.client.search(ctx, q, maxLarge) // all that the identity ever wrote
	if err != nil {
		return nil, err
	}
	var a Audit
	err = each(ctx, l, ids, func(p *logged, tm root.TrustedMaterial) (record.Sighting, error) {
		return recordOf(p, tm, id)
	}, func(uuid string, s record.Sighting, err error) {
		switch {
		case errors.Is(err, errBroken):
			a.Broken = append(a.Broken, err)
		case err != nil:
			a.Foreign = append(a.Foreign, err)
		case s.Digest == "":
			a.Unnamed = append(a.Unnamed, uuid)
		default:
			a.Records = append(a.Records, s)
		}
	}, progress)
	slices.SortFunc(a.Records, func(x, y record.Sighting) int { return cmp.Compare(x.Index, y.Index) })
	return &a, err
}

// recordOf returns the sighting that an entry is by its own statement,
// whichever reference that names.
func recordOf(p *logged, tm root.TrustedMaterial, id record.Identity) (record.Sighting, error) {
	var ref string
	st, decodeErr := record.Decode(p.statement)
	if decodeErr == nil {
		ref = st.Ref
	}
	s, err := identify(p, tm, id, ref)
	if err == nil || decodeErr == nil || predicateType(p.statement) != record.PredicateType {
		return s, err
	}
	bare := *p
	bare.statement = nil
	if _, foreign := identify(&bare, tm, id, ref); foreign != nil {
		return s, foreign
	}
	return s, fmt.Errorf("%w: entry %s: %w", errBroken, p.id, decodeErr)
}

// predicateType returns what kind of statement it is said to be.
func predicateType(statement []byte) string {
	var s struct {
		PredicateType string `json:"predicateType"`
	}
	if json.Unmarshal(statement, &s) != nil {
		return ""
	}
	return s.PredicateType
}

// each fetches and proves entries, has each recognised, and hands what came of
// it to keep, in the order of ids. An entry that is not recognised ends nothing.
// The entries themselves are held no longer than it takes to recognise them.
func each[T any](ctx context.Context, l *Log, ids []string, recognise func(*logged, root.TrustedMaterial) (T, error), keep func(uuid string, value T, err error), progress func(done, total int)) error {
	type reading struct {
		value T
		err   error
	}
	done := 0
	for batch := range slices.Chunk(ids, maxBatch) {
		readings := make(map[string]reading, len(batch))
		// Twice where the trusted root may be out of date.
		err := l.c.Trust.judge(ctx, func(tm root.TrustedMaterial) error {
			return l.gather.entries(ctx, batch, func(entries entriesByID) error {
				proved, err := l.proved(ctx, entries, tm)
				if err != nil {
					return err
				}
				var untrusted error
				for _, p := range proved {
					value, err := recognise(p, tm)
					readings[p.id] = reading{value, err}
					untrusted = latest(untrusted, err)
				}
				return untrusted
			})
		})
		if undecided(err) {
			return err
		}
		for _, id := range batch {
			r := readings[id]
			keep(id, r.value, r.err)
		}
		done += len(batch)
		if progress != nil {
			progress(done, len(ids))
		}
	}
	return nil
}

// identityOf returns the identity that an entry's certificate names.
func identityOf(p *logged) (record.Identity, error) {
	_, cert, _, err := parseBody(p)
	if err != nil {
		return record.Identity{}, fmt.Errorf("%w: entry %s: %w", record.ErrForeign, p.id, err)
	}
	summary, err := certificate.SummarizeCertificate(cert)
	if err != nil {
		return record.Identity{}, fmt.Errorf("%w: entry %s: %w", record.ErrForeign, p.id, err)
	}
	return record.Identity{Issuer: summary.Issuer, Subject: summary.SubjectAlternativeName}, nil
}
