package e2e

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// documentedRE finds a file of docs/clusters.md: a line with its path, an empty
// line, and a block, all indented alike.
var documentedRE = regexp.MustCompile("(?m)^( *)`(/etc/[^`]+)`:\n\n *```[a-z]+\n((?:.*\n)*?) *```$")

// documented returns the files of docs/clusters.md by path, as they are there.
func documented(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../docs/clusters.md")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, m := range documentedRE.FindAllStringSubmatch(string(text), -1) {
		indent, path, block := m[1], m[2], m[3]
		if _, ok := files[path]; ok {
			t.Errorf("docs/clusters.md has %s twice", path)
		}
		var content strings.Builder
		for line := range strings.Lines(block) {
			content.WriteString(strings.TrimPrefix(line, indent))
		}
		files[path] = content.String()
	}
	if n := strings.Count(string(text), "`:\n\n"); n != len(files) {
		t.Errorf("docs/clusters.md names %d files and has %d", n, len(files))
	}
	return files
}

// TestClustersDocument finds a use for each file of docs/clusters.md: it is
// what the tests give to clients, or the document says that they do not.
func TestClustersDocument(t *testing.T) {
	tested := []string{containerdMain, dockerHub, github, byPath, remapped, remappedMirror, registryMirrors}
	byHand := map[string]string{
		"/etc/rancher/k3s/registries.yaml": "Not tried.",
		"/etc/rancher/k3s/config.yaml":     "Not tried.",
		"/etc/buildkit/buildkitd.toml":     "Tried by hand,",
	}
	files := documented(t)
	for _, path := range append(tested, slices.Collect(maps.Keys(byHand))...) {
		if files[path] == "" {
			t.Errorf("docs/clusters.md has no %s", path)
		}
		delete(files, path)
	}
	for path := range files {
		t.Errorf("docs/clusters.md has %s, which nothing tests", path)
	}
	text, err := os.ReadFile("../docs/clusters.md")
	if err != nil {
		t.Fatal(err)
	}
	for section := range strings.SplitSeq(string(text), "\n## ") {
		for path, note := range byHand {
			if strings.Contains(section, "`"+path+"`:") && !strings.Contains(section, note) {
				t.Errorf("docs/clusters.md has %s and does not say: %s", path, note)
			}
		}
	}
}
