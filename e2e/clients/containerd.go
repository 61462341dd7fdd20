package clients

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// containerdConfig keeps a containerd to one directory and leaves out the
// Kubernetes service, which would want a network configuration.
const containerdConfig = `version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = %q
`

// containerd is a running containerd.
type containerd struct {
	*daemon
	env    []string
	socket string
}

// startContainerd starts a containerd in a directory under dir, with variables
// of its own and a configuration that has a place for root, state and socket.
func startContainerd(ctx context.Context, dir, configuration string, env ...string) (*containerd, error) {
	own, err := renew(dir, "containerd")
	if err != nil {
		return nil, err
	}
	c := &containerd{env: environment(dir, env...), socket: filepath.Join(own, "socket")}
	config := filepath.Join(own, "config.toml")
	text := fmt.Sprintf(configuration, filepath.Join(own, "root"), filepath.Join(own, "state"), c.socket)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	c.daemon, err = startDaemon(ctx, own, env, func() error {
		_, _, err := c.ctr(ctx, "default", "version")
		return err
	}, "containerd", "--config", config)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// ctr runs containerd's own client in one of its namespaces.
func (c *containerd) ctr(ctx context.Context, namespace string, args ...string) (stdout, stderr string, err error) {
	return run(ctx, c.env, append([]string{"ctr", "--address", c.socket, "--namespace", namespace}, args...)...)
}

// forget removes every image of a namespace, and the content of images that a
// Docker daemon keeps there without naming it.
func (c *containerd) forget(ctx context.Context, namespace string) error {
	images, _, err := c.ctr(ctx, namespace, "images", "list", "--quiet")
	if err != nil {
		return err
	}
	if names := strings.Fields(images); len(names) > 0 {
		if _, _, err := c.ctr(ctx, namespace, append([]string{"images", "remove", "--sync"}, names...)...); err != nil {
			return err
		}
	}
	content, _, err := c.ctr(ctx, namespace, "content", "list", "--quiet")
	if err != nil {
		return err
	}
	if digests := strings.Fields(content); len(digests) > 0 {
		_, _, err = c.ctr(ctx, namespace, append([]string{"content", "remove"}, digests...)...)
	}
	return err
}

// ctrNamespace is where the client ctr keeps its images.
const ctrNamespace = "e2e"

type ctr struct {
	*containerd
	hosts []string // options that say where registries are
}

func startCtr(ctx context.Context, dir string, m Machine) (Client, error) {
	c, err := startContainerd(ctx, dir, containerdConfig, m.Env...)
	if err != nil {
		return nil, err
	}
	if m.has(containerdHosts) {
		return &ctr{c, []string{"--hosts-dir", filepath.Join(dir, containerdHosts)}}, nil
	}
	return &ctr{c, []string{"--plain-http"}}, nil
}

func (c *ctr) Name() string { return "ctr" }

func (c *ctr) Pull(ctx context.Context, ref string) (string, error) {
	if err := c.forget(ctx, ctrNamespace); err != nil {
		return "", err
	}
	args := append([]string{"images", "pull", "--snapshotter", "native", "--platform", "linux/amd64"}, c.hosts...)
	stdout, stderr, err := c.ctr(ctx, ctrNamespace, append(args, ref)...)
	return stdout + stderr, err
}

func (c *ctr) Digest(ctx context.Context, ref string) (string, error) {
	table, _, err := c.ctr(ctx, ctrNamespace, "images", "list", "name=="+ref)
	if err != nil {
		return "", err
	}
	// A heading, then columns: reference, media type, digest and more.
	for line := range strings.Lines(table) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[0] == ref {
			return fields[2], nil
		}
	}
	return "", fmt.Errorf("ctr does not list %s:\n%s", ref, table)
}

// Run runs the image in a container that is removed again.
func (c *ctr) Run(ctx context.Context, ref string) (string, error) {
	const id = "run"
	stdout, _, err := c.ctr(ctx, ctrNamespace, "run", "--rm", "--snapshotter", "native", ref, id)
	if err != nil {
		// A container that was cut off would outlive containerd.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		_, _, _ = c.ctr(ctx, ctrNamespace, "tasks", "delete", "--force", id)
		_, _, _ = c.ctr(ctx, ctrNamespace, "containers", "delete", id)
	}
	return stdout, err
}

func (c *ctr) Close() error { return c.stop() }
