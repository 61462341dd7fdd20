package rekorlog

import (
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

// ErrUnsigned says that no trusted log has signed what was answered, or kept
// from before, so that nothing of it is believed and nothing is contradicted by
// it. It comes with [ErrLog] or [ErrKept]. The trusted root may lack the log
// only for being out of date.
var ErrUnsigned = errors.New("it is not signed by a trusted log")

// ErrKept says that a checkpoint kept from before is not the log's: no trusted
// log has signed it, or another one has.
var ErrKept = errors.New("the checkpoint kept from before is not this log's")

// Checkpoint returns the log's newest signed checkpoint, after proving that the
// log is consistent with old, an earlier return value; old may be nil. Where
// the log has begun a new tree since, the old one is proved by its last
// checkpoint. A contradiction is ErrFork, and that the log has no such tree any
// more is one; an answer that is none is ErrLog, an old checkpoint of another log
// ErrKept.
func (l *Log) Checkpoint(ctx context.Context, old []byte) ([]byte, error) {
	l.c.Trust.Prepare(ctx)
	answer, err := read(ctx, l.client.timeout, func(ctx context.Context) (*rekortlog.GetLogInfoOK, error) {
		return l.client.rekor.Tlog.GetLogInfoContext(ctx, rekortlog.NewGetLogInfoParamsWithTimeout(l.client.timeout))
	})
	if err != nil {
		return nil, fmt.Errorf("ask Rekor for its checkpoint: %w", err)
	}
	log := answer.Payload
	if log == nil || log.SignedTreeHead == nil || log.TreeID == nil {
		return nil, fmt.Errorf("%w: checkpoint: %w: there is none", ErrLog, ErrUnsigned)
	}
	text := []byte(*log.SignedTreeHead)
	var now, before *checkpoint
	var by root.TrustedMaterial
	err = l.c.Trust.judge(ctx, func(tm root.TrustedMaterial) (err error) {
		by = tm
		if now, err = openCheckpoint(text, tm); err != nil {
			return fmt.Errorf("%w: checkpoint: %w", ErrLog, err)
		}
		if len(old) == 0 {
			return nil
		}
		if before, err = openCheckpoint(old, tm); err != nil {
			return fmt.Errorf("%w: %w", ErrKept, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := l.history.check(ctx, now.tree, now.head); err != nil || before == nil {
		return text, err
	}
	if before.tree == now.tree {
		return text, l.extends(ctx, now.tree, before.head, now.head)
	}
	for _, shard := range log.InactiveShards {
		if shard == nil || shard.SignedTreeHead == nil {
			continue
		}
		last, err := openCheckpoint([]byte(*shard.SignedTreeHead), by)
		if err == nil && last.tree == before.tree {
			return text, l.extends(ctx, last.tree, before.head, last.head)
		}
	}
	if before.tree.log == now.tree.log { // whose key has signed a tree that it now says nothing of
		return nil, fmt.Errorf("%w: the checkpoint kept from before is of %q, the log's is of %q", ErrFork, before.origin, now.origin)
	}
	return nil, fmt.Errorf("%w: it is of %q, the log's is of %q", ErrKept, before.origin, now.origin)
}

// extends proves that the tree of one head is the beginning of that of a later
// one. That Rekor cannot be asked, or has not got so far, is no contradiction.
func (l *Log) extends(ctx context.Context, t tree, before, now head) error {
	switch {
	case before.size > now.size:
		return fmt.Errorf("%w: its size was %d and is %d, its root hash %x and %x", ErrFork, before.size, now.size, before.root, now.root)
	case before.size == now.size && before.root != now.root:
		return fmt.Errorf("%w: two root hashes at size %d: %x and %x", ErrFork, now.size, before.root, now.root)
	case before.size == now.size || before.size == 0:
		return nil // everything goes on from nothing
	}
	hashes, err := l.consistencyProof(ctx, t, before.size, now.size)
	if err != nil {
		return err
	}
	if proof.VerifyConsistency(rfc6962.DefaultHasher, before.size, now.size, hashes, before.root[:], now.root[:]) != nil {
		return fmt.Errorf("%w: from size %d to %d: the proof does not lead from root hash %x to %x", ErrFork, before.size, now.size, before.root, now.root)
	}
	return nil
}

// consistencyProof asks Rekor for the hashes that prove a tree of one size to be
// the beginning of one of another size.
func (l *Log) consistencyProof(ctx context.Context, t tree, first, last uint64) ([][]byte, error) {
	params := rekortlog.NewGetLogProofParamsWithTimeout(l.client.timeout).
		WithFirstSize(new(int64(first))).WithLastSize(int64(last)).WithTreeID(&t.id)
	answer, err := read(ctx, l.client.timeout, func(ctx context.Context) (*rekortlog.GetLogProofOK, error) {
		ok, err := l.client.rekor.Tlog.GetLogProofContext(ctx, params)
		var bad *rekortlog.GetLogProofBadRequest
		if errors.As(err, &bad) && bad.Payload != nil {
			// A replica that has not got so far says so with this status.
			err = fmt.Errorf("it refuses: %.200q", bad.Payload.Message)
		}
		return ok, err
	})
	if err != nil {
		return nil, fmt.Errorf("ask Rekor for a consistency proof: %w", err)
	}
	if err := answer.Payload.Validate(strfmt.Default); err != nil {
		return nil, fmt.Errorf("%w: consistency proof: %w", ErrLog, err)
	}
	var hashes [][]byte
	for _, text := range answer.Payload.Hashes {
		hash, err := hex.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("%w: consistency proof: %w", ErrLog, err)
		}
		hashes = append(hashes, hash)
	}
	return hashes, nil
}

// A checkpoint is one that a trusted log has signed.
type checkpoint struct {
	origin string
	tree   tree
	head   head
}

// openCheckpoint parses a checkpoint that one of the trusted logs has signed.
// That none has is ErrUnsigned, of whatever form the text is.
func openCheckpoint(text []byte, tm root.TrustedMaterial) (*checkpoint, error) {
	var c util.SignedCheckpoint
	if err := c.UnmarshalText(text); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsigned, brief(err))
	}
	for id, log := range tm.RekorLogs() {
		v, err := signature.LoadVerifier(log.PublicKey, log.SignatureHashFunc)
		if err != nil || !c.Verify(v) {
			continue
		}
		h, err := headOf(&c)
		return &checkpoint{c.Origin, treeOf(id, &c), h}, err
	}
	return nil, ErrUnsigned
}
