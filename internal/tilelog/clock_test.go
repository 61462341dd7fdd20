package tilelog_test

import (
	"os"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// ahead makes a checkpoint be from the future, as the clock that is set back
// does.
func ahead(t *testing.T, dir string, by time.Duration) {
	t.Helper()
	then := time.Now().Add(by)
	if err := os.Chtimes(dir+"/log/checkpoint", then, then); err != nil {
		t.Fatal(err)
	}
}

// Records are made after the clock was set back, whether the log was open then
// or not, and what was integrated before is published.
func TestClockSetBack(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, tilelog.Config{Dir: dir, Timeout: 30 * time.Second})
	for i, by := range []time.Duration{time.Second, time.Hour, 10 * 365 * 24 * time.Hour} {
		ahead(t, dir, by)
		if s := fill(t, l, i, i+1)[0]; s.Index != int64(i) {
			t.Errorf("record %d has index %d", i, s.Index)
		}
	}
	early := read(t, dir+"/log/checkpoint")
	fill(t, l, 3, 4)
	mustClose(t, l)

	write(t, dir+"/log/checkpoint", early) // killed before the last one was published
	ahead(t, dir, time.Hour)
	l = mustOpen(t, tilelog.Config{Dir: dir, Timeout: 30 * time.Second})
	defer mustClose(t, l)
	for deadline := time.Now().Add(30 * time.Second); read(t, dir+"/log/checkpoint") == early; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the record is not published")
		}
	}
	ahead(t, dir, time.Hour)
	if s := fill(t, l, 4, 5)[0]; s.Index != 4 {
		t.Errorf("the last record has index %d", s.Index)
	}
}
