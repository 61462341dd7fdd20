// Command hello is the executable in the test images.
// It prints the file "variant" that lies beside it and what it was built for,
// so that a run shows which image arrived, and that it arrived whole.
package main

import (
	"os"
	"path/filepath"
	"runtime"
)

func main() {
	// Not os.Executable: that needs /proc, which a bare chroot lacks.
	variant, err := os.ReadFile(filepath.Join(filepath.Dir(os.Args[0]), "variant"))
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	os.Stdout.WriteString("hello from " + string(variant) + " on " + runtime.GOOS + "/" + runtime.GOARCH + "\n")
}
