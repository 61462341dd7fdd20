package tlogistry

import (
	"context"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// builderMain is what Google's Go buildpack puts beside the function, in
// functions.local/app of the function's own module, when the function's package
// imports the framework's functions package.
const builderMain = `package main

import (
	"log"
	"net/http"
	"os"

	_ "` + module + `"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"
)

func main() {
	http.HandleFunc("/robots.txt", http.NotFound)
	http.HandleFunc("/favicon.ico", http.NotFound)
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	if err := funcframework.Start(port); err != nil {
		log.Fatal(err)
	}
}
`

// buildAsUploaded builds the upload as the builder does and returns the path of
// the executable. The builder runs go mod tidy first, which needs the network;
// here -mod=mod stands for it.
func buildAsUploaded(t *testing.T) string {
	t.Helper()
	source := t.TempDir()
	for _, path := range uploaded(t) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(source, path), string(b))
	}
	write(t, filepath.Join(source, "functions.local/app/main.go"), builderMain)
	emptyModuleCache(t)
	t.Setenv("CGO_ENABLED", "0") // this and the tag as terraform/ and cloudbuild.yaml have it
	executable := filepath.Join(t.TempDir(), "main")
	// -trimpath is for the build cache, which else is no use for modules in a
	// directory that is new each time. The size is judged stripped.
	goCommand(t, source, "build", "-trimpath", "-tags=grpcnotrace", "-ldflags=-s -w", "-mod=mod", "-o", executable, "./functions.local/app")
	return executable
}

// emptyModuleCache gives the go command of this test a module cache with
// nothing in it, as the builder's has, and what this machine has downloaded as
// the first proxy. What it takes from there is compared with the upload's
// go.sum. That lacks what only the generated main needs, and the builder asks
// the checksum database for, which is not at hand everywhere.
func emptyModuleCache(t *testing.T) {
	t.Helper()
	downloads := filepath.ToSlash(filepath.Join(strings.TrimSpace(goCommand(t, ".", "env", "GOMODCACHE")), "cache", "download"))
	proxies := strings.TrimSpace(goCommand(t, ".", "env", "GOPROXY"))
	t.Setenv("GOPROXY", "file:///"+strings.TrimPrefix(downloads, "/")+","+proxies)
	t.Setenv("GOMODCACHE", t.TempDir())
	t.Setenv("GOFLAGS", "-modcacherw") // so that the directory can be removed
	t.Setenv("GOSUMDB", "off")
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// freePort returns a port on which nothing listens. It is below those that
// systems give to whoever asks for any, other tests' servers among them: nobody
// else gets it before the function listens there.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(10_000 + rand.IntN(20_000))
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}

// startFunction runs the executable as Cloud Run does, with these variables and
// no others but the platform's, and returns its host and port. The start must
// show on the first answer: the framework prints nothing to wait for.
func startFunction(t *testing.T, executable string, env ...string) string {
	t.Helper()
	port := freePort(t)
	var logs sink
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	cmd := exec.CommandContext(ctx, executable)
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{"FUNCTION_TARGET=Registry", "PORT=" + port, "K_SERVICE=tlogistry", "HOME=" + t.TempDir()}, env...)
	cmd.Stdout, cmd.Stderr = &logs, &logs
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd.Wait()
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		if t.Failed() {
			t.Logf("the function's log:\n%s", strings.Join(logs.lines(), ""))
		}
	})
	host := "127.0.0.1:" + port
	for {
		res, err := http.Get("http://" + host + "/v2/")
		if err == nil {
			res.Body.Close()
			t.Logf("first answer %v after exec", time.Since(start).Round(time.Millisecond))
			return host
		}
		select {
		case <-ended:
			t.Fatal("the function ended before it answered")
		case <-ctx.Done():
			t.Fatalf("no answer: %v", err)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// ask wants a status of the function and returns headers and body.
func ask(t *testing.T, host, path string, status int) (http.Header, string) {
	t.Helper()
	res, err := http.Get("http://" + host + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != status {
		t.Errorf("GET %s: %d, want %d\n%s", path, res.StatusCode, status, b)
	}
	return res.Header, string(b)
}

// push gives app:v1 on the host a new image.
func push(t *testing.T, host string) v1.Image {
	t.Helper()
	image, err := random.Image(1024, 2)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(host + "/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image); err != nil {
		t.Fatal(err)
	}
	return image
}

// What is uploaded builds and starts as on Cloud Run. Without an identity it
// serves everything but tags. That it records is shown by the end-to-end tests.
func TestUploadServes(t *testing.T) {
	executable := buildAsUploaded(t)
	checkSize(t, executable)
	server := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	upstream := server.Listener.Addr().String()
	image := push(t, upstream)
	const nobody = "127.0.0.1:1" // a port that no other test's server can get
	host := startFunction(t, executable, "UPSTREAMS=registry.test=http://"+upstream,
		"GCE_METADATA_HOST="+nobody, "REKOR_URL=http://"+nobody, "FULCIO_URL=http://"+nobody)
	if _, body := ask(t, host, "/", http.StatusOK); !strings.Contains(body, "tlogistry") {
		t.Errorf("home page: %s", body)
	}
	checkPulled(t, host, image)
	header, body := ask(t, host, "/v2/registry.test/app/manifests/v1", http.StatusServiceUnavailable)
	if !strings.Contains(body, `"UNAVAILABLE"`) || header.Get("Retry-After") == "" {
		t.Errorf("Retry-After %q, %s", header.Get("Retry-After"), body)
	}
	checkCleaned(t, host)
}

// checkSize fails where the linker may not drop the methods that nobody calls:
// when a template calls methods, or reflection finds them by a computed name.
// Then the executable is a third larger, and more of it is resident.
func checkSize(t *testing.T, executable string) {
	t.Helper()
	info, err := os.Stat(executable)
	if err != nil {
		t.Fatal(err)
	}
	if most := int64(22_000_000); info.Size() > most {
		t.Errorf("the function has %d bytes, want %d at most", info.Size(), most)
	}
}

// checkCleaned shows what the Functions Framework answers before the function is
// asked: its mux sends a path with an empty or a dot component to another one.
func checkCleaned(t *testing.T, host string) {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for path, cleaned := range map[string]string{
		"/v2//registry.test/app/manifests/v1":            "/v2/registry.test/app/manifests/v1",
		"/v2/registry.test/other/../app/manifests/v1":    "/v2/registry.test/app/manifests/v1",
		"/v2/registry.test/./app/manifests/v1?ns=x.test": "/v2/registry.test/app/manifests/v1?ns=x.test",
	} {
		res, err := client.Get("http://" + host + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got := res.Header.Get("Location"); res.StatusCode != http.StatusTemporaryRedirect || got != cleaned {
			t.Errorf("GET %s: %s to %q, want 307 to %q", path, res.Status, got, cleaned)
		}
	}
}

// checkPulled pulls the image by digest as a client does, layers included.
func checkPulled(t *testing.T, host string, want v1.Image) {
	t.Helper()
	digest, err := want.Digest()
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(host + "/registry.test/app@" + digest.String())
	if err != nil {
		t.Fatal(err)
	}
	got, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(got); err != nil {
		t.Error(err)
	}
}
