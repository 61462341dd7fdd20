package tilelog_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// A log is ready while its directory can be read and written, and again when it
// can.
func TestReady(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, tilelog.Config{Dir: dir})
	defer mustClose(t, l)
	fill(t, l, 0, 1)
	if err := l.Ready(t.Context()); err != nil {
		t.Errorf("an open log: %v", err)
	}
	for _, name := range []string{".state", "checkpoint"} {
		path := filepath.Join(dir, "log", name)
		if err := os.Rename(path, path+"-away"); err != nil {
			t.Fatal(err)
		}
		var says *fs.PathError
		if err := l.Ready(t.Context()); !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &says) {
			t.Errorf("without %s: %v", name, err)
		}
		if err := os.Rename(path+"-away", path); err != nil {
			t.Fatal(err)
		}
		if err := l.Ready(t.Context()); err != nil {
			t.Errorf("with %s again: %v", name, err)
		}
	}
}
