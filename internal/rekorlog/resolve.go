package rekorlog

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/tlogistry/tlogistry/internal/record"
)

// statementPolls are the waits before each look for a statement. Rekor stores
// it from a goroutine of its own, measured 13 ms after the entry at most.
var statementPolls = [...]time.Duration{0, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond}

// unnamedFor is how long a statement that stayed away is not asked for again.
const unnamedFor = time.Minute

// Resolve fills in the digest of a sighting without one.
//
// The entry is fetched again and verified completely, with the rebuilt
// statement about digest if its hash is the logged one, else with the log's
// copy of the statement, which is polled for. A sighting that stays without a
// statement is returned as it is. One that turns out to be no record of its
// reference is record.ErrForeign.
func (l *Log) Resolve(ctx context.Context, s record.Sighting, digest string) (record.Sighting, error) {
	rebuilt, err := record.Statement{Identity: s.By, Ref: s.Ref, Digest: digest}.Encode()
	if err != nil {
		return s, err
	}
	if sha256.Sum256(rebuilt) != s.Hash {
		rebuilt = nil
		if since, ok := l.unnamed.Get(s.UUID); ok && time.Since(since) < unnamedFor {
			return s, nil
		}
	}
	for _, wait := range statementPolls {
		if err := sleep(ctx, wait); err != nil {
			return s, err
		}
		named, err := l.name(ctx, s, rebuilt)
		switch {
		case errors.Is(err, record.ErrForeign):
			l.memory.forget(s)
			return s, err
		case err != nil:
			return s, err
		case named.Digest != "":
			l.memory.rename(named)
			return named, nil
		}
	}
	l.unnamed.Add(s.UUID, time.Now())
	return s, nil
}

// name fetches the entry of a sighting and names its digest by its statement: by
// this one if it is not nil, else by the log's copy. Where that is not the logged
// one, the sighting stays as it is.
func (l *Log) name(ctx context.Context, s record.Sighting, statement []byte) (record.Sighting, error) {
	named := s
	err := l.again(ctx, s, func(proved *logged, tm root.TrustedMaterial) (err error) {
		if statement == nil {
			statement = proved.statement
		}
		if statement == nil || sha256.Sum256(statement) != s.Hash {
			return nil
		}
		named, err = withStatement(proved, tm, s.By, s, statement)
		if err == nil && named.Ref != s.Ref {
			err = fmt.Errorf("%w: entry %s is about %s", record.ErrForeign, s.UUID, named.Ref)
		}
		return err
	})
	return named, err
}

// again fetches and proves the entry of a sighting, and calls use with it, which
// must not keep it.
func (l *Log) again(ctx context.Context, s record.Sighting, use func(*logged, root.TrustedMaterial) error) error {
	tm, err := l.c.Trust.Material(ctx)
	if err != nil {
		return err
	}
	return l.gather.entries(ctx, []string{s.UUID}, func(entries entriesByID) error {
		proved, err := l.proved(ctx, entries, tm)
		if err != nil {
			return err
		}
		return use(proved[0], tm)
	})
}
