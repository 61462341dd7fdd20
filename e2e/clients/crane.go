package clients

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// cranePackage is at the version that this module requires.
const cranePackage = "github.com/google/go-containerregistry/cmd/crane"

type crane struct {
	dir, path string
	env       []string
}

// startCrane builds crane from the module that the tests use anyway.
func startCrane(ctx context.Context, dir string, m Machine) (Client, error) {
	c := &crane{dir: dir, path: filepath.Join(dir, "crane"), env: environment(dir, m.Env...)}
	if _, _, err := run(ctx, os.Environ(), "go", "build", "-o", c.path, cranePackage); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *crane) Name() string { return "crane" }

func (c *crane) Pull(ctx context.Context, ref string) (string, error) {
	to, err := renew(c.dir, "image")
	if err != nil {
		return "", err
	}
	return pull(ctx, c.env, c.path, "pull", "--insecure", "--platform", "linux/amd64", ref, filepath.Join(to, "image.tar"))
}

func (c *crane) Digest(ctx context.Context, ref string) (string, error) {
	out, _, err := run(ctx, c.env, c.path, "digest", "--insecure", ref)
	return strings.TrimSpace(out), err
}

// Run unpacks the pulled image and runs its entrypoint where it lies.
func (c *crane) Run(ctx context.Context, ref string) (string, error) {
	img, err := tarball.ImageFromPath(filepath.Join(c.dir, "image", "image.tar"), nil)
	if err != nil {
		return "", err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return "", err
	}
	if len(config.Config.Entrypoint) == 0 {
		return "", fmt.Errorf("%s has no entrypoint", ref)
	}
	root, err := renew(c.dir, "root")
	if err != nil {
		return "", err
	}
	if err := unpack(ctx, img, root); err != nil {
		return "", err
	}
	out, _, err := run(ctx, c.env, filepath.Join(root, config.Config.Entrypoint[0]))
	return out, err
}

// unpack writes an image's file system to dir.
func unpack(ctx context.Context, img v1.Image, dir string) error {
	files := mutate.Extract(img)
	defer files.Close()
	tar := exec.CommandContext(ctx, "tar", "-x", "-C", dir)
	tar.Stdin = files
	if out, err := tar.CombinedOutput(); err != nil {
		return fmt.Errorf("unpack: %w\n%s", err, out)
	}
	return nil
}

// Close has nothing to do: there is no daemon, and the directory is the caller's.
func (c *crane) Close() error { return nil }
