package rekorlog

import (
	"context"
	"crypto/sha256"
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
	match := sha256.Sum256(rebuilt) == s.Hash
	if since, ok := l.unnamed.Get(s.UUID); ok && !match && time.Since(since) < unnamedFor {
		return s, nil
	}
	for _, wait := range statementPolls {
		if err := sleep(ctx, wait); err != nil {
			return s, err
		}
		proved, tm, err := l.again(ctx, s)
		if err != nil {
			return s, err
		}
		statement := proved.statement
		if match {
			statement = rebuilt
		}
		if statement == nil || sha256.Sum256(statement) != s.Hash {
			continue
		}
		named, err := withStatement(proved, tm, s.By, s, statement)
		if err == nil && named.Ref != s.Ref {
			err = fmt.Errorf("%w: entry %s is about %s", record.ErrForeign, s.UUID, named.Ref)
		}
		if err != nil {
			l.memory.forget(s.Ref)
			return s, err
		}
		l.memory.rename(named)
		return named, nil
	}
	l.unnamed.Add(s.UUID, time.Now())
	return s, nil
}

// again fetches and proves the entry of a sighting.
func (l *Log) again(ctx context.Context, s record.Sighting) (*logged, root.TrustedMaterial, error) {
	tm, err := l.c.Trust.Material(ctx)
	if err != nil {
		return nil, nil, err
	}
	entries, err := l.client.entries(ctx, []string{s.UUID})
	if err != nil {
		return nil, nil, err
	}
	proved, err := l.proved(ctx, entries, tm)
	if err != nil {
		return nil, nil, err
	}
	return proved[0], tm, nil
}
