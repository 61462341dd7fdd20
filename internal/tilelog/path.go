package tilelog

import (
	"regexp"

	"github.com/transparency-dev/tessera/api/layout"
)

// tilePath is the form of a path of a hash tile or an entry bundle in
// tlog-tiles: level or "entries", index, width of a partial one.
var tilePath = regexp.MustCompile(`^tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/)*[0-9]{3}(?:\.p/[0-9]{1,3})?)$`)

// A tile names a hash tile or an entry bundle.
type tile struct {
	entries bool
	level   uint64 // 0 for an entry bundle
	index   uint64
	partial uint8 // how many hashes or entries; 0: all 256
}

// path returns the one way to write t.
func (t tile) path() string {
	if t.entries {
		return layout.EntriesPath(t.index, t.partial)
	}
	return layout.TilePath(t.level, t.index, t.partial)
}

// parseTile parses a path below a log's prefix. It accepts just what path
// returns for a level of 0 to 63.
func parseTile(path string) (tile, bool) {
	m := tilePath.FindStringSubmatch(path)
	if m == nil {
		return tile{}, false
	}
	var t tile
	var err error
	if m[1] == "entries" {
		t.entries = true
		t.index, t.partial, err = layout.ParseTileIndexPartial(m[2])
	} else {
		t.level, t.index, t.partial, err = layout.ParseTileLevelIndexPartial(m[1], m[2])
	}
	if err != nil || t.path() != path {
		return tile{}, false
	}
	return t, true
}
