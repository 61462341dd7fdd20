package tilelog

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
)

// resume goes on from a checkpoint whose entries have been verified.
func (l *Log) resume(ctx context.Context, cp Checkpoint) error {
	if cp.Size == 0 {
		return nil
	}
	hashes, err := client.FetchRangeNodes(ctx, uint64(cp.Size), l.files.ReadTile)
	if err != nil {
		return err
	}
	if l.tree, err = ranges.NewRange(0, uint64(cp.Size), hashes); err != nil {
		return err
	}
	if root, err := l.tree.GetRootHash(nil); err != nil || !bytes.Equal(root, cp.Root[:]) {
		return damaged(layout.CheckpointPath, "its root hash is not that of the hash tiles")
	}
	l.published.Store(&cp)
	return nil
}

// follow verifies a checkpoint: the signature, that it continues the last one,
// and that its root is that of the entries. It takes the new entries into the
// index and returns the checkpoint, or the last one where that is larger. On an
// error nothing has changed.
func (l *Log) follow(ctx context.Context, raw []byte) (Checkpoint, error) {
	if last := l.published.Load(); last != nil && bytes.Equal(last.Raw, raw) {
		return *last, nil
	}
	cp, err := parseOwn(raw, l.key.verifier)
	if err != nil {
		return Checkpoint{}, err
	}
	l.following.Lock()
	defer l.following.Unlock()
	last := l.published.Load()
	if last != nil && last.Size >= cp.Size {
		if last.Size > cp.Size {
			return *last, nil // read before another call moved on
		}
		if last.Root != cp.Root {
			return Checkpoint{}, damaged(layout.CheckpointPath, "its root hash is %x, before it was %x", cp.Root, last.Root)
		}
		l.published.Store(&cp) // signatures may have been added
		return cp, nil
	}
	// The entries are read into copies, which take the place of the originals
	// only if all is well.
	next, err := ranges.NewRange(0, l.tree.End(), slices.Clone(l.tree.Hashes()))
	if err != nil {
		return Checkpoint{}, err
	}
	list, err := l.extend(ctx, next, uint64(cp.Size))
	if err != nil {
		return Checkpoint{}, err
	}
	root := rfc6962.DefaultHasher.EmptyRoot()
	if cp.Size > 0 {
		if root, err = next.GetRootHash(nil); err != nil {
			return Checkpoint{}, err
		}
	}
	if !bytes.Equal(root, cp.Root[:]) {
		return Checkpoint{}, damaged(layout.CheckpointPath, "its root hash is %x, that of its %d entries is %x", cp.Root, cp.Size, root)
	}
	if err := l.index.add(list...); err != nil {
		return Checkpoint{}, err
	}
	l.tree = next
	l.published.Store(&cp)
	for _, r := range list {
		l.pending.remove(r.Ref)
	}
	return cp, nil
}

// extend appends the log's entries up to size to the tree and returns their
// records. In a bundle that had entries before, it holds these too against the
// hash tile: the driver has copied them from the disk.
func (l *Log) extend(ctx context.Context, t *compact.Range, size uint64) ([]indexed, error) {
	var list []indexed
	from := t.End()
	for b := range layout.Range(from, size-from, size) {
		entries, hashes, err := l.bundle(ctx, b.Index, b.Partial)
		if err != nil {
			return nil, err
		}
		for i := b.First; i < b.First+b.N; i++ {
			index := t.End()
			r, err := DecodeRecord(entries[i])
			if err != nil {
				return nil, entryError(layout.EntriesPath(b.Index, b.Partial), index, err)
			}
			if err := t.Append(hashes[i], nil); err != nil {
				return nil, err
			}
			list = append(list, indexed{r, int64(index)})
		}
	}
	return list, nil
}

// bundle returns the entries of a bundle and their hashes, which are those in
// the hash tile.
func (l *Log) bundle(ctx context.Context, index uint64, p uint8) (entries, hashes [][]byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	file := layout.EntriesPath(index, p)
	data, err := l.files.ReadEntryBundle(ctx, index, p)
	if err != nil {
		return nil, nil, failed(file, err)
	}
	if entries, err = unbundle(data, p, false); err != nil {
		return nil, nil, damaged(file, "%v", err)
	}
	for _, e := range entries {
		hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(e))
	}
	tile, err := l.files.ReadTile(ctx, 0, index, p)
	if err != nil {
		return nil, nil, failed(layout.TilePath(0, index, p), err)
	}
	return entries, hashes, compare(0, index, p, tile, hashes, false)
}

// entryError says which entry of a file, by its log index, is no record.
func entryError(file string, i uint64, err error) error {
	return fmt.Errorf("%w: %s: entry %d: %w", ErrDamaged, file, i%layout.EntryBundleWidth, err)
}
