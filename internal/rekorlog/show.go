package rekorlog

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/util"
	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/tlogistry/tlogistry/internal/record"
)

// Find is Lookup for who will not write: what a write would need, such as a
// certificate, is not begun.
func (l *Log) Find(ctx context.Context, ref string) ([]record.Sighting, error) {
	if s, ok := l.memory.get(ref); ok {
		return s, nil
	}
	return l.lookups.Do(ctx, ref, func(ctx context.Context) ([]record.Sighting, error) {
		return l.look(ctx, ref)
	})
}

// Proof fetches the entry of a sighting that Lookup returned, proves it anew,
// and returns what it was proved by. An entry that is not the sighting's is
// record.ErrForeign; the other errors are Lookup's.
func (l *Log) Proof(ctx context.Context, s record.Sighting) (record.Proof, error) {
	var proof record.Proof
	err := l.again(ctx, s, func(entry *logged, tm root.TrustedMaterial) error {
		found, err := identify(entry, tm, s.By, s.Ref)
		if err != nil {
			return err
		}
		if found.Hash != s.Hash || found.Index != s.Index || !found.Time.Equal(s.Time) {
			return fmt.Errorf("%w: entry %s is not what it was", record.ErrForeign, s.UUID)
		}
		proof, err = proofOf(entry, s.By)
		return err
	})
	return proof, err
}

// proofOf returns what proves an entry of an identity. It has been proved.
func proofOf(entry *logged, id record.Identity) (record.Proof, error) {
	_, cert, _, err := parseBody(entry)
	if err != nil {
		return record.Proof{}, err
	}
	inclusion := entry.entry.Verification.InclusionProof
	var c util.SignedCheckpoint
	if err := c.UnmarshalText([]byte(*inclusion.Checkpoint)); err != nil {
		return record.Proof{}, err
	}
	return record.Proof{
		Checkpoint: *inclusion.Checkpoint,
		Origin:     c.Origin,
		Size:       *inclusion.TreeSize,
		Root:       entry.head.root,
		Position:   *inclusion.LogIndex,
		Certificate: &record.Certificate{
			Identity:  id,
			Serial:    hex.EncodeToString(cert.SerialNumber.Bytes()),
			NotBefore: cert.NotBefore.UTC(),
			NotAfter:  cert.NotAfter.UTC(),
		},
	}, nil
}

// Some returns what Everyone does of the first entries that the index has for
// ref, of at most this many, and how many more it has. It costs a search and a
// request for each ten entries. Anyone can make entries for ref, so that of a
// reference with many there may be none.
func (l *Log) Some(ctx context.Context, ref string, most int) (found []record.Witness, more int, err error) {
	shared := record.SharedSubject(ref)
	ids, _, err := l.client.search(ctx, &models.SearchIndex{Hash: "sha256:" + hex.EncodeToString(shared[:])}, maxAnswer)
	if err != nil {
		return nil, 0, err
	}
	more = max(0, len(ids)-most)
	found, err = l.witnesses(ctx, ref, ids[:len(ids)-more])
	return found, more, err
}

// witnesses returns the records of ref that the entries are, lowest index first.
func (l *Log) witnesses(ctx context.Context, ref string, ids []string) ([]record.Witness, error) {
	var found []record.Witness
	unnamed := make(map[string]*logged)
	digests := make(map[string]bool)
	err := each(ctx, l, ids, func(p *logged, tm root.TrustedMaterial) (record.Witness, error) {
		id, err := identityOf(p)
		if err != nil {
			return record.Witness{}, err
		}
		s, err := identify(p, tm, id, ref)
		return record.Witness{Identity: id, Sighting: s}, err
	}, func(p *logged, w record.Witness, foreign error) {
		switch {
		case foreign != nil:
			return
		case w.Digest == "":
			unnamed[w.UUID] = p
		default:
			digests[w.Digest] = true
		}
		found = append(found, w)
	}, nil)
	if err != nil {
		return nil, err
	}
	tm, err := l.c.Trust.Material(ctx)
	if err != nil {
		return nil, err
	}
	for i, w := range found {
		if p := unnamed[w.UUID]; p != nil {
			found[i].Sighting = nameAny(p, tm, w, digests)
		}
	}
	slices.SortFunc(found, func(a, b record.Witness) int { return cmp.Compare(a.Index, b.Index) })
	return found, nil
}
