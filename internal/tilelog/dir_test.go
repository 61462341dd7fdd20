package tilelog_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/transparency-dev/tessera/api"

	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// A sample is a log of 600 records, so that it has full and partial files of
// two levels, and what it was at 300.
type sample struct {
	dir        string
	vkey       string
	checkpoint [2]string // of 300 and of 600 records
}

func newSample(t testing.TB) sample {
	t.Helper()
	s := sample{dir: t.TempDir()}
	l := mustOpen(t, tilelog.Config{Dir: s.dir})
	defer mustClose(t, l)
	s.vkey = l.VerifierKey()
	fill(t, l, 0, 300)
	s.checkpoint[0] = read(t, s.dir+"/log/checkpoint")
	fill(t, l, 300, 600)
	s.checkpoint[1] = read(t, s.dir+"/log/checkpoint")
	return s
}

// copy returns a copy of the sample's directory.
func (s sample) copy(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// snapshot describes everything in a directory.
func snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		files[path] = fmt.Sprint(st.Mode(), st.ModTime())
		if st.Mode().IsRegular() {
			files[path] += read(t, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func checkUntouched(t testing.TB, dir string, before map[string]string) {
	t.Helper()
	after := snapshot(t, dir)
	for _, path := range slices.Sorted(maps.Keys(after)) {
		if before[path] != after[path] {
			t.Errorf("%s was touched", path)
		}
		delete(before, path)
	}
	for path := range before {
		t.Errorf("%s was removed", path)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func remove(t testing.TB, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// flip changes one bit of a file.
func flip(t testing.TB, path string, at int) {
	t.Helper()
	b := []byte(read(t, path))
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 1
	write(t, path, string(b))
}

// cut takes bytes off the end of a file.
func cut(t testing.TB, path string, n int) {
	t.Helper()
	text := read(t, path)
	write(t, path, text[:len(text)-n])
}

// edit replaces text in a file, which has it.
func edit(t testing.TB, path, old, new string) {
	t.Helper()
	text := read(t, path)
	if !strings.Contains(text, old) {
		t.Fatalf("%s has no %q", path, old)
	}
	write(t, path, strings.Replace(text, old, new, 1))
}

// lastEntry returns the last entry of an entry bundle.
func lastEntry(t testing.TB, path string) string {
	t.Helper()
	var b api.EntryBundle
	if err := b.UnmarshalText([]byte(read(t, path))); err != nil {
		t.Fatal(err)
	}
	return string(b.Entries[len(b.Entries)-1])
}
