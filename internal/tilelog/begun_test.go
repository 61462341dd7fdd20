package tilelog_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// A log that is gone is not begun again under its key, which would sign a second
// history; nor is what may be a part of it.
func TestOpenGone(t *testing.T) {
	first := t.TempDir()
	mustClose(t, mustOpen(t, tilelog.Config{Dir: first})) // without a record
	with := t.TempDir()
	l := mustOpen(t, tilelog.Config{Dir: with})
	fill(t, l, 0, 1)
	mustClose(t, l)
	const gone = "in log/: damaged log: checkpoint: missing, while there was a log by this key"
	for name, dir := range map[string]string{"empty": first, "one record": with} {
		for _, test := range []damage{
			{"all of it", on("log", remove), gone},
			{"all in it", func(t *testing.T, dir string) { remove(t, dir+"/log"); mkdir(t, dir+"/log") }, gone},
			{"all but the version", func(t *testing.T, dir string) {
				version := read(t, dir+"/log/.state/version")
				remove(t, dir+"/log")
				mkdir(t, dir+"/log/.state")
				write(t, dir+"/log/.state/version", version)
			}, gone},
			{"all but the state of an empty log", func(t *testing.T, dir string) {
				remove(t, dir+"/log")
				if err := os.CopyFS(dir+"/log", os.DirFS(first+"/log")); err != nil {
					t.Fatal(err)
				}
				remove(t, dir+"/log/checkpoint")
			}, gone},
			{"the key too", func(t *testing.T, dir string) { remove(t, dir+"/log"); remove(t, dir+"/key") },
				"damaged log: key: missing, while there is a log"},
		} {
			t.Run(name+", "+test.name, func(t *testing.T) { test.check(t, sample{dir: dir}.copy(t)) })
		}
	}
}

// A log of a version that made no mark is marked when it is opened.
func TestOpenMarks(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, tilelog.Config{Dir: dir})
	fill(t, l, 0, 1)
	mustClose(t, l)
	mark := filepath.Join(dir, "begun")
	want := read(t, mark)
	remove(t, mark)
	mustClose(t, mustOpen(t, tilelog.Config{Dir: dir}))
	if got := read(t, mark); got != want {
		t.Errorf("the mark says %q, want %q", got, want)
	}
	before, err := os.Stat(mark)
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, mustOpen(t, tilelog.Config{Dir: dir}))
	if after, err := os.Stat(mark); err != nil || !os.SameFile(before, after) {
		t.Errorf("it was marked again: %v", err)
	}
	damage{"gone", on("log", remove), "in log/: damaged log: checkpoint: missing, while there was a log by this key"}.check(t, dir)
}
