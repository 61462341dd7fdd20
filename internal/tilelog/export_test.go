package tilelog

import "context"

// For tests outside the package.

// Prove proves that the last checkpoint includes the entry.
func (l *Log) Prove(ctx context.Context, index uint64, entry []byte) error {
	return l.prove(ctx, *l.published.Load(), written{index, entry})
}

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

// Unbundle returns the entries of an entry bundle.
func Unbundle(data []byte, p uint8, exact bool) ([][]byte, error) { return unbundle(data, p, exact) }

// ParseKey reads a private key and returns the verifier key.
func ParseKey(s string) (string, error) {
	k, err := parseKey(s)
	return k.text, err
}

// SetSpace has Ready ask f how many bytes and files there is room for, and
// whether files are counted.
func (l *Log) SetSpace(f func(path string) (bytes, files int64, counted bool, err error)) {
	l.space = func(path string) (space, error) {
		bytes, files, counted, err := f(path)
		return space{bytes, files, counted}, err
	}
}

// FreeSpace returns how many bytes and files there is room for.
func FreeSpace(path string) (bytes, files int64, err error) {
	s, err := freeSpace(path)
	return s.bytes, s.files, err
}
