package clients

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

// policy accepts every image: what is tested is the registry's answer.
const policy = `{"default": [{"type": "insecureAcceptAnything"}]}`

// lookaside makes podman and skopeo ask for sigstore signatures beside the
// image, as users who verify them have it: tags such as "sha256-<hex>.sig".
const lookaside = "default-docker:\n  use-sigstore-attachments: true\n"

// library is a client built on the containers/image library.
type library struct {
	name string
	dir  string
	env  []string
	argv []string // the program and its global options
}

func newLibrary(name, dir string, m Machine) (library, error) {
	l := library{name: name, dir: dir, env: environment(dir, m.Env...)}
	for file, content := range map[string]string{
		"policy.json":               policy,
		"registries.conf":           m.below(registriesConfigs),
		"registries.d/default.yaml": lookaside,
	} {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return library{}, err
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return library{}, err
		}
	}
	l.env = append(l.env, "CONTAINERS_REGISTRIES_CONF="+filepath.Join(dir, "registries.conf"))
	return l, nil
}

func (l library) Name() string { return l.name }

// Close has nothing to do: there is no daemon, and the directory is the caller's.
func (l library) Close() error { return nil }

func (l library) command(args ...string) []string {
	return append(append([]string(nil), l.argv...), args...)
}

type podman struct{ library }

func startPodman(_ context.Context, dir string, m Machine) (Client, error) {
	l, err := newLibrary("podman", dir, m)
	if err != nil {
		return nil, err
	}
	l.argv = []string{"podman",
		"--root", filepath.Join(dir, "root"),
		"--runroot", filepath.Join(dir, "run"),
		"--tmpdir", filepath.Join(dir, "tmp"),
		"--storage-driver", "vfs",
		"--cgroup-manager", "cgroupfs",
		"--events-backend", "none",
	}
	return &podman{l}, nil
}

func (p *podman) Pull(ctx context.Context, ref string) (string, error) {
	if out, err := pull(ctx, p.env, p.command("rmi", "--all", "--force")...); err != nil {
		return out, err
	}
	return pull(ctx, p.env, p.command("pull", "--tls-verify=false", "--platform", "linux/amd64",
		"--signature-policy", filepath.Join(p.dir, "policy.json"), ref)...)
}

func (p *podman) Digest(ctx context.Context, ref string) (string, error) {
	out, _, err := run(ctx, p.env, p.command("image", "inspect", "--format", "{{.Digest}}", ref)...)
	return strings.TrimSpace(out), err
}

type skopeo struct{ library }

func startSkopeo(_ context.Context, dir string, m Machine) (Client, error) {
	l, err := newLibrary("skopeo", dir, m)
	if err != nil {
		return nil, err
	}
	l.argv = []string{"skopeo",
		"--policy", filepath.Join(dir, "policy.json"),
		"--registries.d", filepath.Join(dir, "registries.d"),
		"--registries-conf", filepath.Join(dir, "registries.conf"), // it does not read the variable
		"--override-os", "linux", "--override-arch", "amd64",
	}
	return &skopeo{l}, nil
}

func (s *skopeo) Pull(ctx context.Context, ref string) (string, error) {
	to, err := renew(s.dir, "image")
	if err != nil {
		return "", err
	}
	return pull(ctx, s.env, s.command("copy", "--src-tls-verify=false", "docker://"+ref, "dir:"+to)...)
}

func (s *skopeo) Digest(ctx context.Context, ref string) (string, error) {
	out, _, err := run(ctx, s.env, s.command("inspect", "--tls-verify=false", "--no-tags", "--format", "{{.Digest}}", "docker://"+ref)...)
	return strings.TrimSpace(out), err
}
