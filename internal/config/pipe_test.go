//go:build unix

package config_test

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/tlogistry/tlogistry/internal/config"
)

// A named pipe must be refused and not waited on.
func TestNamedPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load(env("TRUSTED_ROOT", path))
	if want := fmt.Sprintf("TRUSTED_ROOT=%q: want the path of a regular file", path); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
