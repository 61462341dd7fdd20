package tlogistry

import (
	"bytes"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// These tests check of terraform/ what can be checked without a provider. The
// rest is for terraform itself: make terraform-test.

const terraformDir = "terraform"

// A terraformModule is what the .tf files of a directory declare.
type terraformModule struct {
	dir      string
	blocks   []*hclsyntax.Block
	declared map[string]bool // addresses, such as var.name or data.archive_file.source
}

func parseHCL(t *testing.T, path string) *hclsyntax.Body {
	t.Helper()
	f, diags := hclparse.NewParser().ParseHCLFile(path)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return f.Body.(*hclsyntax.Body)
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	list, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		t.Fatalf("no file is %s", pattern)
	}
	return list
}

func readModule(t *testing.T, dir string) terraformModule {
	t.Helper()
	m := terraformModule{dir: dir, declared: map[string]bool{}}
	for _, path := range glob(t, dir+"/*.tf") {
		m.blocks = append(m.blocks, parseHCL(t, path).Blocks...)
	}
	for _, b := range m.blocks {
		switch b.Type {
		case "variable":
			m.declared["var."+b.Labels[0]] = true
		case "locals":
			for name := range b.Body.Attributes {
				m.declared["local."+name] = true
			}
		case "resource":
			m.declared[strings.Join(b.Labels, ".")] = true
		case "data":
			m.declared["data."+strings.Join(b.Labels, ".")] = true
		case "module", "output":
			m.declared[b.Type+"."+b.Labels[0]] = true
		}
	}
	return m
}

// block returns the body of the block of this type with these labels.
func (m terraformModule) block(t *testing.T, kind string, labels ...string) *hclsyntax.Body {
	t.Helper()
	i := slices.IndexFunc(m.blocks, func(b *hclsyntax.Block) bool { return b.Type == kind && slices.Equal(b.Labels, labels) })
	if i < 0 {
		t.Fatalf("%s has no %s %q", m.dir, kind, labels)
	}
	return m.blocks[i].Body
}

// attributes returns all attributes in body, however deep.
func attributes(body *hclsyntax.Body) []*hclsyntax.Attribute {
	list := slices.Collect(maps.Values(body.Attributes))
	for _, b := range body.Blocks {
		list = append(list, attributes(b.Body)...)
	}
	return list
}

// references returns the addresses that an expression refers to. What Terraform
// itself provides, such as path and each, is not among them.
func references(expr hcl.Expression) []string {
	var list []string
	for _, traversal := range expr.Variables() {
		parts := []string{traversal.RootName()}
		size := 2
		switch parts[0] {
		case "path", "each", "count", "self", "terraform":
			continue
		case "data":
			size = 3
		}
		for _, step := range traversal[1:] {
			if attr, ok := step.(hcl.TraverseAttr); ok && len(parts) < size {
				parts = append(parts, attr.Name)
			}
		}
		list = append(list, strings.Join(parts, "."))
	}
	return list
}

// checkReferences wants every reference in body to be to something declared.
func (m terraformModule) checkReferences(t *testing.T, body *hclsyntax.Body, more map[string]bool) {
	t.Helper()
	for _, attr := range attributes(body) {
		for _, address := range references(attr.Expr) {
			if !m.declared[address] && !more[address] {
				t.Errorf("%s: %s is declared nowhere", attr.SrcRange, address)
			}
		}
	}
}

// checkFiles wants every path in body that is fixed by the module's to exist.
func (m terraformModule) checkFiles(t *testing.T, body *hclsyntax.Body) (checked int) {
	t.Helper()
	fixed := &hcl.EvalContext{Variables: map[string]cty.Value{
		"path": cty.ObjectVal(map[string]cty.Value{"module": cty.StringVal(m.dir)}),
	}}
	for _, attr := range attributes(body) {
		if len(attr.Expr.Variables()) == 0 {
			continue
		}
		v, diags := attr.Expr.Value(fixed)
		if diags.HasErrors() || v.Type() != cty.String {
			continue
		}
		checked++
		if _, err := os.Stat(v.AsString()); err != nil {
			t.Errorf("%s: %v", attr.SrcRange, err)
		}
	}
	return checked
}

// text returns the attribute's value if it is a literal string, else nothing.
func text(body *hclsyntax.Body, name string) string {
	if attr := body.Attributes[name]; attr != nil {
		if v, diags := attr.Expr.Value(nil); !diags.HasErrors() && v.Type() == cty.String {
			return v.AsString()
		}
	}
	return ""
}

