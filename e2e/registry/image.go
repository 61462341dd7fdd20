package registry

import (
	"archive/tar"
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A Variant describes an image. Equal variants have equal digests, in every
// process with the same Go toolchain; different names, different digests.
//
// The image has a static executable /hello as its entrypoint, which prints
// "hello from NAME on OS/ARCH", and a file /variant that holds the name.
type Variant struct {
	Name   string // at most a line; part of the image
	Single bool   // one image for linux/amd64, rather than an index with linux/arm64 too
	Docker bool   // Docker's media types, rather than OCI's
}

// Output returns what the executable prints on linux/amd64.
func (v Variant) Output() string { return "hello from " + v.Name + " on linux/amd64\n" }

var architectures = []string{"amd64", "arm64"}

//go:embed hello/main.go
var helloSource []byte

// hello returns the executables, by architecture. They are the same for every
// registry of a process and take seconds to build, hence once.
var hello = sync.OnceValues(func() (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "hello-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	// The source goes to a module of its own, so that the build works
	// wherever the process was started.
	if err := os.WriteFile(filepath.Join(dir, "main.go"), helloSource, 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module hello\n\ngo 1.26.0\n"), 0o600); err != nil {
		return nil, err
	}
	executables := make(map[string][]byte)
	for _, arch := range architectures {
		if executables[arch], err = buildHello(dir, arch); err != nil {
			return nil, fmt.Errorf("build hello for %s: %w", arch, err)
		}
	}
	return executables, nil
})

func buildHello(dir, arch string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	out := filepath.Join(dir, arch)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", out, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOWORK=off", "GOFLAGS=")
	if output, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, output)
	}
	return os.ReadFile(out)
}

// index returns the variant's image for every architecture.
func (v Variant) index() (v1.ImageIndex, error) {
	var images []mutate.IndexAddendum
	for _, arch := range architectures {
		img, err := v.image(arch)
		if err != nil {
			return nil, err
		}
		images = append(images, mutate.IndexAddendum{
			Add:        img,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	mediaType := types.OCIImageIndex
	if v.Docker {
		mediaType = types.DockerManifestList
	}
	return mutate.AppendManifests(mutate.IndexMediaType(empty.Index, mediaType), images...), nil
}

// image returns the variant's image for one architecture.
func (v Variant) image(arch string) (v1.Image, error) {
	executables, err := hello()
	if err != nil {
		return nil, err
	}
	manifestType, configType, layerType := types.OCIManifestSchema1, types.OCIConfigJSON, types.OCILayer
	if v.Docker {
		manifestType, configType, layerType = types.DockerManifestSchema2, types.DockerConfigJSON, types.DockerLayer
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, manifestType), configType)
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{
		OS:           "linux",
		Architecture: arch,
		RootFS:       v1.RootFS{Type: "layers"},
		Config:       v1.Config{Entrypoint: []string{"/hello"}, WorkingDir: "/"},
	})
	if err != nil {
		return nil, err
	}
	for _, file := range []struct {
		name    string
		mode    int64
		content []byte
	}{
		{"hello", 0o755, executables[arch]},
		{"variant", 0o644, []byte(v.Name)},
	} {
		layer, err := fileLayer(layerType, file.name, file.mode, file.content)
		if err != nil {
			return nil, err
		}
		img, err = mutate.Append(img, mutate.Addendum{
			Layer:   layer,
			History: v1.History{CreatedBy: "COPY " + file.name + " /"},
		})
		if err != nil {
			return nil, err
		}
	}
	return img, nil
}

// fileLayer returns a layer that holds one file and no time.
func fileLayer(mediaType types.MediaType, name string, mode int64, content []byte) (v1.Layer, error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	header := &tar.Header{Name: name, Mode: mode, Size: int64(len(content)), Typeflag: tar.TypeReg}
	if err := w.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive.Bytes())), nil
	}, tarball.WithMediaType(mediaType), tarball.WithCompressedCaching)
}
