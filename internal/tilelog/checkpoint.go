package tilelog

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
	"golang.org/x/mod/sumdb/note"
)

// Errors for callers to decide on. None of them stands for a log out of reach.
var (
	// ErrDamaged says that a log's files contradict each other, its key or
	// their format, or that one is missing.
	ErrDamaged = errors.New("damaged log")
	// ErrForked says that a log has taken back what an earlier checkpoint of
	// it promised.
	ErrForked = errors.New("forked log")
	// ErrLocked says that another process has the log open.
	ErrLocked = errors.New("in use by another process")
)

// A Checkpoint is a log's signed promise of its first Size entries, with the
// signature verified.
type Checkpoint struct {
	Size int64
	Root [32]byte // RFC 6962 root hash of the tree of these entries
	Raw  []byte   // the signed note
}

// parseCheckpoint verifies the signature of a checkpoint and that it is of the
// log that the key names. What that key has signed, or is said to have signed, and
// is no such checkpoint, is ErrDamaged. Anything else is not the log's, and
// whoever reads it may have named the wrong key or the wrong place.
func parseCheckpoint(raw []byte, v note.Verifier) (Checkpoint, error) {
	cp, _, _, err := log.ParseCheckpoint(raw, v.Name(), v)
	if err != nil {
		err = fmt.Errorf("not a checkpoint of %s by the key %08x: %w", v.Name(), v.KeyHash(), err)
		var forged *note.InvalidSignatureError
		if _, nerr := note.Open(raw, note.VerifierList(v)); nerr == nil || errors.As(nerr, &forged) {
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return Checkpoint{}, err
	}
	if cp.Size > math.MaxInt64 || len(cp.Hash) != hashSize {
		return Checkpoint{}, fmt.Errorf("%w: the checkpoint has size %d and a root hash of %d bytes", ErrDamaged, cp.Size, len(cp.Hash))
	}
	c := Checkpoint{Size: int64(cp.Size), Raw: bytes.Clone(raw)}
	copy(c.Root[:], cp.Hash)
	if c.Size == 0 && !bytes.Equal(c.Root[:], rfc6962.DefaultHasher.EmptyRoot()) {
		return Checkpoint{}, fmt.Errorf("%w: the checkpoint's root hash is not that of an empty tree", ErrDamaged)
	}
	return c, nil
}

// parseOwn parses the checkpoint in a log's own directory. Whatever is wrong with
// it, the log is damaged.
func parseOwn(raw []byte, v note.Verifier) (Checkpoint, error) {
	c, err := parseCheckpoint(raw, v)
	switch {
	case errors.Is(err, ErrDamaged):
		return c, fmt.Errorf("%s: %w", layout.CheckpointPath, err)
	case err != nil:
		return c, fmt.Errorf("%s: %w: %w", layout.CheckpointPath, ErrDamaged, err)
	}
	return c, nil
}
