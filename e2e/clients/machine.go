package clients

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Machine is what a client finds configured. The zero value is nothing.
type Machine struct {
	// Files are configuration files by their place on a machine, below /etc.
	// Each client reads those of its own: docker daemon.json, podman and
	// skopeo registries.conf.d, ctr and cri containerd's certs.d, and cri
	// containerd's config.toml.
	Files map[string]string

	// Env are variables, as "NAME=value", of the client and its daemon.
	Env []string
}

// Paths below /etc.
const (
	dockerConfig      = "/etc/docker/daemon.json"
	registriesConfigs = "/etc/containers/registries.conf.d/"
	containerdMain    = "/etc/containerd/config.toml"
	containerdHosts   = "/etc/containerd/certs.d"
)

// write writes the machine's files into dir, where they call each other by
// where they are now.
func (m Machine) write(dir string) error {
	for name, content := range m.Files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		content = strings.ReplaceAll(content, "/etc/", filepath.Join(dir, "etc")+"/")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// below returns the contents of the files below a directory, one after another.
func (m Machine) below(dir string) string {
	var names []string
	for name := range m.Files {
		if strings.HasPrefix(name, dir) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var all strings.Builder
	for _, name := range names {
		all.WriteString(m.Files[name])
	}
	return all.String()
}

// has reports whether there is a file at the path or below it.
func (m Machine) has(path string) bool { return m.below(path) != "" }
