package tilelog_test

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// sign returns a checkpoint, true or not, signed with a log's private key.
func sign(t *testing.T, skey string, size uint64, root []byte) string {
	t.Helper()
	signer, err := note.NewSigner(strings.TrimSpace(skey))
	if err != nil {
		t.Fatal(err)
	}
	text := log.Checkpoint{Origin: signer.Name(), Size: size, Hash: root}.Marshal()
	n, err := note.Sign(&note.Note{Text: string(text)}, signer)
	if err != nil {
		t.Fatal(err)
	}
	return string(n)
}

// An open log believes no checkpoint whose root its entries do not give, not
// even with its own signature.
func TestForgedCheckpoint(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, tilelog.Config{Dir: dir})
	defer mustClose(t, l)
	fill(t, l, 0, 3)
	good := read(t, dir+"/log/checkpoint")
	skey := read(t, dir+"/key")
	root := make([]byte, 32)
	entry := encode(t, alpine, digest("a"), goldenRecord.Time)
	leaf := rfc6962.DefaultHasher.HashLeaf([]byte(entry))
	write(t, dir+"/log/tile/entries/000.p/4", read(t, dir+"/log/tile/entries/000.p/3")+bundle(entry))
	write(t, dir+"/log/tile/0/000.p/4", read(t, dir+"/log/tile/0/000.p/3")+string(leaf))
	for name, checkpoint := range map[string]string{
		"same size":      sign(t, skey, 3, root),
		"one more":       sign(t, skey, 4, root),
		"two more":       sign(t, skey, 5, root),
		"short root":     sign(t, skey, 4, root[:31]),
		"huge":           sign(t, skey, 1<<63, root),
		"of an empty":    sign(t, skey, 0, root),
		"other text":     strings.Replace(good, "\n\n", "\nmore\n\n", 1),
		"other origin":   strings.Replace(good, "tlogistry.local", "tlogistry.remote", 1),
		"no such number": strings.Replace(good, "\n3\n", "\n-3\n", 1),
	} {
		write(t, dir+"/log/checkpoint", checkpoint)
		if resp := ask(t, l, "GET", "/tlog/checkpoint"); resp.StatusCode != http.StatusInternalServerError {
			t.Errorf("%s: %s", name, resp.Status)
		}
		checkLookup(t, l, alpine)
		if n := l.Size(); n != 3 {
			t.Errorf("%s: the log has %d entries", name, n)
		}
	}
	write(t, dir+"/log/checkpoint", good)
	if resp := ask(t, l, "GET", "/tlog/checkpoint"); resp.StatusCode != http.StatusOK || body(t, resp) != good {
		t.Errorf("the true one: %s", resp.Status)
	}
}

// bundle encodes entries as an entry bundle.
func bundle(entries ...string) string {
	var b []byte
	for _, e := range entries {
		b = binary.BigEndian.AppendUint16(b, uint16(len(e)))
		b = append(b, e...)
	}
	return string(b)
}

// made makes the files of a log of a size by the rules of tlog-tiles, without
// Tessera, and returns its directory and verifier key.
func made(t *testing.T, size int) (dir, vkey string) {
	t.Helper()
	dir = t.TempDir()
	skey, vkey, err := note.GenerateKey(rand.Reader, "made.example")
	if err != nil {
		t.Fatal(err)
	}
	path := func(kind string, index, width int) string {
		p := fmt.Sprintf("%s/tile/%s/%03d", dir, kind, index)
		if width < 256 {
			p += fmt.Sprintf(".p/%d", width)
		}
		mkdir(t, filepath.Dir(p))
		return p
	}
	levels := map[uint][]byte{}
	tree := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	var entries []string
	for i := range size {
		e := encode(t, numbered(i), digest("x"), goldenRecord.Time)
		entries = append(entries, e)
		if err := tree.Append(rfc6962.DefaultHasher.HashLeaf([]byte(e)), func(id compact.NodeID, hash []byte) {
			if id.Level%8 == 0 {
				levels[id.Level/8] = append(levels[id.Level/8], hash...)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if len(entries) == 256 || i == size-1 {
			write(t, path("entries", i/256, len(entries)), bundle(entries...))
			entries = nil
		}
	}
	for level, hashes := range levels {
		for i := 0; len(hashes) > 0; i++ {
			n := min(len(hashes), 256*32)
			write(t, path(fmt.Sprint(level), i, n/32), string(hashes[:n]))
			hashes = hashes[n:]
		}
	}
	root, err := tree.GetRootHash(nil)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/checkpoint", sign(t, skey, uint64(size), root))
	return dir, vkey
}

// Of a log of more than 256 * 256 records, every level of tiles is checked.
func TestReaderLargeLog(t *testing.T) {
	const size = 66_000
	dir, vkey := made(t, size)
	if n := audit(t, dir, vkey); n != size {
		t.Fatalf("%d entries", n)
	}
	r := mustReader(t, dir, vkey)
	for file, want := range map[string]string{
		"tile/0/255":       "hash 0 is not that of entry 0 of tile/entries/255",
		"tile/0/257.p/208": "hash 0 is not that of entry 0 of tile/entries/257.p/208",
		"tile/1/000":       "hash 0 is not that of tile/0/000",
		"tile/1/001.p/1":   "hash 0 is not that of tile/0/256",
		"tile/2/000.p/1":   "hash 0 is not that of tile/1/000",
	} {
		flip(t, dir+"/"+file, 0)
		if err := auditAll(t.Context(), r); !errors.Is(err, tilelog.ErrDamaged) || err.Error() != "damaged log: "+file+": "+want {
			t.Errorf("%s: got %v, want %s", file, err, want)
		}
		flip(t, dir+"/"+file, 0)
	}
}
