package tilelog_test

import (
	"path"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tlogistry/tlogistry/internal/tilelog"
)

func TestParseTile(t *testing.T) {
	for _, good := range []string{
		"tile/0/000", "tile/0/999", "tile/0/000.p/1", "tile/0/000.p/255", "tile/63/000", "tile/1/x001/000",
		"tile/0/x001/x234/067", "tile/0/x001/x234/067.p/8", "tile/entries/000", "tile/entries/x001/234.p/17",
		"tile/0/x018/x446/x744/x073/x709/x551/615", // the largest index of 64 bits
	} {
		if got, ok := tilelog.ParseTile(good); !ok || got != good {
			t.Errorf("%s: got %s, %t", good, got, ok)
		}
	}
	for _, bad := range []string{
		"", "tile", "tile/", "tile/0", "tile/0/", "tile/0/0", "tile/0/00", "tile/0/0000", "tile/00/000", "tile/64/000", "tile/-1/000",
		"tile/0/000/", "/tile/0/000", "tile//000", "tile/0//000", "tile/0/x000", "tile/0/x000/000", "tile/0/001/000", "tile/0/x001/x000",
		"tile/0/000.p", "tile/0/000.p/", "tile/0/000.p/0", "tile/0/000.p/01", "tile/0/000.p/256", "tile/0/000.p/999", "tile/0/000.p/1/",
		"tile/0/000.p/1.p/1", "tile/0/000.P/1", "tile/8/0/000", "tile/data/000", "tile/entries", "tile/entries/0/000", "tile/Entries/000",
		"tile/0/../0/000", "tile/0/000/..", "tile/0/..", "../key", "key", "tile/0/000\x00", "tile/0/000\n", "tile/0/٠٠٠", "tile/0/x00a/000",
		"tile/0/x018/x446/x744/x073/x709/x551/616", "tile/0/x001/x018/x446/x744/x073/x709/x551/615", "tile/0/000123", ".state/treeState",
	} {
		if got, ok := tilelog.ParseTile(bad); ok {
			t.Errorf("%q: got %s", bad, got)
		}
	}
}

// What is accepted is clean, inside tile/, and what Go's checksum database
// takes for the same tile, in its own notation.
func FuzzParseTile(f *testing.F) {
	for _, s := range []string{"tile/0/000", "tile/1/x001/x234/067.p/8", "tile/entries/000.p/255", "tile/63/999", "tile/0/../../key", "tile/0/x000/001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := tilelog.ParseTile(s)
		if !ok {
			return
		}
		if got != s || path.Clean(s) != s || !strings.HasPrefix(s, "tile/") {
			t.Errorf("%q was taken for %q", s, got)
		}
		theirs := "tile/8/" + strings.Replace(strings.TrimPrefix(s, "tile/"), "entries/", "data/", 1)
		if tile, err := tlog.ParseTilePath(theirs); err == nil && tile.Path() != theirs {
			t.Errorf("%q is %q to the checksum database", theirs, tile.Path())
		}
	})
}
