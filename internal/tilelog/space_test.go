package tilelog_test

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// A log is not ready on a disk that is about to be full, of bytes or of files.
func TestReadyFull(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, tilelog.Config{Dir: dir})
	defer mustClose(t, l)
	broken := errors.New("broken")
	for _, test := range []struct {
		name         string
		bytes, files int64
		counted      bool
		err, want    error
	}{
		{"room", 2 << 20, 32, true, nil, nil},
		{"few bytes", 2<<20 - 1, 1000, true, nil, syscall.ENOSPC},
		{"few files", 1 << 40, 31, true, nil, syscall.ENOSPC},
		{"files that are not counted", 1 << 40, 0, false, nil, nil},
		{"no answer", 1 << 40, 1000, true, broken, broken},
	} {
		t.Run(test.name, func(t *testing.T) {
			l.SetSpace(func(path string) (int64, int64, bool, error) {
				if path != dir+"/log" {
					t.Errorf("asked of %s", path)
				}
				return test.bytes, test.files, test.counted, test.err
			})
			err := l.Ready(t.Context())
			var says *fs.PathError // which has a reason of its own, see package ready
			if !errors.Is(err, test.want) || test.want != nil && !errors.As(err, &says) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

// The disk of the tests has room, as far as can be known.
func TestFreeSpace(t *testing.T) {
	if bytes, _, err := tilelog.FreeSpace(t.TempDir()); err != nil || bytes < 2<<20 {
		t.Errorf("%d bytes, %v", bytes, err)
	}
	if _, _, err := tilelog.FreeSpace(t.TempDir() + "/no"); err == nil {
		t.Error("there is room in no directory")
	}
}

// The driver ends the process where it cannot open a file. So it is given
// nothing while few descriptors are left, and goes on when there are more.
func TestFewDescriptors(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, tilelog.Config{Dir: dir})
	defer mustClose(t, l)
	known := fill(t, l, 0, 1)[0]
	const most = 160
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	limited := old
	limited.Cur = most
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limited); err != nil {
		t.Fatal(err)
	}
	var taken []*os.File
	free := func() {
		for _, f := range taken {
			f.Close()
		}
		taken = nil
	}
	defer func() {
		free()
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
			t.Fatal(err)
		}
	}()
	for _, left := range []uint64{most / 8, 2, 0} {
		for {
			f, err := os.Open(os.DevNull)
			if err != nil {
				break
			}
			taken = append(taken, f)
			if uint64(f.Fd()) >= most-left-1 {
				break
			}
		}
		if s, err := add(t.Context(), l, numbered(1), digest("x")); !errors.Is(err, syscall.EMFILE) {
			t.Fatalf("with %d left it was added: %+v, %v", left, s, err)
		}
		if err := l.Ready(t.Context()); !errors.Is(err, syscall.EMFILE) {
			t.Errorf("with %d left it is ready: %v", left, err)
		}
		checkLookup(t, l, numbered(0), known)
	}
	free()
	if s, err := add(t.Context(), l, numbered(1), digest("y")); err != nil || s.Index != 1 || s.Digest != digest("y") {
		t.Errorf("with descriptors again: %+v, %v", s, err)
	}
}
