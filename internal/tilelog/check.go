package tilelog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
)

var ranges = compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}

// A tree is a size and a root hash that a file of the log claims.
type tree struct {
	size uint64
	root []byte
	file string
}

// A checker reads the whole log and holds it against the trees it claims: every
// entry against the hash tiles, every tile against those below it, and the
// roots that the entries give against those claimed. It is used once.
type checker struct {
	src   source
	exact bool // whether a partial file must be just what it is named
	trees []tree
	// visit is called for each entry of each file, in order, after the check
	// against its hash tile and before that against the root.
	visit   func(file string, index uint64, entry []byte) error
	workers uint // how many files to read at once

	leaves sync.Map // index of a hash tile of level 0, read ahead, to its bytes or error
	tree   *compact.Range
	inner  [][][]byte // hashes of the rightmost tiles of level 1 and up
	err    error      // of the first inner tile that is wrong
	root   error      // of the first root that is wrong
}

// damaged says what is wrong with a file of the log, named from the log's root.
func damaged(file, format string, a ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrDamaged, file, fmt.Sprintf(format, a...))
}

// run checks the trees, which are in ascending order. The last may be empty.
func (c *checker) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx) // ends what is read ahead
	defer cancel()
	c.tree = ranges.NewEmptyRange(0)
	for len(c.trees) > 0 && c.trees[0].size == 0 {
		c.claim(ctx, nil, nil)
	}
	if len(c.trees) == 0 {
		return errors.Join(c.err, c.root)
	}
	size := c.trees[len(c.trees)-1].size
	known := func(context.Context) (uint64, error) { return size, nil }
	for b, err := range client.EntryBundles(ctx, c.workers, known, c.read, 0, size) {
		if err != nil {
			return failed(layout.EntriesPath(b.RangeInfo.Index, b.RangeInfo.Partial), err)
		}
		if err := c.bundle(ctx, b.RangeInfo.Index, b.RangeInfo.Partial, b.Data); err != nil {
			return err
		}
	}
	// A wrong file explains a wrong root, so it is the one to name.
	if c.root != nil {
		return c.root
	}
	if c.tree.End() != size { // only if the iterator did not do what it says
		return fmt.Errorf("read %d entries of %d", c.tree.End(), size)
	}
	return nil
}

// read reads an entry bundle, and the hash tile above it on the way.
func (c *checker) read(ctx context.Context, index uint64, p uint8) ([]byte, error) {
	b, err := c.src.ReadTile(ctx, 0, index, p)
	if err != nil {
		c.leaves.Store(index, err)
	} else {
		c.leaves.Store(index, b)
	}
	b, err = c.src.ReadEntryBundle(ctx, index, p)
	if err != nil {
		return nil, failed(layout.EntriesPath(index, p), err)
	}
	return b, nil
}

// failed names the file in the error of a read.
func failed(file string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return damaged(file, "missing")
	case errors.Is(err, ErrDamaged):
		return err
	}
	return fmt.Errorf("read %s: %w", file, err)
}

// bundle checks one entry bundle.
func (c *checker) bundle(ctx context.Context, index uint64, p uint8, data []byte) error {
	file := layout.EntriesPath(index, p)
	entries, err := unbundle(data, p, c.exact)
	if err != nil {
		return damaged(file, "%v", err)
	}
	hashes := make([][]byte, len(entries))
	for i, e := range entries {
		hashes[i] = rfc6962.DefaultHasher.HashLeaf(e)
	}
	ahead, _ := c.leaves.LoadAndDelete(index)
	switch tile := ahead.(type) {
	case []byte:
		err = compare(0, index, p, tile, hashes, c.exact)
	case error:
		err = failed(layout.TilePath(0, index, p), tile)
	}
	if err != nil {
		return err
	}
	for i, e := range entries {
		if err := c.tree.Append(hashes[i], func(id compact.NodeID, hash []byte) { c.node(ctx, id, hash) }); err != nil {
			return err
		}
		if c.err != nil {
			return c.err
		}
		if err := c.visit(file, c.tree.End()-1, e); err != nil {
			return err
		}
		for len(c.trees) > 0 && c.trees[0].size == c.tree.End() {
			c.claim(ctx, entries[:i+1], hashes[:i+1])
			if c.err != nil {
				return c.err
			}
		}
	}
	return nil
}

