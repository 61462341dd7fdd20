package tlogistry

import (
	"bufio"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

// docs/dependencies.md has the modules that each go.mod names itself, no more
// and no fewer, and says why.
func TestDependencies(t *testing.T) {
	listed := map[string][]string{}
	f, err := os.Open("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	row := regexp.MustCompile(`^\| ([a-z][^ |]*\.[^ |]*/[^ |]+) \| [^ |].* \|$`)
	file := "go.mod"
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "## The end-to-end") {
			file = "e2e/go.mod"
		}
		if m := row.FindStringSubmatch(lines.Text()); m != nil {
			listed[file] = append(listed[file], m[1])
		}
	}
	for _, file := range []string{"go.mod", "e2e/go.mod"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		mod, err := modfile.Parse(file, b, nil)
		if err != nil {
			t.Fatal(err)
		}
		var named []string
		for _, r := range mod.Require {
			if !r.Indirect && !strings.HasPrefix(r.Mod.Path, module) {
				named = append(named, r.Mod.Path)
			}
		}
		for _, tool := range mod.Tool { // a tool's module counts, though go.mod calls it indirect
			for _, r := range mod.Require {
				if tool.Path == r.Mod.Path || strings.HasPrefix(tool.Path, r.Mod.Path+"/") {
					named = append(named, r.Mod.Path)
				}
			}
		}
		slices.Sort(named)
		named = slices.Compact(named)
		slices.Sort(listed[file])
		for _, p := range named {
			if !slices.Contains(listed[file], p) {
				t.Errorf("docs/dependencies.md does not say why %s names %s", file, p)
			}
		}
		for _, p := range listed[file] {
			if !slices.Contains(named, p) {
				t.Errorf("docs/dependencies.md lists %s, which %s does not name", p, file)
			}
		}
	}
}
