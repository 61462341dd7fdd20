package tilelog_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// Without a place for the driver's state nothing is added, the process goes on,
// and adds again once the place is back.
func TestAddWithoutState(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, tilelog.Config{Dir: dir})
	defer mustClose(t, l)
	known := fill(t, l, 0, 1)[0]
	state := filepath.Join(dir, "log", ".state")
	if err := os.Rename(state, state+"-away"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if s, err := add(t.Context(), l, numbered(1), digest("x")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("added: %+v, %v", s, err)
		}
		checkLookup(t, l, numbered(0), known)
		checkLookup(t, l, numbered(1))
	}
	if err := os.Rename(state+"-away", state); err != nil {
		t.Fatal(err)
	}
	if s, err := add(t.Context(), l, numbered(1), digest("y")); err != nil || s.Index != 1 || s.Digest != digest("y") {
		t.Errorf("with its state: %+v, %v", s, err)
	}
}