// node gathers the hashes of inner tiles, and checks those that are full.
func (c *checker) node(ctx context.Context, id compact.NodeID, hash []byte) {
	if id.Level == 0 || id.Level%layout.TileHeight != 0 || c.err != nil {
		return
	}
	level := int(id.Level / layout.TileHeight)
	for len(c.inner) < level {
		c.inner = append(c.inner, nil)
	}
	row := append(c.inner[level-1], hash)
	c.inner[level-1] = row
	if len(row) == layout.TileWidth {
		c.err = c.readAndCompare(ctx, uint64(level), id.Index/layout.TileWidth, 0, row)
		c.inner[level-1] = nil
	}
}

// claim checks the first of the trees, whose entries have all been read: the
// partial files at its right edge, and its root. Given are the entries of its
// last bundle.
func (c *checker) claim(ctx context.Context, entries, hashes [][]byte) {
	t := c.trees[0]
	c.trees = c.trees[1:]
	root := rfc6962.DefaultHasher.EmptyRoot()
	if t.size > 0 {
		root, c.err = c.tree.GetRootHash(nil)
	}
	if !bytes.Equal(root, t.root) && c.root == nil {
		c.root = damaged(t.file, "its root hash is %x, that of its %d entries is %x", t.root, t.size, root)
	}
	for i, row := range c.inner {
		if c.err == nil && len(row) > 0 {
			level := uint64(i + 1)
			c.err = c.readAndCompare(ctx, level, t.size>>(level*layout.TileHeight)/layout.TileWidth, uint8(len(row)), row)
		}
	}
	// The largest tree's edge of level 0 is what has been read.
	larger := len(c.trees) > 0 && c.trees[len(c.trees)-1].size > t.size
	if p := uint8(len(entries) % layout.TileWidth); p > 0 && larger && c.err == nil {
		index := t.size / layout.TileWidth
		if c.err = c.readAndCompare(ctx, 0, index, p, hashes); c.err == nil {
			c.err = c.sameBundle(ctx, index, p, entries)
		}
	}
}

// readAndCompare reads a hash tile and compares it with the hashes it must
// have.
func (c *checker) readAndCompare(ctx context.Context, level, index uint64, p uint8, want [][]byte) error {
	data, err := c.src.ReadTile(ctx, level, index, p)
	if err != nil {
		return failed(layout.TilePath(level, index, p), err)
	}
	return compare(level, index, p, data, want, c.exact)
}

// compare compares a hash tile with the hashes it must have. Unless it must be
// exact, a full tile may stand for a partial one.
func compare(level, index uint64, p uint8, data []byte, want [][]byte, exact bool) error {
	file := layout.TilePath(level, index, p)
	if len(data) != len(want)*hashSize && (exact || p == 0 || len(data) != maxTile) {
		return damaged(file, "%d bytes, want %d", len(data), len(want)*hashSize)
	}
	for i, hash := range want {
		if !bytes.Equal(data[i*hashSize:(i+1)*hashSize], hash) {
			below := layout.TilePath(level-1, index*layout.TileWidth+uint64(i), 0)
			if level == 0 {
				below = fmt.Sprintf("entry %d of %s", i, layout.EntriesPath(index, p))
			}
			return damaged(file, "hash %d is not that of %s", i, below)
		}
	}
	return nil
}

// sameBundle checks that a smaller partial entry bundle has the same entries as
// the larger one that was read.
func (c *checker) sameBundle(ctx context.Context, index uint64, p uint8, want [][]byte) error {
	file := layout.EntriesPath(index, p)
	data, err := c.src.ReadEntryBundle(ctx, index, p)
	if err != nil {
		return failed(file, err)
	}
	entries, err := unbundle(data, p, c.exact)
	if err != nil {
		return damaged(file, "%v", err)
	}
	for i, e := range entries {
		if !bytes.Equal(e, want[i]) {
			return damaged(file, "entry %d is not that of the larger bundle", i)
		}
	}
	return nil
}

// unbundle returns the entries of an entry bundle, p of them or all 256 for
// zero. Unless it must be exact, a full bundle may stand for a partial one.
func unbundle(data []byte, p uint8, exact bool) ([][]byte, error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(data); err != nil {
		return nil, err
	}
	want := int(p)
	if p == 0 {
		want = layout.EntryBundleWidth
	}
	if len(b.Entries) != want && (exact || len(b.Entries) != layout.EntryBundleWidth) {
		return nil, fmt.Errorf("%d entries, want %d", len(b.Entries), want)
	}
	return b.Entries[:want], nil
}
