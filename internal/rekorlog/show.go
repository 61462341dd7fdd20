package rekorlog

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/util"
	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/tlogistry/tlogistry/internal/record"
)

// maxNames is how many digests a record without a statement is compared with.
// Anyone can log thousands of records of as many digests.
const maxNames = 32

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
// ref, of at most this many, and how many more it has. It costs a search, a
// request for each ten entries, and another for each ten that are named by their
// hashes. Anyone can make entries for ref, so that of a reference with many there
// may be none.
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
	err := each(ctx, l, ids, func(p *logged, tm root.TrustedMaterial) (record.Witness, error) {
		id, err := identityOf(p)
		if err != nil {
			return record.Witness{}, err
		}
		s, err := identify(p, tm, id, ref)
		return record.Witness{Identity: id, Sighting: s}, err
	}, func(_ string, w record.Witness, foreign error) {
		if foreign == nil {
			found = append(found, w)
		}
	}, nil)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b record.Witness) int { return cmp.Compare(a.Index, b.Index) })
	return found, l.nameAll(ctx, found)
}

// nameAll names the digests of records without a statement where the hash tells.
// Their entries are fetched again: anyone can log thousands of large ones, which
// would otherwise have to be held until all digests are known.
func (l *Log) nameAll(ctx context.Context, found []record.Witness) error {
	statements, err := statementsOf(ctx, found)
	if err != nil || len(statements) == 0 {
		return err
	}
	place := make(map[string]int)
	var ids []string
	for i, w := range found {
		if statements[w.UUID] != nil {
			place[w.UUID] = i
			ids = append(ids, w.UUID)
		}
	}
	return each(ctx, l, ids, func(p *logged, tm root.TrustedMaterial) (record.Sighting, error) {
		w := found[place[p.id]]
		return withStatement(p, tm, w.Identity, w.Sighting, statements[p.id])
	}, func(uuid string, named record.Sighting, foreign error) {
		if foreign == nil {
			found[place[uuid]].Sighting = named
		}
	}, nil)
}

// statementsOf returns, by their IDs, the statements of records that came without
// one and whose hash is that of a statement about a digest that others name.
func statementsOf(ctx context.Context, found []record.Witness) (map[string][]byte, error) {
	var digests []string
	for _, w := range found {
		if len(digests) < maxNames && w.Digest != "" && !slices.Contains(digests, w.Digest) {
			digests = append(digests, w.Digest)
		}
	}
	statements := make(map[string][]byte)
	for _, w := range found {
		if w.Digest != "" {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, digest := range digests {
			b, err := record.Statement{Identity: w.Identity, Ref: w.Ref, Digest: digest}.Encode()
			if err == nil && sha256.Sum256(b) == w.Hash {
				statements[w.UUID] = b
			}
		}
	}
	return statements, nil
}
