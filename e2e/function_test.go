package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// functionMain is what the builder of Cloud Run functions puts beside the
// function, in short. The root module's tests have all of it, and build it from
// just the files that are uploaded.
const functionMain = `package main

import (
	"log"
	"os"

	_ "github.com/tlogistry/tlogistry"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"
)

func main() { log.Fatal(funcframework.Start(os.Getenv("PORT"))) }
`

// TestFunction runs the function as Cloud Run does. It asks nobody anything
// before the first pull, so that a cold start is short, and records on the real
// log. What a start takes is in the test's log.
func TestFunction(t *testing.T) {
	executable := buildFunction(t)
	w := newRekorWorld(t, sigstore.Options{})
	fulcio, metadata := proxied(t, w.FulcioURL), proxied(t, w.MetadataHost)
	env := w.env("FUNCTION_TARGET=Registry", "K_SERVICE=tlogistry",
		"REKOR_URL="+w.rekor.URL, "FULCIO_URL="+fulcio.URL, "GCE_METADATA_HOST="+metadata.Host)
	asked := func() map[string]int {
		return map[string]int{
			"the registry": w.registry.Counts().Total(), "Rekor": w.rekor.Count(),
			"Fulcio": fulcio.Count(), "the metadata server": metadata.Count(),
		}
	}

	const starts = 9
	var svc *service
	var took []time.Duration
	for range starts {
		if svc != nil {
			svc.stop(t)
		}
		begin := time.Now()
		svc = startProcess(t, exec.Command(executable), env...)
		took = append(took, time.Since(begin))
		svc.do(t, http.MethodGet, "/v2/").mustStatus(t, http.StatusOK)
	}
	slices.Sort(took)
	t.Logf("exec to first answer: median %v, shortest %v of %d starts",
		took[starts/2].Round(time.Millisecond), took[0].Round(time.Millisecond), starts)
	for whom, n := range asked() {
		if n != 0 {
			t.Errorf("%s was asked %d times before the first pull", whom, n)
		}
	}
	w.mustRecord(t, svc, "one", w.one)
	for whom, n := range asked() {
		if n == 0 {
			t.Errorf("%s was not asked for the pulls", whom)
		}
	}
}

// mustRecord pulls a tag of the repository twice. The first pull must write the
// record and the second must be served by it.
func (w *rekorWorld) mustRecord(t testing.TB, svc *service, tag, digest string) {
	t.Helper()
	first, second := svc.get(t, "app", tag), svc.get(t, "app", tag)
	first.mustServe(t, digest)
	second.mustServe(t, digest)
	if seen, again := first.header.Get("Tlog-First-Seen"), second.header.Get("Tlog-First-Seen"); seen != "true" || again != "" {
		t.Errorf("Tlog-First-Seen is %q, then %q, want true, then none", seen, again)
	}
	for _, name := range []string{"Tlog-Integratedtime", "Tlog-Logindex", "Tlog-Uuid"} {
		if got, want := second.header.Get(name), first.header.Get(name); got != want || want == "" {
			t.Errorf("%s is %q, then %q, want one value", name, want, got)
		}
	}
	if n := w.records(t, tag, digest); n != 1 {
		t.Errorf("the log has %d records of the pulls, want 1", n)
	}
}

// buildFunction builds the function as the builder does and returns the path of
// the executable. -mod=mod stands for the builder's go mod tidy.
func buildFunction(t *testing.T) string {
	t.Helper()
	source := copySource(t)
	app := filepath.Join(source, "functions.local", "app")
	if err := os.MkdirAll(app, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(app, "main.go"), []byte(functionMain), 0o644); err != nil {
		t.Fatal(err)
	}
	executable := filepath.Join(t.TempDir(), "main")
	build := exec.CommandContext(t.Context(), "go", "build", "-mod=mod", "-o", executable, "./functions.local/app")
	build.Dir = source
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-tags=grpcnotrace") // as in terraform/ and cloudbuild.yaml
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the function: %v\n%s", err, out)
	}
	return executable
}

// copySource copies what the function and the command are built from into a
// new directory, and returns that. It has no checkout and other modification
// times.
func copySource(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"cmd", "internal"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join("..", name))); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !entry.Type().IsRegular() {
			continue
		}
		b, err := os.ReadFile(filepath.Join("..", entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, entry.Name()), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
