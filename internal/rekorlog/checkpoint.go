package rekorlog

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/go-openapi/strfmt"
	rekortlog "github.com/sigstore/rekor/pkg/generated/client/tlog"
	"github.com/sigstore/rekor/pkg/util"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// ErrFork says that two checkpoints, both signed by the log, are not of one
// history.
var ErrFork = errors.New("the log's checkpoints contradict each other")

// Checkpoint returns the log's newest signed checkpoint, after proving that the
// log is consistent with old, an earlier return value; old may be nil. Where
// the log has begun a new tree since, the old one is proved by its last
// checkpoint. A contradiction is ErrFork; an answer that is none, or an old
// checkpoint of another log, ErrLog.
func (l *Log) Checkpoint(ctx context.Context, old []byte) ([]byte, error) {
	tm, err := l.c.Trust.Material(ctx, l.c.Trust.maxAge)
	if err != nil {
		return nil, err
	}
	answer, err := read(ctx, l.client.timeout, func(ctx context.Context) (*rekortlog.GetLogInfoOK, error) {
		return l.client.rekor.Tlog.GetLogInfoContext(ctx, rekortlog.NewGetLogInfoParamsWithTimeout(l.client.timeout))
	})
	if err != nil {
		return nil, fmt.Errorf("ask Rekor for its checkpoint: %w", err)
	}
	log := answer.Payload
	if log == nil || log.SignedTreeHead == nil || log.TreeID == nil {
		return nil, fmt.Errorf("%w: it has no checkpoint", ErrLog)
	}
	text := []byte(*log.SignedTreeHead)
	now, err := openCheckpoint(text, tm)
	if err != nil {
		return nil, fmt.Errorf("%w: checkpoint: %w", ErrLog, err)
	}
	if len(old) == 0 {
		return text, nil
	}
	before, err := openCheckpoint(old, tm)
	if err != nil {
		return nil, fmt.Errorf("%w: the checkpoint kept from before: %w", ErrLog, err)
	}
	if before.Origin == now.Origin {
		return text, l.consistent(ctx, before, now, *log.TreeID)
	}
	for _, shard := range log.InactiveShards {
		if shard == nil || shard.SignedTreeHead == nil || shard.TreeID == nil {
			continue
		}
		last, err := openCheckpoint([]byte(*shard.SignedTreeHead), tm)
		if err == nil && last.Origin == before.Origin {
			return text, l.consistent(ctx, before, last, *shard.TreeID)
		}
	}
	return nil, fmt.Errorf("%w: the checkpoint kept from before is of %q, the log's is of %q", ErrLog, before.Origin, now.Origin)
}

// consistent proves that the tree of one checkpoint is the beginning of that of
// a later one. That Rekor cannot be asked is no contradiction.
func (l *Log) consistent(ctx context.Context, before, now *util.SignedCheckpoint, treeID string) error {
	switch {
	case before.Size > now.Size:
		return fmt.Errorf("%w: its size was %d and is %d", ErrFork, before.Size, now.Size)
	case before.Size == now.Size && !bytes.Equal(before.Hash, now.Hash):
		return fmt.Errorf("%w: two root hashes at size %d", ErrFork, now.Size)
	case before.Size == now.Size || before.Size == 0:
		return nil // everything goes on from nothing
	}
	first := int64(before.Size)
	params := rekortlog.NewGetLogProofParamsWithTimeout(l.client.timeout).
		WithFirstSize(&first).WithLastSize(int64(now.Size)).WithTreeID(&treeID)
	answer, err := read(ctx, l.client.timeout, func(ctx context.Context) (*rekortlog.GetLogProofOK, error) {
		return l.client.rekor.Tlog.GetLogProofContext(ctx, params)
	})
	if err != nil {
		return fmt.Errorf("ask Rekor for a consistency proof: %w", err)
	}
	if err := answer.Payload.Validate(strfmt.Default); err != nil {
		return fmt.Errorf("%w: consistency proof: %w", ErrLog, err)
	}
	var hashes [][]byte
	for _, text := range answer.Payload.Hashes {
		hash, err := hex.DecodeString(text)
		if err != nil {
			return fmt.Errorf("%w: consistency proof: %w", ErrLog, err)
		}
		hashes = append(hashes, hash)
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, before.Size, now.Size, hashes, before.Hash, now.Hash); err != nil {
		return fmt.Errorf("%w: from size %d to %d: %w", ErrFork, before.Size, now.Size, err)
	}
	return nil
}

// openCheckpoint parses a checkpoint that one of the trusted logs has signed.
func openCheckpoint(text []byte, tm root.TrustedMaterial) (*util.SignedCheckpoint, error) {
	var c util.SignedCheckpoint
	if err := c.UnmarshalText(text); err != nil {
		return nil, err
	}
	for _, log := range tm.RekorLogs() {
		v, err := signature.LoadVerifier(log.PublicKey, log.SignatureHashFunc)
		if err == nil && c.Verify(v) {
			return &c, nil
		}
	}
	return nil, errors.New("it is not signed by a trusted log")
}