// Each file is as terraform fmt would write it.
func TestTerraformFormat(t *testing.T) {
	var files []string
	for _, pattern := range []string{"*.tf", "examples/*/*.tf", "tests/*.tftest.hcl", "tests/mocks/*/*.tfmock.hcl"} {
		files = append(files, glob(t, terraformDir+"/"+pattern)...)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		parseHCL(t, path)
		if !bytes.Equal(hclwrite.Format(b), b) {
			t.Errorf("%s: not as terraform fmt writes it", path)
		}
	}
}

// Whatever is referred to exists, and whatever can be set has a use.
func TestTerraformModules(t *testing.T) {
	files := 0
	for _, dir := range []string{terraformDir, terraformDir + "/examples/teams"} {
		m := readModule(t, dir)
		used := map[string]bool{}
		for _, b := range m.blocks {
			if b.Type == "module" {
				source := text(b.Body, "source")
				if _, err := os.Stat(path.Join(dir, source, "main.tf")); err != nil {
					t.Errorf("%s: %v", b.DefRange(), err)
				}
			}
			if b.Type == "variable" || b.Type == "output" {
				if text(b.Body, "description") == "" {
					t.Errorf("%s: %s has no description", b.DefRange(), b.Labels[0])
				}
			}
			if b.Type == "variable" {
				if b.Body.Attributes["type"] == nil {
					t.Errorf("%s: %s has no type", b.DefRange(), b.Labels[0])
				}
				delete(b.Body.Attributes, "type") // its words are no references
			} else {
				for _, attr := range attributes(b.Body) {
					for _, address := range references(attr.Expr) {
						used[address] = true
					}
				}
			}
			m.checkReferences(t, b.Body, nil)
			files += m.checkFiles(t, b.Body)
		}
		for address := range m.declared {
			if (strings.HasPrefix(address, "var.") || strings.HasPrefix(address, "local.")) && !used[address] {
				t.Errorf("%s: %s has no use", dir, address)
			}
		}
	}
	if files == 0 {
		t.Error("no file was looked for")
	}
}

// Variables and outputs are in the documentation.
func TestTerraformDocumented(t *testing.T) {
	docs, err := os.ReadFile("docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range readModule(t, terraformDir).blocks {
		if (b.Type == "variable" || b.Type == "output") && !bytes.Contains(docs, []byte("`"+b.Labels[0]+"`")) {
			t.Errorf("docs/operations.md does not have the %s %s", b.Type, b.Labels[0])
		}
	}
}

// The tests set what can be set and look at what exists.
func TestTerraformTests(t *testing.T) {
	root := readModule(t, terraformDir)
	for _, file := range glob(t, terraformDir+"/tests/*.tftest.hcl") {
		earlier := map[string]bool{"plan": true, "apply": true} // and the words of command
		for _, b := range parseHCL(t, file).Blocks {
			m := root
			for _, inner := range b.Body.Blocks {
				if inner.Type == "module" {
					m = readModule(t, path.Join(terraformDir, text(inner.Body, "source")))
				}
			}
			m.checkReferences(t, b.Body, earlier)
			for _, inner := range append(b.Body.Blocks, b) {
				if inner.Type != "variables" {
					continue
				}
				for name, attr := range inner.Body.Attributes {
					if !m.declared["var."+name] {
						t.Errorf("%s: there is no variable %s", attr.SrcRange, name)
					}
				}
			}
			switch b.Type {
			case "run":
				earlier["run."+b.Labels[0]] = true
			case "mock_provider":
				if source := text(b.Body, "source"); source != "" {
					checkMocks(t, path.Join(terraformDir, source), root)
				}
			}
		}
	}
}

// checkMocks wants the mocks in dir to be of what the module declares.
func checkMocks(t *testing.T, dir string, m terraformModule) {
	t.Helper()
	for _, file := range glob(t, dir+"/*.tfmock.hcl") {
		for _, b := range parseHCL(t, file).Blocks {
			prefix := map[string]string{"mock_resource": "", "mock_data": "data."}[b.Type] + b.Labels[0] + "."
			if !slices.ContainsFunc(slices.Collect(maps.Keys(m.declared)), func(a string) bool { return strings.HasPrefix(a, prefix) }) {
				t.Errorf("%s: nothing is %s", b.DefRange(), b.Labels[0])
			}
		}
	}
}
