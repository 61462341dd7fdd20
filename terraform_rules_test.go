package tlogistry

import (
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	hclfunction "github.com/zclconf/go-cty/cty/function"
)

// The account that signs the records has no role but the one that reads the
// secret with credentials: every other grant is to the account that builds, or
// says who may call the service.
func TestTerraformGrants(t *testing.T) {
	grants := 0
	for _, b := range readModule(t, terraformDir).blocks {
		if b.Type != "resource" || !strings.Contains(b.Labels[0], "_iam_") {
			continue
		}
		grants++
		if strings.Join(b.Labels, ".") == "google_cloud_run_v2_service_iam_member.invoker" {
			if role := text(b.Body, "role"); role != "roles/run.invoker" {
				t.Errorf("%s: role %s", b.DefRange(), role)
			}
			continue
		}
		if strings.Join(b.Labels, ".") == "google_secret_manager_secret_iam_member.docker_config" {
			checkSecretGrant(t, b)
			continue
		}
		member := b.Body.Attributes["member"]
		if member == nil || !slices.Equal(references(member.Expr), []string{"google_service_account.build"}) {
			t.Errorf("%s: a grant to another account than the build's", b.DefRange())
		}
	}
	if grants != 6 {
		t.Errorf("%d grants; tests/defaults.tftest.hcl and tests/credentials.tftest.hcl know of 6", grants)
	}
}

// checkSecretGrant wants the grant to be on one secret, to the account that
// signs, and only where a secret is named.
func checkSecretGrant(t *testing.T, b *hclsyntax.Block) {
	t.Helper()
	if role := text(b.Body, "role"); role != "roles/secretmanager.secretAccessor" {
		t.Errorf("%s: role %s", b.DefRange(), role)
	}
	for name, want := range map[string]string{
		"count":     "var.docker_config_secret",
		"member":    "google_service_account.registry",
		"secret_id": "local.docker_config_secret",
	} {
		attr := b.Body.Attributes[name]
		if attr == nil || !slices.Equal(references(attr.Expr), []string{want}) {
			t.Errorf("%s: %s is not by %s alone", b.DefRange(), name, want)
		}
	}
}

// Credentials without a list are refused for everybody, by a condition that the
// function itself has, as every plan looks at that.
func TestTerraformCredentials(t *testing.T) {
	for _, attr := range attributes(readModule(t, terraformDir).block(t, "resource", "google_cloudfunctions2_function", "registry")) {
		if attr.Name == "condition" && slices.Contains(references(attr.Expr), "local.credentials") {
			checkCredentialsCondition(t, attr.Expr)
			return
		}
	}
	t.Error("the function has no condition on credentials")
}

func checkCredentialsCondition(t *testing.T, condition hcl.Expression) {
	t.Helper()
	length := hclfunction.New(&hclfunction.Spec{
		Params: []hclfunction.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
		Type:   hclfunction.StaticReturnType(cty.Number),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return args[0].Length(), nil
		},
	})
	for _, credentials := range []bool{false, true} {
		for _, everybody := range []bool{false, true} {
			for _, allow := range []cty.Value{cty.ListValEmpty(cty.String), cty.ListVal([]cty.Value{cty.StringVal("ghcr.io/acme/**")})} {
				v, diags := condition.Value(&hcl.EvalContext{
					Functions: map[string]hclfunction.Function{"length": length},
					Variables: map[string]cty.Value{
						"local": cty.ObjectVal(map[string]cty.Value{"credentials": cty.BoolVal(credentials), "everybody": cty.BoolVal(everybody)}),
						"var":   cty.ObjectVal(map[string]cty.Value{"allow": allow}),
					},
				})
				if diags.HasErrors() {
					t.Fatal(diags)
				}
				if want := !credentials || !everybody || allow.LengthInt() > 0; v.True() != want {
					t.Errorf("credentials %v, everybody %v, %d patterns: allowed %v", credentials, everybody, allow.LengthInt(), v.True())
				}
			}
		}
	}
}

// The archive leaves out what gcloud leaves out. Without a slash a pattern is
// for any depth, with a leading one it is for the root alone; the archive
// provider skips a directory whose name matches, with all that is in it.
func TestTerraformArchive(t *testing.T) {
	var want []string
	for _, line := range ignoreLines(t) {
		pattern := strings.TrimSuffix(line, "/")
		if rest, ok := strings.CutPrefix(pattern, "/"); ok {
			want = append(want, rest)
		} else {
			want = append(want, "**/"+pattern)
		}
	}
	v, diags := readModule(t, terraformDir).block(t, "data", "archive_file", "source").Attributes["excludes"].Expr.Value(nil)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	var have []string
	for _, pattern := range v.AsValueSlice() {
		have = append(have, pattern.AsString())
	}
	if !slices.Equal(have, want) {
		t.Errorf("excludes %q, of .gcloudignore follow %q", have, want)
	}
}
