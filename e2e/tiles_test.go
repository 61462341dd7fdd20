package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// checkTiles reads a tile log of n entries with Tessera's client and fsck, and
// proves every entry with the package that Go's checksum database uses.
func checkTiles(t *testing.T, base, key string, n int64) {
	t.Helper()
	v, err := note.NewVerifier(key)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	f, err := client.NewHTTPFetcher(u, nil)
	if err != nil {
		t.Fatal(err)
	}
	cp, _, _, err := client.FetchCheckpoint(t.Context(), f.ReadCheckpoint, v, v.Name())
	if err != nil {
		t.Fatal(err)
	}
	if int64(cp.Size) != n {
		t.Fatalf("the checkpoint covers %d entries, want %d", cp.Size, n)
	}
	if err := fsck.New(v.Name(), v, f, leafHashes, fsck.Opts{N: 1}).Check(t.Context()); err != nil {
		t.Errorf("fsck: %v", err)
	}
	tree := tlog.Tree{N: n, Hash: tlog.Hash(cp.Hash)}
	hashes := tlog.TileHashReader(tree, tileReader{base})
	bundle, err := client.GetEntryBundle(t.Context(), f.ReadEntryBundle, 0, cp.Size)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		proof, err := tlog.ProveRecord(n, i, hashes)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckRecord(proof, n, tree.Hash, i, tlog.RecordHash(bundle.Entries[i])); err != nil {
			t.Errorf("entry %d: %v", i, err)
		}
	}
}

func leafHashes(b []byte) ([][]byte, error) {
	var bundle api.EntryBundle
	if err := bundle.UnmarshalText(b); err != nil {
		return nil, err
	}
	var hashes [][]byte
	for _, entry := range bundle.Entries {
		hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(entry))
	}
	return hashes, nil
}

// A tileReader reads C2SP tlog-tiles for package tlog, whose own paths have the
// tile's height in front.
type tileReader struct{ base string }

func (r tileReader) Height() int { return 8 }

func (r tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var data [][]byte
	for _, tile := range tiles {
		resp, err := http.Get(r.base + strings.Replace(tile.Path(), "tile/8/", "tile/", 1))
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("tile %s: status %d, %w", tile.Path(), resp.StatusCode, err)
		}
		data = append(data, b)
	}
	return data, nil
}

func (r tileReader) SaveTiles([]tlog.Tile, [][]byte) {}
