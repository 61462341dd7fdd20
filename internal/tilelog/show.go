package tilelog

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/transparency-dev/tessera/api/layout"

	"github.com/tlogistry/tlogistry/internal/record"
)

// Proof proves by the hash tiles that a sighting is included under the latest
// checkpoint that this process has verified, and returns what proves it. No
// certificate is in it: who holds the log's key vouches for all of the log.
func (l *Log) Proof(ctx context.Context, s record.Sighting) (record.Proof, error) {
	leaf, err := hex.DecodeString(s.UUID)
	if err != nil || s.Index < 0 {
		return record.Proof{}, fmt.Errorf("%w: no entry has the index %d and the ID %.100q", record.ErrForeign, s.Index, s.UUID)
	}
	cp := *l.published.Load()
	if err := l.included(ctx, cp, uint64(s.Index), leaf); err != nil {
		return record.Proof{}, err
	}
	return record.Proof{
		Checkpoint: string(cp.Raw),
		Origin:     l.key.verifier.Name(),
		Size:       cp.Size,
		Root:       cp.Root,
		Position:   s.Index,
	}, nil
}

// EntryPath returns where, below [Log.Handler], the bundle is that holds the
// entry with a log index, in a tree of the given size, which is larger.
func EntryPath(index, size int64) string {
	return "/" + layout.EntriesPathForLogIndex(uint64(index), uint64(size))
}
