package tilelog

// For tests outside the package.

// ParseTile returns the canonical form of a tile's path.
func ParseTile(path string) (string, bool) {
	t, ok := parseTile(path)
	if !ok {
		return "", false
	}
	return t.path(), true
}

// Counts returns how many references have a record, and how many later records
// of them there are.
func (l *Log) Counts() (references int, duplicates int64) { return l.index.counts() }
