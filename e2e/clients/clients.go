// Package clients drives the real programs that pull images: docker, podman,
// skopeo, containerd's ctr, containerd as the kubelet has it pull ("cri") and
// crane, against a registry on loopback that speaks plain HTTP. Each runs with a configuration, storage and daemon of its
// own, and leaves nothing of them.
package clients

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	// startTimeout bounds the start of a client and its daemon.
	startTimeout = 3 * time.Minute
	// commandTimeout bounds one command of a client.
	commandTimeout = 3 * time.Minute
)

// A Client pulls images. A reference is written as a user would type it, such
// as "localhost:8080/library/alpine:3.16.0".
// A client's methods must not be called at the same time.
type Client interface {
	// Name returns the client's name, one of [Names].
	Name() string

	// Pull forgets whatever the client holds and pulls ref for linux/amd64.
	// It returns what the client printed, also when it failed.
	// A pull takes at most three minutes.
	Pull(ctx context.Context, ref string) (output string, err error)

	// Digest returns the digest that ref's tag has for the client: that of
	// the index where it is one. docker, podman, ctr and cri know it from
	// the last Pull; skopeo and crane keep nothing and ask the registry again.
	Digest(ctx context.Context, ref string) (string, error)

	// Close ends what the client started and removes what it stored.
	Close() error
}

// A Runner is a client that can run what it pulled last: docker and ctr in a
// container, crane by unpacking it.
type Runner interface {
	// Run runs the entrypoint of the image ref and returns what it printed.
	Run(ctx context.Context, ref string) (output string, err error)
}

// A Builder is a client that can build images: docker, with its BuildKit.
type Builder interface {
	// Build builds from a Dockerfile and returns what it printed, also when
	// it failed. It names the digest of each image that it is from.
	Build(ctx context.Context, dockerfile string) (output string, err error)
}

var starters = []struct {
	name     string
	programs []string // looked up in PATH
	daemon   bool     // needs root
	start    func(ctx context.Context, dir string, m Machine) (Client, error)
}{
	{"docker", []string{"dockerd", "docker", "containerd", "ctr"}, true, startDocker},
	{"podman", []string{"podman"}, true, startPodman},
	{"skopeo", []string{"skopeo"}, false, startSkopeo},
	{"ctr", []string{"containerd", "ctr"}, true, startCtr},
	{"cri", []string{"containerd", "ctr"}, true, startCRI},
	{"crane", []string{"go"}, false, startCrane},
}

// Names returns the names of all clients.
func Names() []string {
	names := make([]string, 0, len(starters))
	for _, s := range starters {
		names = append(names, s.name)
	}
	return names
}

// Start starts the named client and closes it when the test ends. Where the
// client is missing it skips the test, or fails it when CI is "true".
func Start(t testing.TB, name string) Client {
	t.Helper()
	return StartOn(t, name, Machine{})
}

// StartOn is Start on a machine with a configuration.
func StartOn(t testing.TB, name string, m Machine) Client {
	t.Helper()
	c, err := start(t, name, m)
	switch {
	case err == nil:
		return c
	case skippable(err):
		t.Skip(err)
	default:
		t.Fatal(err)
	}
	return nil
}

// All starts every client and closes them when the test ends. A missing client
// is left out and logged, or fails the test when CI is "true".
func All(t testing.TB) []Client {
	t.Helper()
	all := make([]Client, 0, len(starters))
	for _, name := range Names() {
		c, err := start(t, name, Machine{})
		switch {
		case err == nil:
			all = append(all, c)
		case skippable(err):
			t.Logf("skipped: %v", err)
		default:
			t.Fatal(err)
		}
	}
	return all
}

// errMissing says that a client is not there, or not usable by this user.
var errMissing = errors.New("missing client")

// skippable reports whether a test may go on without the client.
func skippable(err error) bool {
	return errors.Is(err, errMissing) && os.Getenv("CI") != "true"
}

func start(t testing.TB, name string, m Machine) (Client, error) {
	t.Helper()
	for _, s := range starters {
		if s.name != name {
			continue
		}
		if missing := lookup(s.programs); missing != nil {
			return nil, fmt.Errorf("%w %s: no %s in PATH; run scripts/install-clients.sh as root",
				errMissing, name, strings.Join(missing, ", "))
		}
		if s.daemon && os.Geteuid() != 0 {
			return nil, fmt.Errorf("%w %s: it needs root", errMissing, name)
		}
		// Not t.TempDir: its name may be longer than a socket's path can be,
		// and it fails the test over a mount left by a daemon that crashed.
		dir, err := os.MkdirTemp("", name+"-")
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() {
			if err := removeAll(dir); err != nil {
				t.Errorf("close %s: %v", name, err)
			}
		})
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		if err := m.write(dir); err != nil {
			return nil, err
		}
		c, err := s.start(ctx, dir, m)
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", name, err)
		}
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Errorf("close %s: %v", name, err)
			}
		})
		return c, nil
	}
	return nil, fmt.Errorf("no client is named %q", name)
}

// removeAll removes dir and everything mounted in it.
func removeAll(dir string) error {
	return errors.Join(unmountAll(dir), os.RemoveAll(dir))
}

// renew makes dir an empty directory under parent.
func renew(parent, dir string) (string, error) {
	path := filepath.Join(parent, dir)
	if err := os.RemoveAll(path); err != nil {
		return "", err
	}
	return path, os.MkdirAll(path, 0o700)
}
