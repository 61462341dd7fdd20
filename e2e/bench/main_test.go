package bench

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/bench/report"
)

var (
	full  = flag.Bool("full", false, "measure as long as good figures take, and print them")
	out   = flag.String("out", "", "file for the figures in the form of benchstat, with -full")
	given = flag.String("function", "", "executable to measure instead of the function as it is now")
)

// figures are what the tests of this run have measured.
var figures report.Report

// shared is what all tests of this run use, each part made on first need.
var shared struct {
	dir     string
	mu      sync.Mutex
	closers []func() error
}

func TestMain(m *testing.M) {
	flag.Parse()
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role))
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	shared.dir = dir
	beginTables()
	code := m.Run()
	if err := errors.Join(closeShared(), os.RemoveAll(dir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	if *full {
		if err := publish(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	return code
}

// publish prints the tables and writes the file of figures.
func publish() error {
	if err := figures.Markdown(os.Stdout); err != nil || *out == "" {
		return err
	}
	f, err := os.Create(*out)
	if err != nil {
		return err
	}
	return errors.Join(figures.Benchmarks(f), f.Close())
}

// atEnd has f called when all tests have ended, last first.
func atEnd(f func() error) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.closers = append(shared.closers, f)
}

func closeShared() error {
	var errs []error
	for i := len(shared.closers) - 1; i >= 0; i-- {
		errs = append(errs, shared.closers[i]())
	}
	return errors.Join(errs...)
}

// long returns the first value with -full, and the second one without.
func long[T any](measured, smoke T) T {
	if *full {
		return measured
	}
	return smoke
}

// rounds is how often everything is measured that is compared.
func rounds() int { return long(5, 1) }

// builderMain is what Google's Go buildpack puts beside the function; see
// deploy_serve_test.go at the root.
const builderMain = `package main

import (
	"log"
	"net/http"
	"os"

	_ "github.com/tlogistry/tlogistry"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"
)

func main() {
	http.HandleFunc("/robots.txt", http.NotFound)
	http.HandleFunc("/favicon.ico", http.NotFound)
	if err := funcframework.Start(os.Getenv("PORT")); err != nil {
		log.Fatal(err)
	}
}
`

// functionPath returns the executable that Cloud Run functions would run,
// stripped.
var functionPath = sync.OnceValues(func() (string, error) {
	if *given != "" {
		return *given, nil
	}
	return overlaid("function", builderMain)
})

// overlaid builds a program of one file with the root module. The file is laid
// over the module, not put into it, and what it needs beside goes into a copy of
// go.mod: -mod=mod stands for the builder's go mod tidy.
func overlaid(name, program string) (string, error) {
	root, err := filepath.Abs("../..")
	if err != nil {
		return "", err
	}
	dir := filepath.Join(shared.dir, name+"-source")
	source, overlay := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json")
	executable := filepath.Join(shared.dir, name)
	replace := fmt.Sprintf(`{"Replace": {%q: %q}}`, filepath.Join(root, "functions.local", name, "main.go"), source)
	err = errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(source, []byte(program), 0o644), os.WriteFile(overlay, []byte(replace), 0o644))
	for _, name := range []string{"go.mod", "go.sum"} {
		b, rerr := os.ReadFile(filepath.Join(root, name))
		err = errors.Join(err, rerr, os.WriteFile(filepath.Join(dir, name), b, 0o644))
	}
	if err != nil {
		return "", err
	}
	return executable, build(root, executable, "./functions.local/"+name, "-overlay", overlay, "-mod=mod", "-modfile="+filepath.Join(dir, "go.mod"))
}

// peerPath returns a function that builds one of the other fronts once, and
// returns the path of the executable.
func peerPath(name string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		executable := filepath.Join(shared.dir, name)
		return executable, build(".", executable, "./peer/"+name)
	})
}

// build has no libc and no gRPC tracing in what it builds, as they are not in
// the function that terraform/ and cloudbuild.yaml deploy. The fronts that it is
// compared with are built in the same way.
func build(dir, executable, pkg string, more ...string) error {
	args := append([]string{"build", "-trimpath", "-ldflags=-s -w", "-o", executable}, more...)
	cmd := exec.Command("go", append(args, pkg)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-tags=grpcnotrace")
	cmd.WaitDelay = 5 * time.Second
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, output)
	}
	return nil
}
