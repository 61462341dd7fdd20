package clients

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// dockerNamespace is where dockerd keeps manifests in its containerd.
const dockerNamespace = "moby"

type docker struct {
	containerd *containerd
	daemon     *daemon
	dir        string
	cli        string // path of a docker command that understands the daemon
	env        []string
}

// startDocker starts a containerd and a dockerd that touch neither the
// machine's network nor a Docker that runs on it.
func startDocker(ctx context.Context, dir string, m Machine) (Client, error) {
	c := &docker{dir: dir}
	socket := "unix://" + filepath.Join(dir, "docker.sock")
	c.env = environment(dir, "DOCKER_HOST="+socket, "DOCKER_CONFIG="+filepath.Join(dir, "config"))
	// A configuration of the machine's own Docker would be merged in.
	config := filepath.Join(dir, dockerConfig)
	if !m.has(dockerConfig) {
		if err := (Machine{Files: map[string]string{dockerConfig: "{}"}}).write(dir); err != nil {
			return nil, err
		}
	}
	var err error
	if c.containerd, err = startContainerd(ctx, dir, containerdConfig); err != nil {
		return nil, err
	}
	c.daemon, err = startDaemon(ctx, dir, m.Env, func() error { return c.findCLI(ctx) }, "dockerd",
		"--host", socket,
		"--containerd", c.containerd.socket,
		"--data-root", filepath.Join(dir, "data"),
		"--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "docker.pid"),
		"--config-file", config,
		"--storage-driver", "vfs",
		"--bridge", "none",
		"--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")
	if err != nil {
		return nil, errors.Join(err, c.containerd.stop())
	}
	return c, nil
}

// findCLI looks for a docker command that can talk to the daemon. A newer one
// in PATH may refuse the daemon's API; Debian's is in /usr/bin.
func (c *docker) findCLI(ctx context.Context) error {
	all, err := dockerCommands()
	if err != nil {
		return err
	}
	for _, cli := range all {
		if _, _, err = run(ctx, c.env, cli, "version"); err == nil {
			c.cli = cli
			return nil
		}
	}
	return err
}

func dockerCommands() ([]string, error) {
	first, err := exec.LookPath("docker")
	return slices.Compact([]string{first, "/usr/bin/docker"}), err
}

func (c *docker) Name() string { return "docker" }

func (c *docker) Pull(ctx context.Context, ref string) (string, error) {
	if err := c.forget(ctx); err != nil {
		return "", err
	}
	return pull(ctx, c.env, c.cli, "pull", "--platform", "linux/amd64", ref)
}

// forget removes images, and the manifests that dockerd keeps in containerd
// and would use again instead of asking for them.
func (c *docker) forget(ctx context.Context) error {
	images, _, err := run(ctx, c.env, c.cli, "images", "--all", "--quiet", "--no-trunc")
	if err != nil {
		return err
	}
	ids := strings.Fields(images)
	slices.Sort(ids)
	if ids = slices.Compact(ids); len(ids) > 0 {
		if _, _, err := run(ctx, c.env, append([]string{c.cli, "rmi", "--force"}, ids...)...); err != nil {
			return err
		}
	}
	return c.containerd.forget(ctx, dockerNamespace)
}

func (c *docker) Digest(ctx context.Context, ref string) (string, error) {
	out, _, err := run(ctx, c.env, c.cli, "image", "inspect", "--format", "{{join .RepoDigests \"\\n\"}}", ref)
	if err != nil {
		return "", err
	}
	digests := strings.Fields(out)
	if len(digests) != 1 {
		return "", fmt.Errorf("docker has %d digests for %s, want 1: %q", len(digests), ref, digests)
	}
	_, digest, _ := strings.Cut(digests[0], "@")
	return digest, nil
}

// Run runs the image in a container without a network.
func (c *docker) Run(ctx context.Context, ref string) (string, error) {
	out, _, err := run(ctx, c.env, c.cli, "run", "--rm", "--network", "none", ref)
	return out, err
}

// Build uses the docker command that has BuildKit: an old one has it built in,
// a newer one in a plugin that may be missing.
func (c *docker) Build(ctx context.Context, dockerfile string) (string, error) {
	if err := c.forget(ctx); err != nil {
		return "", err
	}
	dir, err := renew(c.dir, "build")
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o600); err != nil {
		return "", err
	}
	all, err := dockerCommands()
	if err != nil {
		return "", err
	}
	var out string
	for _, cli := range all {
		out, err = pull(ctx, append(c.env, "DOCKER_BUILDKIT=1"), cli, "build", "--no-cache", "--progress", "plain", dir)
		if !strings.Contains(out, "buildx component is missing") {
			break
		}
	}
	return out, err
}

func (c *docker) Close() error {
	return errors.Join(c.daemon.stop(), c.containerd.stop())
}
