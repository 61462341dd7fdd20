package tlogistry

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing/format/gitignore"
)

// goCommand runs the go command in dir and returns what it prints.
func goCommand(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return string(out)
}

// ignoreLines returns the patterns of .gcloudignore.
func ignoreLines(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(".gcloudignore")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	return lines
}

// uploaded returns the files that .gcloudignore leaves, slash-separated and in
// order. Its rules are those of .gitignore, but that the root itself, ".", may
// match: gcloud functions deploy then leaves out the files in it.
func uploaded(t *testing.T) []string {
	t.Helper()
	var patterns []gitignore.Pattern
	for _, line := range ignoreLines(t) {
		patterns = append(patterns, gitignore.ParsePattern(line, nil))
	}
	ignored := gitignore.NewMatcher(patterns)
	var files []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		path = filepath.ToSlash(path)
		switch {
		case !ignored.Match(strings.Split(path, "/"), d.IsDir()):
			if !d.IsDir() {
				files = append(files, path)
			}
		case d.IsDir():
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files
}

// needed returns the files that the function is built from, on any platform.
func needed(t *testing.T) []string {
	t.Helper()
	const format = `{{if .Module}}{{if .Module.Main}}{{$d := .Dir}}` +
		`{{range .GoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}` +
		`{{range .IgnoredGoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}` +
		`{{range .EmbedFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{end}}{{end}}`
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	files := []string{"go.mod", "go.sum"}
	for line := range strings.Lines(goCommand(t, ".", "list", "-mod=readonly", "-deps", "-f", format, ".")) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasSuffix(line, "_test.go") {
			continue
		}
		path, err := filepath.Rel(root, line)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, filepath.ToSlash(path))
	}
	slices.Sort(files)
	return files
}

// What gcloud uploads is what the function is built from, no more and no less.
func TestUpload(t *testing.T) {
	// docs/operations.md lets a private Sigstore's trusted root be in the source.
	const trustedRoot = "trusted_root.json"
	have, want := uploaded(t), needed(t)
	for _, path := range have {
		if path != trustedRoot && !slices.Contains(want, path) {
			t.Errorf("%s would be uploaded, and the function is not built from it: see .gcloudignore", path)
		}
	}
	for _, path := range want {
		if !slices.Contains(have, path) {
			t.Errorf("%s would not be uploaded, and the function is built from it", path)
		}
	}
}
