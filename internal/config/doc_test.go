package config_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/config"
)

// reads returns the names of all variables that Load asks for, sorted, and
// loads the configuration of each run that it takes to see them all.
func reads(t *testing.T) (configs []config.Config, names []string) {
	t.Helper()
	asked := map[string]bool{}
	for _, vars := range []map[string]string{
		{}, // as good as every variable has a default
		{"TUF_URL": "https://tuf.example", "TUF_ROOT": "config.go"},
	} {
		c, _ := config.Load(func(name string) string {
			asked[name] = true
			return vars[name]
		})
		configs = append(configs, c)
	}
	return configs, slices.Sorted(maps.Keys(asked))
}

// docs returns the doc comments of the fields of Config, by field.
func docs(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "Config" {
			return true
		}
		for _, field := range spec.Type.(*ast.StructType).Fields.List {
			for _, name := range field.Names {
				found[name.Name] = field.Doc.Text()
			}
		}
		return false
	})
	if len(found) == 0 {
		t.Fatal("config.go has no type Config")
	}
	return found
}

// Every field tells its variables first, and Load reads them; every variable
// that Load reads is documented at a field.
func TestVariablesAreDocumented(t *testing.T) {
	_, read := reads(t)
	heading := regexp.MustCompile(`^([A-Z][A-Z_]*[A-Z](?:, [A-Z][A-Z_]*[A-Z])*): `)
	variable := regexp.MustCompile(`\b[A-Z][A-Z_]*[A-Z]\b`)
	documented := map[string]bool{}
	headed := map[string]bool{}
	for field, doc := range docs(t) {
		m := heading.FindStringSubmatch(doc)
		if m == nil {
			t.Errorf("the comment of %s does not begin with a variable: %q", field, doc)
			continue
		}
		for name := range strings.SplitSeq(m[1], ", ") {
			headed[name] = true
			if !slices.Contains(read, name) {
				t.Errorf("%s says that it is %s, which Load does not read", field, name)
			}
		}
		for _, name := range variable.FindAllString(doc, -1) {
			documented[name] = true
			if strings.Contains(name, "_") && !slices.Contains(read, name) {
				t.Errorf("the comment of %s mentions %s, which Load does not read", field, name)
			}
		}
	}
	for _, name := range read {
		if !documented[name] {
			t.Errorf("Load reads %s, which no field of Config documents", name)
		}
	}
	// These have no field of their own: they decide others' defaults.
	want := slices.DeleteFunc(slices.Clone(read), func(name string) bool {
		return slices.Contains([]string{"GCE_METADATA_HOST", "HOME", "LOCAL_ONLY", "XDG_DATA_HOME"}, name)
	})
	if got := slices.Sorted(maps.Keys(headed)); !slices.Equal(got, want) {
		t.Errorf("variables with a field: %v\nread by Load: %v", got, want)
	}
}

// The defaults that the comments name are those that Load gives: each is set
// explicitly, and nothing changes.
func TestDefaultsAreDocumented(t *testing.T) {
	configs, _ := reads(t)
	for field, want := range map[string]string{
		"Port":            "Default " + configs[0].Port + ".",
		"Host":            "Default " + configs[0].Host + ";",
		"RekorURL":        "Default " + configs[0].RekorURL.String() + ".",
		"FulcioURL":       "Default " + configs[0].FulcioURL.String() + ".",
		"RekorTimeout":    "Default " + strings.TrimSuffix(configs[0].RekorTimeout.String(), "0s") + ".",
		"FulcioTimeout":   "Default " + strings.TrimSuffix(configs[0].FulcioTimeout.String(), "0s") + ".",
		"RekorSettle":     "Default " + configs[0].RekorSettle.String() + ".",
		"Audience":        "Default " + configs[0].Audience + ".",
		"IdentityIssuer":  "Default " + configs[0].IdentityIssuer + ".",
		"UpstreamTimeout": "Default " + configs[0].UpstreamTimeout.String() + ".",
	} {
		if doc := docs(t)[field]; !strings.Contains(doc, want) {
			t.Errorf("the comment of %s does not say %q: %s", field, want, doc)
		}
	}
}
