package tilelog_test

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// serve serves a log under /tlog/ and returns that address.
func serve(t testing.TB, l *tilelog.Log) *url.URL {
	t.Helper()
	s := httptest.NewServer(http.StripPrefix("/tlog", l.Handler()))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL + "/tlog/")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// leafHashes hashes an entry bundle for fsck, as tlog-tiles says.
func leafHashes(bundle []byte) ([][]byte, error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	var hashes [][]byte
	for _, e := range b.Entries {
		hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(e))
	}
	return hashes, nil
}

// Tessera's own tools read and verify the log, from the directory and over HTTP.
func TestTessera(t *testing.T) {
	s := newSample(t)
	l := mustOpen(t, tilelog.Config{Dir: s.dir})
	defer mustClose(t, l)
	v, err := note.NewVerifier(s.vkey)
	if err != nil {
		t.Fatal(err)
	}
	over, err := client.NewHTTPFetcher(serve(t, l), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]fsck.Fetcher{"HTTP": over, "directory": client.FileFetcher{Root: s.dir + "/log"}} {
		t.Run(name, func(t *testing.T) {
			if err := fsck.New(l.Origin(), v, f, leafHashes, fsck.Opts{N: 2}).Check(t.Context()); err != nil {
				t.Error(err)
			}
			cp, _, _, err := client.FetchCheckpoint(t.Context(), f.ReadCheckpoint, v, l.Origin())
			if err != nil || cp.Size != 600 {
				t.Fatalf("%+v, %v", cp, err)
			}
			b, err := client.NewProofBuilder(t.Context(), cp.Size, f.ReadTile)
			if err != nil {
				t.Fatal(err)
			}
			for _, ref := range []string{numbered(0), numbered(299), numbered(599)} {
				sighting := lookup(t, l, ref)
				p, err := b.InclusionProof(t.Context(), uint64(sighting.Index))
				if err != nil {
					t.Fatal(err)
				}
				if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(sighting.Index), cp.Size, unhex(t, sighting.UUID), p, cp.Hash); err != nil {
					t.Error(err)
				}
			}
			tracker, err := client.NewLogStateTracker(t.Context(), f.ReadTile, []byte(s.checkpoint[0]), v, l.Origin(), client.UnilateralConsensus(f.ReadCheckpoint))
			if err != nil {
				t.Fatal(err)
			}
			if _, _, _, err := tracker.Update(t.Context()); err != nil || tracker.Latest().Size != 600 {
				t.Errorf("%+v, %v", tracker.Latest(), err)
			}
		})
	}
}

// The code of Go's checksum database proves inclusion and consistency from
// the tiles, which it names in its own way.
func TestChecksumDatabase(t *testing.T) {
	s := newSample(t)
	l := mustOpen(t, tilelog.Config{Dir: s.dir})
	defer mustClose(t, l)
	v, err := note.NewVerifier(s.vkey)
	if err != nil {
		t.Fatal(err)
	}
	var trees [2]tlog.Tree
	for i, raw := range s.checkpoint {
		n, err := note.Open([]byte(raw), note.VerifierList(v))
		if err != nil {
			t.Fatal(err)
		}
		var hash string
		if _, err := fmt.Sscanf(n.Text, l.Origin()+"\n%d\n%s\n", &trees[i].N, &hash); err != nil {
			t.Fatal(err)
		}
		if trees[i].Hash, err = tlog.ParseHash(hash); err != nil {
			t.Fatal(err)
		}
	}
	tree := trees[1]
	hashes := tlog.TileHashReader(tree, tiles{l, t})
	for _, ref := range []string{numbered(0), numbered(255), numbered(300), numbered(599)} {
		sighting := lookup(t, l, ref)
		p, err := tlog.ProveRecord(tree.N, sighting.Index, hashes)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckRecord(p, tree.N, tree.Hash, sighting.Index, tlog.Hash(unhex(t, sighting.UUID))); err != nil {
			t.Error(err)
		}
	}
	p, err := tlog.ProveTree(tree.N, trees[0].N, hashes)
	if err != nil {
		t.Fatal(err)
	}
	if err := tlog.CheckTree(p, tree.N, tree.Hash, trees[0].N, trees[0].Hash); err != nil {
		t.Error(err)
	}
}

// tiles reads tiles for the checksum database's code, through the handler.
type tiles struct {
	l *tilelog.Log
	t *testing.T
}

func (tiles) Height() int { return 8 }

func (r tiles) ReadTiles(list []tlog.Tile) ([][]byte, error) {
	var data [][]byte
	for _, tile := range list {
		path := tile.Path()[len("tile/8/"):] // tlog-tiles leaves the height out
		resp := ask(r.t, r.l, "GET", "/tlog/tile/"+path)
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s: %s", path, resp.Status)
		}
		data = append(data, []byte(body(r.t, resp)))
	}
	return data, nil
}

func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// fsck finds what is wrong with a damaged log, so it is a check at all. It has
// workers enough that none has to wait for one that ended with the error.
func TestTesseraFindsDamage(t *testing.T) {
	s := newSample(t)
	v, err := note.NewVerifier(s.vkey)
	if err != nil {
		t.Fatal(err)
	}
	flip(t, s.dir+"/log/tile/entries/000", 50)
	if err := fsck.New(v.Name(), v, client.FileFetcher{Root: s.dir + "/log"}, leafHashes, fsck.Opts{N: 16}).Check(t.Context()); err == nil {
		t.Error("fsck found nothing")
	}
}

func lookup(t *testing.T, l *tilelog.Log, ref string) record.Sighting {
	t.Helper()
	s, err := l.Lookup(t.Context(), ref)
	if err != nil || len(s) != 1 {
		t.Fatalf("%s: %+v, %v", ref, s, err)
	}
	return s[0]
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
