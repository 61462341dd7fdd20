package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/e2e/registry"
	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// TestSmoke runs the last step of cloudbuild.yaml as Cloud Build does, after a
// first deployment, after a later one, and where it has to fail.
func TestSmoke(t *testing.T) {
	for _, program := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(program); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("no %s: scripts/install-clients.sh installs it", program)
		}
		t.Skipf("no %s: scripts/install-clients.sh installs it on Debian", program)
	}
	s, r := startSigstore(t, sigstore.Options{}), startRegistry(t, registry.Options{})
	const repo = "library/app"
	one := push(t, r, repo, "v1", registry.Variant{Name: "one"})
	two := push(t, r, repo, "v1", registry.Variant{Name: "two"})
	move(t, r, repo, "v1", one)
	// crane asks a private address without TLS, and here by way of a proxy,
	// which is the registry.
	const host = "10.0.0.1"
	svc := start(t, append(s.Env(), "UPSTREAMS="+r.Upstreams(host))...)
	const image = host + "/" + repo + ":v1"
	const direct = "localhost,127.0.0.1"
	env := []string{
		"http_proxy=" + r.URL(), "HTTP_PROXY=" + r.URL(), "no_proxy=" + direct, "NO_PROXY=" + direct,
		"DOCKER_CONFIG=" + t.TempDir(),
		// crane is installed for this test alone, from the modules that are there.
		"GOPATH=" + t.TempDir(), "GOMODCACHE=" + goEnv(t, "GOMODCACHE"), "GOBIN=",
	}
	const record = "Tlog-Integratedtime: "

	out, err := smoke(t, env, svc.url, image)
	if err != nil || strings.Count(out, "Tlog-First-Seen: true") != 1 || strings.Count(out, record) != 2 {
		t.Errorf("first deployment: %v\n%s", err, out)
	}
	out, err = smoke(t, env, svc.url, image)
	if err != nil || strings.Contains(out, "Tlog-First-Seen") || strings.Count(out, record) != 2 {
		t.Errorf("later deployment: %v\n%s", err, out)
	}
	// A registry, which says nothing of a record.
	if out, err = smoke(t, env, r.URL(), repo+":v1"); err == nil || !strings.Contains(out, "no Tlog-Integratedtime") {
		t.Errorf("no service: %v\n%s", err, out)
	}
	move(t, r, repo, "v1", two)
	if out, err = smoke(t, env, svc.url, image); err == nil || !strings.Contains(out, "has moved") {
		t.Errorf("moved: %v\n%s", err, out)
	}
}

// smoke runs the script with what the deployment left behind, and returns what
// it prints.
func smoke(t *testing.T, env []string, url, image string) (string, error) {
	t.Helper()
	b, err := os.ReadFile("../cloudbuild.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, step, _ := strings.Cut(string(b), "- id: smoke\n")
	_, script, _ := strings.Cut(step, "script: |\n")
	script, _, ok := strings.Cut(script, "\ntimeout:")
	if !ok {
		t.Fatal("cloudbuild.yaml has no script of the step smoke")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "script")
	script = strings.ReplaceAll(strings.TrimPrefix(script, "      "), "\n      ", "\n")
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".deployed-url"), []byte(url+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path)
	cmd.Dir = dir
	cmd.Env = slices.Concat(os.Environ(), env, []string{"IMAGE=" + image})
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
