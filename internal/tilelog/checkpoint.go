package tilelog

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/rfc6962"
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
// log that the key names.
func parseCheckpoint(raw []byte, v note.Verifier) (Checkpoint, error) {
	cp, _, _, err := log.ParseCheckpoint(raw, v.Name(), v)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: not a checkpoint of %s by the key %08x: %w", ErrDamaged, v.Name(), v.KeyHash(), err)
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
