package rekorlog

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-openapi/strfmt"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/tlogistry/tlogistry/internal/record"
)

// A Witness is a record by some identity, proved as strictly as our own.
type Witness struct {
	Identity record.Identity
	record.Sighting
}

// Everyone returns the records of ref by every identity, lowest index first.
// An entry whose statement the log does not hold is named by its hash if it is
// a record of a digest that another one names. Else it has no digest, and what
// it is about is not proved.
func (l *Log) Everyone(ctx context.Context, ref string) ([]Witness, error) {
	shared := record.SharedSubject(ref)
	ids, _, err := l.client.search(ctx, &models.SearchIndex{Hash: "sha256:" + hex.EncodeToString(shared[:])})
	if err != nil {
		return nil, err
	}
	var found []Witness
	unnamed := make(map[string]*logged)
	digests := make(map[string]bool)
	err = l.each(ctx, ids, func(p *logged, tm root.TrustedMaterial) error {
		id, err := identityOf(p)
		if err != nil {
			return err
		}
		s, err := identify(p, tm, id, ref)
		if err != nil {
			return err
		}
		found = append(found, Witness{id, s})
		if s.Digest == "" {
			unnamed[s.UUID] = p
		} else {
			digests[s.Digest] = true
		}
		return nil
	}, nil)
	if err != nil {
		return nil, err
	}
	tm, err := l.c.Trust.Material(ctx, l.c.Trust.maxAge)
	if err != nil {
		return nil, err
	}
	for i, w := range found {
		if p := unnamed[w.UUID]; p != nil {
			found[i].Sighting = nameAny(p, tm, w, digests)
		}
	}
	slices.SortFunc(found, func(a, b Witness) int { return cmp.Compare(a.Index, b.Index) })
	return found, nil
}

// nameAny names the digest of a record without a statement, if it is one of
// these.
func nameAny(p *logged, tm root.TrustedMaterial, w Witness, digests map[string]bool) record.Sighting {
	for digest := range digests {
		statement, err := record.Statement{Identity: w.Identity, Ref: w.Ref, Digest: digest}.Encode()
		if err != nil || sha256.Sum256(statement) != w.Hash {
			continue
		}
		if named, err := withStatement(p, tm, w.Identity, w.Sighting, statement); err == nil {
			return named
		}
	}
	return w.Sighting
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
	ids, _, err := l.client.search(ctx, &models.SearchIndex{Email: strfmt.Email(id.Subject)})
	if err != nil {
		return nil, err
	}
	var a Audit
	err = l.each(ctx, ids, func(p *logged, tm root.TrustedMaterial) error {
		s, err := recordOf(p, tm, id)
		switch {
		case errors.Is(err, errBroken):
			a.Broken = append(a.Broken, err)
		case err != nil:
			a.Foreign = append(a.Foreign, err)
		case s.Digest == "":
			a.Unnamed = append(a.Unnamed, p.id)
		default:
			a.Records = append(a.Records, s)
		}
		return nil
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

// each fetches and proves entries and calls visit with each. Entries that visit
// calls foreign are passed over; another error ends it.
func (l *Log) each(ctx context.Context, ids []string, visit func(*logged, root.TrustedMaterial) error, progress func(done, total int)) error {
	tm, err := l.c.Trust.Material(ctx, l.c.Trust.maxAge)
	if err != nil {
		return err
	}
	done := 0
	for batch := range slices.Chunk(ids, maxBatch) {
		entries, err := l.client.entries(ctx, batch)
		if err != nil {
			return err
		}
		for _, uuid := range batch {
			p, err := prove(ctx, uuid, entries[uuid], tm)
			if err != nil {
				return err
			}
			if err := visit(p, tm); err != nil && !errors.Is(err, record.ErrForeign) {
				return err
			}
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
