package registry

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func start(t *testing.T, o Options) *Registry {
	t.Helper()
	r, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// ask sends one request, follows no redirect and reads the body whole.
func ask(t *testing.T, method, url, authorization string) *Answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Distribution denies an OCI manifest to those who do not accept one.
	req.Header.Set("Accept", string(types.OCIManifestSchema1))
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &Answer{resp.StatusCode, resp.Header, body}
}

func TestPull(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options Options
		variant Variant
		want    Counts
	}{
		{"plain index", Options{}, Variant{Name: "one"},
			Counts{Ping: 1, ManifestGet: 2, BlobGet: 3}},
		{"plain image", Options{}, Variant{Name: "one", Single: true},
			Counts{Ping: 1, ManifestGet: 1, BlobGet: 3}},
		{"plain Docker index", Options{}, Variant{Name: "one", Docker: true},
			Counts{Ping: 1, ManifestGet: 2, BlobGet: 3}},
		{"token and redirect", Options{Token: true, Redirect: true, Referrers: true}, Variant{Name: "one"},
			Counts{Ping: 1, Token: 1, ManifestGet: 2, BlobGet: 3, Store: 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, tt.options)
			digest, err := r.Push("library/alpine", "3.16.0", tt.variant)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Counts(); got != (Counts{}) {
				t.Errorf("a push was counted: %v", got)
			}
			ref, err := name.ParseReference(r.Host() + "/library/alpine:3.16.0")
			if err != nil {
				t.Fatal(err)
			}
			desc, err := remote.Get(ref, remote.WithContext(t.Context()),
				remote.WithPlatform(v1.Platform{OS: "linux", Architecture: "amd64"}))
			if err != nil {
				t.Fatal(err)
			}
			if got := desc.Digest.String(); got != digest {
				t.Errorf("pulled %s, pushed %s", got, digest)
			}
			img, err := desc.Image()
			if err != nil {
				t.Fatal(err)
			}
			if got := run(t, img); got != tt.variant.Output() {
				t.Errorf("the executable printed %q, want %q", got, tt.variant.Output())
			}
			if got := r.Counts(); got != tt.want {
				t.Errorf("counted %v, want %v", got, tt.want)
			}
		})
	}
}

// run unpacks an image and runs its entrypoint.
func run(t *testing.T, img v1.Image) string {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	archive := mutate.Extract(img)
	defer archive.Close()
	tar := exec.CommandContext(t.Context(), "tar", "-x", "-C", dir)
	tar.Stdin = archive
	if out, err := tar.CombinedOutput(); err != nil {
		t.Fatalf("unpack: %v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(dir, config.Config.Entrypoint[0])).CombinedOutput()
	if err != nil {
		t.Fatalf("run: %v\n%s", err, out)
	}
	return string(out)
}

func TestMove(t *testing.T) {
	r := start(t, Options{Token: true})
	old, err := r.Push("library/alpine", "latest", Variant{Name: "old"})
	if err != nil {
		t.Fatal(err)
	}
	again, err := r.Push("library/alpine", "same", Variant{Name: "old"})
	if err != nil {
		t.Fatal(err)
	}
	if again != old {
		t.Errorf("equal variants have digests %s and %s", old, again)
	}
	moved, err := r.Push("library/alpine", "latest", Variant{Name: "new", Docker: true})
	if err != nil {
		t.Fatal(err)
	}
	if moved == old {
		t.Fatalf("different variants have one digest, %s", old)
	}
	check := func(want string) {
		t.Helper()
		got, err := crane.Digest(r.Host()+"/library/alpine:latest", crane.WithContext(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("latest is %s, want %s", got, want)
		}
	}
	check(moved)
	if err := r.Move("library/alpine", "latest", old); err != nil {
		t.Fatal(err)
	}
	check(old)
	if err := r.Remove("library/alpine", "latest"); err != nil {
		t.Fatal(err)
	}
	if _, err := crane.Digest(r.Host() + "/library/alpine:latest"); err == nil || !strings.Contains(err.Error(), "MANIFEST_UNKNOWN") {
		t.Errorf("a removed tag: error %v, want MANIFEST_UNKNOWN", err)
	}
	if err := r.Move("library/alpine", "latest", old); err != nil {
		t.Fatalf("what the removed tag named is gone: %v", err)
	}
}

func TestLatency(t *testing.T) {
	r := start(t, Options{})
	r.SetLatency(50 * time.Millisecond)
	before := time.Now()
	ask(t, http.MethodGet, r.URL()+"/v2/", "")
	if took := time.Since(before); took < 50*time.Millisecond {
		t.Errorf("answered after %v, want at least 50ms", took)
	}
}

func TestUpstreams(t *testing.T) {
	r := start(t, Options{})
	if got, want := r.Upstreams(), "docker.io="+r.URL(); got != want {
		t.Errorf("Upstreams() = %q, want %q", got, want)
	}
	want := "docker.io=" + r.URL() + ",ghcr.io=" + r.URL()
	if got := r.Upstreams("docker.io", "ghcr.io"); got != want {
		t.Errorf("Upstreams(docker.io, ghcr.io) = %q, want %q", got, want)
	}
}

func TestClose(t *testing.T) {
	r, err := Start(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(r.dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there", r.dir)
	}
	if _, err := http.Get(r.URL()); err == nil {
		t.Error("the registry still answers")
	}
	if _, err := Start(Options{Addr: "256.0.0.1:0"}); err == nil || !strings.HasPrefix(err.Error(), "start registry: listen tcp") {
		t.Errorf("a bad address: error %v", err)
	}
}
