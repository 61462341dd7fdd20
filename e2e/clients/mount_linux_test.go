package clients

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestRemoveAll(t *testing.T) {
	if os.Geteuid() != 0 && os.Getenv("CI") != "true" {
		t.Skip("mounting needs root: run the tests as root")
	}
	dir := filepath.Join(t.TempDir(), "dir")
	for _, path := range []string{dir, filepath.Join(dir, "inner")} {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("none", path, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := removeAll(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there", dir)
	}
}
