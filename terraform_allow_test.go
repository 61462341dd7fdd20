package tlogistry

import (
	"slices"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/zclconf/go-cty/cty"
	hclfunction "github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

// What Terraform accepts for ALLOW the function has to accept as well: else an
// apply replaces an instance that works by one that answers nothing.
func TestTerraformAllow(t *testing.T) {
	condition := validationOf(t, "allow")
	for _, pattern := range []string{
		"docker.io/library/*", "docker.io/alpine", "ghcr.io/acme/**", "ghcr.io/**", "ghcr.io/*", "ghcr.io/acme/app-*_x",
		"localhost/app", "localhost:5000/app", "registry:5000/a/b/c", "my-registry.example:443/a__b/c--d", "docker.io/a.b",
		"", "alpine", "library/*", "alpine/app", "GHCR.io/acme/**", "ghcr.io/Acme/app", "ghcr.io/", "ghcr.io//app", "/app",
		"docker.io/**/app", "docker.io/a**", "docker.io/***", "docker.io/a..b", "docker.io/.a", "docker.io/a-", "docker.io/a?",
		"docker.io/a:v1", "docker.io/a,ghcr.io/b", "ghcr.io:0/app", "-ghcr.io/app", "ghcr.io/a b", "ghcr.io/app\n",
	} {
		_, err := ociref.ParsePattern(pattern)
		v, diags := condition.Value(&hcl.EvalContext{
			Functions: map[string]hclfunction.Function{
				"alltrue": allTrue, "can": tryfunc.CanFunc, "join": stdlib.JoinFunc, "regex": stdlib.RegexFunc,
			},
			Variables: map[string]cty.Value{
				"var": cty.ObjectVal(map[string]cty.Value{"allow": cty.ListVal([]cty.Value{cty.StringVal(pattern)})}),
			},
		})
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		if v.True() != (err == nil) {
			t.Errorf("%q: Terraform accepts it: %v, the function: %v", pattern, v.True(), err)
		}
	}
}

// allTrue stands for Terraform's own function of that name.
var allTrue = hclfunction.New(&hclfunction.Spec{
	Params: []hclfunction.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
	Type:   hclfunction.StaticReturnType(cty.Bool),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		return cty.BoolVal(!slices.ContainsFunc(args[0].AsValueSlice(), cty.Value.False)), nil
	},
})

// validationOf returns the condition that a variable has to meet.
func validationOf(t *testing.T, variable string) hcl.Expression {
	t.Helper()
	for _, inner := range readModule(t, terraformDir).block(t, "variable", variable).Blocks {
		if inner.Type == "validation" {
			return inner.Body.Attributes["condition"].Expr
		}
	}
	t.Fatalf("variable %s has no validation", variable)
	return nil
}
