//go:build linux

package e2e

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// koCommand is the command of docs/operations.md. ko runs from its own module,
// with what that requires: in this one it would raise the requirements.
var koCommand = []string{"go", "run", "github.com/google/ko@v0.19.1", "build", "--base-import-paths", "./cmd/tlogistry"}

// nonroot is the user of distroless's nonroot images.
const nonroot = "65532"

// TestKo builds the image as docs/operations.md says, twice, and runs what is
// in it as Cloud Run does.
func TestKo(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	host := strings.TrimPrefix(w.registry.PushURL(), "http://")
	base := pushBase(t, host+"/base:nonroot")

	ref := koBuild(t, "..", host, base)
	if again := koBuild(t, copySource(t), host, base); again != ref {
		t.Errorf("built %s, and from a copy of the source %s", ref, again)
	}
	parsed, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	image, err := remote.Image(parsed)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	const path = "/ko-app/tlogistry"
	if c := config.Config; c.User != nonroot || !slices.Equal(c.Entrypoint, []string{path}) || len(c.Cmd) != 0 {
		t.Fatalf("user %q, entry point %q, arguments %q, want %s, %s and none", c.User, c.Entrypoint, c.Cmd, nonroot, path)
	}

	dir := publicDir(t)
	executable := extract(t, image, path, dir)
	checkExecutable(t, executable)
	root := filepath.Join(dir, "trusted_root.json")
	if err := os.WriteFile(root, w.TrustedRoot(), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(executable)
	cmd.Dir = dir
	if os.Geteuid() == 0 { // else the user is an unprivileged one already
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: userID(t, config), Gid: userID(t, config)}}
	}
	// The last ones are there for the test's Sigstore and registry alone.
	svc := startProcess(t, cmd, slices.Concat(config.Config.Env,
		[]string{"K_SERVICE=tlogistry", "K_REVISION=tlogistry-00001-abc", "K_CONFIGURATION=tlogistry"},
		w.env("TRUSTED_ROOT="+root))...)
	svc.do(t, http.MethodGet, "/v2/").mustStatus(t, http.StatusOK)
	w.mustRecord(t, svc, "one", w.one)
	// Cloud Run's proxy does not come in by localhost.
	other := *svc
	other.url = strings.Replace(svc.url, "localhost", "127.0.0.2", 1)
	other.get(t, "app", "one").mustServe(t, w.one)
}

// TestKoDocumented compares what the documentation says with what TestKo does.
func TestKoDocumented(t *testing.T) {
	for path, want := range map[string]string{
		"../docs/operations.md": regexp.QuoteMeta(strings.Join(koCommand, " ")),
		"../.ko.yaml":           `(?m)^defaultBaseImage: gcr\.io/distroless/static-debian\d+:nonroot(@sha256:[0-9a-f]{64})?$`,
	} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(want).Match(b) {
			t.Errorf("%s has nothing like %s", path, want)
		}
	}
}

// koBuild builds the image from the source in dir and pushes it to the registry
// at host, and returns the reference that ko prints. ko's cache is a new one. Go
// is told to build in the state of the checkout: .ko.yaml must keep that out.
func koBuild(t *testing.T, dir, host, base string) string {
	t.Helper()
	args := append(slices.Clone(koCommand), "--platform", "linux/"+runtime.GOARCH)
	ko := exec.CommandContext(t.Context(), args[0], args[1:]...)
	ko.Dir = dir
	ko.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.HasPrefix(name, "KO_") || slices.Contains([]string{"GOOS", "GOARCH", "GOARM", "CGO_ENABLED", "SOURCE_DATE_EPOCH"}, name)
	})
	ko.Env = append(ko.Env, "GOFLAGS=-buildvcs=auto", "KOCACHE="+t.TempDir(), "DOCKER_CONFIG="+t.TempDir(),
		"KO_DOCKER_REPO="+host+"/ko", "KO_DEFAULTBASEIMAGE="+base)
	var stderr bytes.Buffer
	ko.Stderr = &stderr
	out, err := ko.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, &stderr)
	}
	return strings.TrimSpace(string(out))
}

// pushBase pushes an index of images that hold nothing but a user, in place of
// distroless's.
func pushBase(t *testing.T, ref string) string {
	t.Helper()
	var images []mutate.IndexAddendum
	for _, arch := range []string{"amd64", "arm64"} {
		image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
		image, err := mutate.ConfigFile(image, &v1.ConfigFile{
			OS:           "linux",
			Architecture: arch,
			RootFS:       v1.RootFS{Type: "layers"},
			Config:       v1.Config{User: nonroot, Env: []string{"PATH=/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	parsed, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), images...)
	if err := remote.WriteIndex(parsed, index); err != nil {
		t.Fatal(err)
	}
	return ref
}

// publicDir makes a directory that any user may read, which t.TempDir's parent
// is not.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tlogistry-ko-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// extract writes the image's file at path to dir, with its mode, and returns
// the new path.
func extract(t *testing.T, image v1.Image, path, dir string) string {
	t.Helper()
	content := mutate.Extract(image)
	defer content.Close()
	for archive := tar.NewReader(content); ; {
		header, err := archive.Next()
		if err != nil {
			t.Fatalf("look for %s in the image: %v", path, err)
		}
		if "/"+strings.TrimPrefix(header.Name, "/") != path {
			continue
		}
		b, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(to, b, header.FileInfo().Mode().Perm()); err != nil {
			t.Fatal(err)
		}
		return to
	}
}

// checkExecutable wants what runs where there is no C library, without symbols.
func checkExecutable(t *testing.T, path string) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the executable is linked dynamically")
		}
	}
	if f.Section(".symtab") != nil || f.Section(".debug_info") != nil || f.Section(".zdebug_info") != nil {
		t.Error("the executable has symbols")
	}
}

// userID returns the image's user, which is a number.
func userID(t *testing.T, config *v1.ConfigFile) uint32 {
	t.Helper()
	id, err := strconv.ParseUint(config.Config.User, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(id)
}
