package tilelog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/transparency-dev/tessera/api/layout"
)

const (
	// maxCheckpoint bounds a checkpoint, in bytes. The log's signature has
	// about 150 bytes, a witness's up to 3,500.
	maxCheckpoint = 1 << 20
	// maxTile is the size of a full hash tile.
	maxTile = layout.TileWidth * hashSize
	// maxBundle is the size of the longest entry bundle that tlog-tiles allows.
	maxBundle = layout.EntryBundleWidth * (2 + 1<<16 - 1)

	hashSize = 32

	// One in so many of the process's file descriptors must be free for the
	// driver to be given an entry.
	spareDescriptors = 8
)

// A source is where a log's files come from. A file that is not there is an
// error that wraps fs.ErrNotExist.
type source interface {
	ReadCheckpoint(ctx context.Context) ([]byte, error)
	ReadTile(ctx context.Context, level, index uint64, p uint8) ([]byte, error)
	ReadEntryBundle(ctx context.Context, index uint64, p uint8) ([]byte, error)
}

// A directory is a source of local files. It does what Tessera's FileFetcher
// does, with bounds.
type directory struct {
	root string
	// exact says that a partial file must be there. Else the full one may
	// stand for it: partial files are removed some time after the log has
	// outgrown them.
	exact bool
}

func (d directory) ReadCheckpoint(context.Context) ([]byte, error) {
	return d.read(layout.CheckpointPath, maxCheckpoint)
}

func (d directory) ReadTile(_ context.Context, level, index uint64, p uint8) ([]byte, error) {
	b, err := d.read(layout.TilePath(level, index, p), maxTile)
	if p > 0 && !d.exact && errors.Is(err, fs.ErrNotExist) {
		return d.read(layout.TilePath(level, index, 0), maxTile)
	}
	return b, err
}

func (d directory) ReadEntryBundle(_ context.Context, index uint64, p uint8) ([]byte, error) {
	b, err := d.read(layout.EntriesPath(index, p), maxBundle)
	if p > 0 && !d.exact && errors.Is(err, fs.ErrNotExist) {
		return d.read(layout.EntriesPath(index, 0), maxBundle)
	}
	return b, err
}

func (d directory) read(name string, limit int64) ([]byte, error) {
	return readFile(filepath.Join(d.root, filepath.FromSlash(name)), limit)
}

// writable returns why the driver could not open its files to write. It ends the
// process where it cannot open the one that it locks: on a file system that has
// become read-only, or where connections have taken all descriptors. As it opens
// it a moment later, some have to be left: the one opened here is the lowest.
func (d directory) writable() error {
	f, err := os.OpenFile(filepath.Join(d.root, filepath.FromSlash(treeFile)), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	if most := uint64(limit.Cur); uint64(f.Fd()) >= most-most/spareDescriptors {
		return &fs.PathError{Op: "open", Path: f.Name(), Err: syscall.EMFILE}
	}
	return nil
}

// notAhead gives a checkpoint whose time is still to come, as it is once the
// clock has been set back, the present one. The driver publishes the next one
// only when that is some time ago.
func (d directory) notAhead() error {
	path := filepath.Join(d.root, layout.CheckpointPath)
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if now := time.Now(); st.ModTime().After(now) {
		return os.Chtimes(path, time.Time{}, now)
	}
	return nil
}

// readFile reads a regular file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	// Not opened if it is something else: that waits on a named pipe.
	if st, err := os.Stat(path); err != nil {
		return nil, err
	} else if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s: not a regular file", ErrDamaged, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%w: %s: more than %d bytes", ErrDamaged, path, limit)
	}
	return b, nil
}

// makeDir makes dir and its missing parents for this user alone, and syncs
// each directory that got a new entry.
func makeDir(dir string) error {
	switch st, err := os.Stat(dir); {
	case err == nil && st.IsDir():
		return nil
	case err == nil:
		return fmt.Errorf("%s: not a directory", dir)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(dir)
	if err := makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

// syncDir makes sure that what was made or moved in dir is on the disk.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// writeSynced writes a file beside its place, syncs it, and only then moves it
// there. A rest of an earlier try that was cut short counts for nothing: it goes.
func writeSynced(path, text string) (err error) {
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
