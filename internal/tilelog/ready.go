package tilelog

import (
	"context"
	"io/fs"
	"syscall"
)

// What a file system must have left for the log to be ready. A batch of records
// takes up to 1 MiB in entry bundles and the same in hash tiles and state.
const (
	minBytes = 2 << 20
	minFiles = 32
)

// A space is what is left of a file system.
type space struct {
	bytes   int64
	files   int64
	counted bool // whether files are limited at all
}

// Ready returns why the log cannot be read or written now. It writes nothing.
// On Linux, macOS and FreeBSD a disk that is about to be full is a reason;
// elsewhere only the next write shows it.
func (l *Log) Ready(ctx context.Context) error {
	if err := l.files.writable(); err != nil {
		return err
	}
	left, err := l.space(l.files.root)
	if err == nil && (left.bytes < minBytes || left.counted && left.files < minFiles) {
		err = syscall.ENOSPC
	}
	if err != nil {
		return &fs.PathError{Op: "write to", Path: l.files.root, Err: err}
	}
	_, err = l.files.ReadCheckpoint(ctx)
	return err
}
