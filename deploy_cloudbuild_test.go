package tlogistry

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"go.yaml.in/yaml/v3"
)

// A cloudBuild is cloudbuild.yaml. Anything else in it is an error.
type cloudBuild struct {
	Substitutions map[string]string
	Steps         []struct {
		ID, Name, Script string
		Env              []string
	}
	Timeout        string
	ServiceAccount string `yaml:"serviceAccount"`
	Options        struct{ Logging string }
}

// TestCloudBuild checks cloudbuild.yaml for what Cloud Build would only say
// after a test and a deployment.
func TestCloudBuild(t *testing.T) {
	file, err := os.Open("cloudbuild.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var build cloudBuild
	decoder := yaml.NewDecoder(file)
	decoder.KnownFields(true)
	if err := decoder.Decode(&build); err != nil {
		t.Fatal(err)
	}

	used := []string{build.ServiceAccount}
	var ids []string
	exact := regexp.MustCompile(`^[a-z0-9.-]+(/[a-z0-9.-]+)+(:\d+\.\d+\.\d+(-[a-z]+)?|@sha256:[0-9a-f]{64})$`)
	variable := regexp.MustCompile(`\$\{?([A-Z_]+)`)
	for _, step := range build.Steps {
		ids = append(ids, step.ID)
		used = append(used, step.Env...)
		if !exact.MatchString(step.Name) {
			t.Errorf("step %s: the image %s has no exact version", step.ID, step.Name)
		}
		// Scripts get no substitutions but through env.
		for _, m := range variable.FindAllStringSubmatch(step.Script, -1) {
			if name := m[1]; name != "PATH" && !slices.ContainsFunc(step.Env, func(e string) bool { return strings.HasPrefix(e, name+"=") }) {
				t.Errorf("step %s: the script uses %s, which env does not set", step.ID, name)
			}
		}
		for _, e := range step.Env {
			name, _, _ := strings.Cut(e, "=")
			if name != "CI" && !strings.Contains(step.Script, "$"+name) && !strings.Contains(step.Script, "${"+name) {
				t.Errorf("step %s: env sets %s, which the script does not use", step.ID, name)
			}
		}
	}
	if want := []string{"test", "deploy", "smoke"}; !slices.Equal(ids, want) {
		t.Errorf("steps %q, want %q", ids, want)
	}

	all := strings.Join(used, "\n")
	for _, m := range variable.FindAllStringSubmatch(all, -1) {
		if _, ok := build.Substitutions[m[1]]; !ok && m[1] != "PROJECT_ID" {
			t.Errorf("%s is used and not declared", m[1])
		}
	}
	for name := range build.Substitutions {
		if !strings.Contains(all, "${"+name+"}") {
			t.Errorf("%s is declared and not used", name)
		}
	}
	// Where a build has an account of its own, Cloud Build asks for this.
	if build.Options.Logging != "CLOUD_LOGGING_ONLY" {
		t.Errorf("logging %q", build.Options.Logging)
	}
	checkCrane(t, build.Steps[len(build.Steps)-1].Script)
}

// checkCrane wants the smoke test's crane to be of the module's own version of
// go-containerregistry.
func checkCrane(t *testing.T, script string) {
	t.Helper()
	const path = "github.com/google/go-containerregistry"
	version := strings.TrimSpace(goCommand(t, ".", "list", "-mod=readonly", "-m", "-f", "{{.Version}}", path))
	if want := path + "/cmd/crane@" + version + "\n"; !strings.Contains(script, want) {
		t.Errorf("the smoke test does not install %s", want)
	}
}

// The function that Cloud Build deploys is the one that Terraform makes, with
// its defaults.
func TestCloudBuildIsAsTerraform(t *testing.T) {
	script, err := os.ReadFile("cloudbuild.yaml")
	if err != nil {
		t.Fatal(err)
	}
	have := strings.Fields(string(script))
	check := func(flag string, body *hclsyntax.Body, attribute string) {
		v, diags := body.Attributes[attribute].Expr.Value(nil)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		want := ""
		if v.Type().IsObjectType() {
			want = asPairs(v.AsValueMap())
		} else if v, err := convert.Convert(v, cty.String); err != nil {
			t.Fatal(err)
		} else {
			want = v.AsString()
		}
		if i := slices.Index(have, flag); i < 0 || have[i+1] != want {
			t.Errorf("cloudbuild.yaml does not have %s %s", flag, want)
		}
	}
	flags := map[string]map[string]string{
		"memory":         {"default": "--memory"},
		"concurrency":    {"default": "--concurrency"},
		"max_instances":  {"default": "--max-instances"},
		"build_config":   {"runtime": "--base-image", "entry_point": "--function", "environment_variables": "--set-build-env-vars"},
		"service_config": {"available_cpu": "--cpu", "timeout_seconds": "--timeout"},
	}
	for _, b := range readModule(t, terraformDir).blocks {
		for _, part := range append(b.Body.Blocks, b) {
			key := part.Type
			if part.Type == "variable" {
				key = part.Labels[0]
			}
			for attribute, flag := range flags[key] {
				check(flag, part.Body, attribute)
			}
			delete(flags, key)
		}
	}
	if len(flags) > 0 {
		t.Errorf("terraform/ does not have %v", flags)
	}
}

// asPairs writes strings as gcloud's flags want them.
func asPairs(values map[string]cty.Value) string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		pairs = append(pairs, name+"="+values[name].AsString())
	}
	return strings.Join(pairs, ",")
}

// Each command in the documentation that deploys from the source builds with the
// variables that Cloud Build does.
func TestBuildVariablesDocumented(t *testing.T) {
	script, err := os.ReadFile("cloudbuild.yaml")
	if err != nil {
		t.Fatal(err)
	}
	variables := regexp.MustCompile(`--set-build-env-vars \S+`)
	want := variables.FindString(string(script))
	for _, path := range []string{"README.md", "docs/operations.md"} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		deploys := len(regexp.MustCompile(`gcloud run deploy \S+ --source|gcloud functions deploy \S+`).FindAll(b, -1))
		have := variables.FindAllString(string(b), -1)
		if deploys == 0 || len(have) != deploys || slices.ContainsFunc(have, func(v string) bool { return v != want }) {
			t.Errorf("%s deploys %d times with %q, want each with %s", path, deploys, have, want)
		}
	}
}
