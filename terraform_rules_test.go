package tlogistry

import (
	"slices"
	"strings"
	"testing"
)

// The account that signs the records has no role: every grant is to the
// account that builds, or says who may call the service.
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
		member := b.Body.Attributes["member"]
		if member == nil || !slices.Equal(references(member.Expr), []string{"google_service_account.build"}) {
			t.Errorf("%s: a grant to another account than the build's", b.DefRange())
		}
	}
	if grants != 5 {
		t.Errorf("%d grants; tests/defaults.tftest.hcl knows of 5", grants)
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
	for _, b := range readModule(t, terraformDir).blocks {
		if !slices.Equal(b.Labels, []string{"archive_file", "source"}) {
			continue
		}
		v, diags := b.Body.Attributes["excludes"].Expr.Value(nil)
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
		return
	}
	t.Error("there is no archive_file source")
}
