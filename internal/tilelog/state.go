package tilelog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
)

// The files in which Tessera's POSIX driver keeps its state. They are no public
// format: they are read only to find out before the driver does what it would
// take for a new log, or build on.
const (
	versionFile = ".state/version"
	treeFile    = ".state/treeState"
	gcFile      = ".state/gcState"

	stateVersion = "1"
	maxState     = 4 << 10 // bytes
)

// treeState is the tree that is integrated, published or not.
type treeState struct {
	Size uint64 `json:"size"`
	Root []byte `json:"root"`
}

// gcState is up to where outgrown partial files have been removed.
type gcState struct {
	FromSize uint64 `json:"fromSize"`
}

// A stored is what the files of a log say, before they are checked.
type stored struct {
	integrated treeState
	checkpoint Checkpoint // no Raw if nothing was ever published
}

// readState reads the state of the log in root. It returns nil for a log that
// has not begun, or whose first start was cut short before it had.
func readState(ctx context.Context, root string, k key) (*stored, error) {
	d := directory{root: root, exact: true}
	var s stored
	raw, err := d.ReadCheckpoint(ctx)
	published := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	tiles, err := exists(filepath.Join(root, "tile"))
	if err != nil {
		return nil, err
	}
	err = readJSON(d, treeFile, &s.integrated)
	if errors.Is(err, fs.ErrNotExist) {
		if published || tiles {
			return nil, damaged(treeFile, "missing")
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := checkState(d, s.integrated); err != nil {
		return nil, err
	}
	if !published {
		// The first checkpoint is published before anything is added.
		if s.integrated.Size > 0 || tiles {
			return nil, damaged(layout.CheckpointPath, "missing")
		}
		return &s, nil
	}
	if s.checkpoint, err = parseOwn(raw, k.verifier); err != nil {
		return nil, err
	}
	if uint64(s.checkpoint.Size) > s.integrated.Size {
		return nil, damaged(treeFile, "%d entries, fewer than the %d of the checkpoint", s.integrated.Size, s.checkpoint.Size)
	}
	return &s, nil
}

// checkState checks the driver's files on their own.
func checkState(d directory, t treeState) error {
	switch {
	case t.Size > math.MaxInt64:
		return damaged(treeFile, "%d entries", t.Size)
	case len(t.Root) != hashSize:
		return damaged(treeFile, "a root hash of %d bytes", len(t.Root))
	case t.Size == 0 && !bytes.Equal(t.Root, rfc6962.DefaultHasher.EmptyRoot()):
		return damaged(treeFile, "its root hash is not that of an empty tree")
	}
	version, err := d.read(versionFile, maxState)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return damaged(versionFile, "missing")
	case err != nil:
		return err
	case string(version) != stateVersion:
		return damaged(versionFile, "version %.20q, want %q", version, stateVersion)
	}
	var gc gcState
	if err := readJSON(d, gcFile, &gc); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if gc.FromSize > t.Size {
		return damaged(gcFile, "%d entries, more than the %d of %s", gc.FromSize, t.Size, treeFile)
	}
	return nil
}

// readJSON reads a file of the driver into v and accepts just what the driver
// writes.
func readJSON(d directory, name string, v any) error {
	b, err := d.read(name, maxState)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return damaged(name, "%v", err)
	}
	if again, err := json.Marshal(v); err != nil || !bytes.Equal(again, b) {
		return damaged(name, "not as it was written: %.200q", b)
	}
	return nil
}

func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// trees returns what the state claims, in ascending order.
func (s *stored) trees() []tree {
	last := tree{s.integrated.Size, s.integrated.Root, treeFile}
	if s.checkpoint.Raw == nil {
		return []tree{last}
	}
	return []tree{{uint64(s.checkpoint.Size), s.checkpoint.Root[:], layout.CheckpointPath}, last}
}
