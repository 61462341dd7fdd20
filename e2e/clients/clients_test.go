package clients_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/clients"
	"github.com/tlogistry/tlogistry/e2e/registry"
)

// The clients pull from the registry itself, with nothing in between: what
// fails here is the harness.
func TestPull(t *testing.T) {
	r, err := registry.Start(registry.Options{Token: true, Redirect: true, Referrers: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	variants := map[string]registry.Variant{
		"index":        {Name: "an index"},
		"image":        {Name: "an image", Single: true},
		"docker-index": {Name: "a Docker index", Docker: true},
		"docker-image": {Name: "a Docker image", Docker: true, Single: true},
	}
	digests := map[string]string{}
	for tag, v := range variants {
		if digests[tag], err = r.Push("library/alpine", tag, v); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range clients.Names() {
		t.Run(name, func(t *testing.T) {
			c := clients.Start(t, name)
			if got := c.Name(); got != name {
				t.Errorf("Name() = %q, want %q", got, name)
			}
			for tag, v := range variants {
				ref := r.Host() + "/library/alpine:" + tag
				first := pull(t, r, c, ref, digests[tag], v)
				// The second pull must ask for as much as the first.
				if second := pull(t, r, c, ref, digests[tag], v); second != first {
					t.Errorf("%s: the first pull made requests %v, the second %v", tag, first, second)
				}
			}
			out, err := c.Pull(t.Context(), r.Host()+"/library/alpine:absent")
			if err == nil {
				t.Errorf("pulled a tag that does not exist:\n%s", out)
			}
			if !strings.Contains(strings.ToLower(out), "not found") && !strings.Contains(out, "manifest unknown") {
				t.Errorf("the pull of an absent tag printed %q", out)
			}
			short, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
			defer cancel()
			if _, err := c.Pull(short, r.Host()+"/library/alpine:index"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a pull without time: error %v, want deadline exceeded", err)
			}
		})
	}
}

// pull pulls ref, checks what arrived and returns the requests of the pull.
func pull(t *testing.T, r *registry.Registry, c clients.Client, ref, digest string, v registry.Variant) registry.Counts {
	t.Helper()
	r.Reset()
	if _, err := c.Pull(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	counts := r.Counts()
	t.Logf("%s %s: %v", c.Name(), ref, counts)
	got, err := c.Digest(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	if got != digest {
		t.Errorf("%s: digest %s, want %s", ref, got, digest)
	}
	if runner, ok := c.(clients.Runner); ok {
		if got, err := runner.Run(t.Context(), ref); err != nil || got != v.Output() {
			t.Errorf("%s: the image printed %q, want %q; error %v", ref, got, v.Output(), err)
		}
	}
	return counts
}

func TestLeavesNothing(t *testing.T) {
	// Tests of other packages run their clients at the same time. t.TempDir's
	// name is too long for a socket's path.
	dir, err := os.MkdirTemp("", "left-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Errorf("files are left: %v", err)
		}
	})
	t.Setenv("TMPDIR", dir)
	t.Run("clients", func(t *testing.T) { clients.All(t) })
	mounts, err := os.ReadFile("/proc/self/mounts")
	if errors.Is(err, os.ErrNotExist) && os.Getenv("CI") != "true" {
		t.Skip("what is mounted is read from /proc, which Linux has")
	}
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir+"/") {
			t.Errorf("a mount is left: %s", line)
		}
	}
}
