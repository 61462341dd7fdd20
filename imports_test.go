package tlogistry

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/tlogistry/tlogistry"

// arrows says which packages of internal each package of internal may import.
// A package that is not here may not exist.
var arrows = map[string][]string{
	"cloudlog":  {},
	"config":    {"ociref", "record"},
	"embedded":  {"config", "limit", "page", "ready", "record", "service", "tilelog"},
	"export":    {"telemetry"},
	"flight":    {},
	"front":     {"flight", "limit", "ociref", "ready", "record", "tally", "telemetry", "upstream"},
	"keyless":   {"flight", "tally"},
	"limit":     {},
	"logtest":   {"record"},
	"ociref":    {},
	"page":      {"flight", "limit", "ociref", "record", "upstream"},
	"pullfile":  {"ociref"},
	"ready":     {"flight"},
	"record":    {},
	"rekorlog":  {"flight", "keyless", "record", "tally"},
	"service":   {"config", "front", "keyless", "limit", "page", "ready", "record", "rekorlog", "telemetry", "upstream"},
	"tally":     {},
	"telemetry": {"tally"},
	"tilelog":   {"flight", "record"},
	"upstream":  {"flight", "ociref", "tally"},
}

// A source is a Go file of the module that is no test.
type source struct {
	path string // slash-separated, from the module's root
	file *ast.File
}

// sources parses the module's files, whatever they are built for. A nested
// module is not part of it, nor is testdata.
func sources(t *testing.T) []source {
	t.Helper()
	var list []source
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name == "." {
				return nil
			}
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		list = append(list, source{filepath.ToSlash(name), file})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 20 {
		t.Fatalf("only %d files found", len(list))
	}
	return list
}

// imported returns what a file imports of the module, from its root.
func (s source) imported(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, spec := range s.file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if p == module {
			list = append(list, ".")
		}
		if rest, ok := strings.CutPrefix(p, module+"/"); ok {
			list = append(list, rest)
		}
	}
	return list
}

// Nothing is imported inside the module but along the arrows. The root and the
// commands may import everything.
func TestImports(t *testing.T) {
	for _, s := range sources(t) {
		dir, ok := strings.CutPrefix(path.Dir(s.path), "internal/")
		if !ok {
			if dir := path.Dir(s.path); dir != "." && !strings.HasPrefix(dir, "cmd/") {
				t.Errorf("%s: Go files belong into the root, cmd or internal", s.path)
			}
			continue
		}
		allowed, ok := arrows[dir]
		if !ok {
			t.Errorf("%s: package %s has no arrows", s.path, dir)
		}
		for _, p := range s.imported(t) {
			name, internal := strings.CutPrefix(p, "internal/")
			if !internal || !slices.Contains(allowed, name) {
				t.Errorf("%s imports %s; it may import %v", s.path, p, allowed)
			}
		}
	}
}

// Tests alone use what is for tests.
func TestNothingImportsLogtest(t *testing.T) {
	for _, s := range sources(t) {
		if slices.Contains(s.imported(t), "internal/logtest") {
			t.Errorf("%s imports logtest", s.path)
		}
		for _, spec := range s.file.Imports {
			if p := spec.Path.Value; p == `"testing"` || p == `"net/http/httptest"` {
				t.Errorf("%s imports %s", s.path, p)
			}
		}
	}
}

// The graph of the arrows has no circle, however far it grows.
func TestArrowsEnd(t *testing.T) {
	done := map[string]bool{}
	for range arrows {
		for name, to := range maps.All(arrows) {
			if !slices.ContainsFunc(to, func(n string) bool { return !done[n] }) {
				done[name] = true
			}
		}
	}
	if len(done) != len(arrows) {
		t.Errorf("only %v can be built", slices.Sorted(maps.Keys(done)))
	}
}

// What runs at import runs in every process and test: function.go registers
// the function, and nothing else does anything.
func TestOneInit(t *testing.T) {
	var inits []string
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				inits = append(inits, s.path)
			}
		}
	}
	if !slices.Equal(inits, []string{"function.go"}) {
		t.Errorf("func init in %q, want one in function.go", inits)
	}
}

// Only a command may end the process.
func TestNobodyElseExits(t *testing.T) {
	ends := map[string][]string{
		"log":     {"Fatal", "Fatalf", "Fatalln"},
		"os":      {"Exit"},
		"syscall": {"Exit", "Kill"},
	}
	for _, s := range sources(t) {
		if s.file.Name.Name == "main" {
			continue
		}
		names := map[string]string{} // of packages in this file, to their paths
		for _, spec := range s.file.Imports {
			p := strings.Trim(spec.Path.Value, `"`)
			if spec.Name != nil {
				names[spec.Name.Name] = p
				if spec.Name.Name == "." {
					t.Errorf("%s imports %s under no name", s.path, p)
				}
				continue
			}
			names[path.Base(p)] = p
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(ends[names[x.Name]], sel.Sel.Name) {
				t.Errorf("%s uses %s.%s", s.path, x.Name, sel.Sel.Name)
			}
			return true
		})
	}
}
