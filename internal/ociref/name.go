package ociref

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

const (
	maxName = 255 // distribution-spec: many clients limit a name to 255 characters
	hub     = name.DefaultRegistry
)

// Registry returns the one name of a registry: without port 443, and for every
// name of Docker Hub the one that go-containerregistry uses. A host whose one
// name would read as the beginning of a Hub repository is refused.
// The error wraps ErrName.
func Registry(host string) (string, error) {
	if len(host) > maxName || !registryRE.MatchString(host) {
		return "", fmt.Errorf("%w: %s is not a registry's host name", ErrName, quote(host))
	}
	if _, port, ok := strings.Cut(host, ":"); ok {
		if n, err := strconv.Atoi(port); err != nil || n > 65535 {
			return "", fmt.Errorf("%w: %s has no valid port", ErrName, quote(host))
		}
	}
	bare := strings.TrimSuffix(host, ":443")
	switch {
	case !strings.ContainsAny(bare, ".:") && bare != "localhost":
		return "", fmt.Errorf("%w: %s has neither a dot nor a port other than 443, by which registries are told from repositories", ErrName, quote(host))
	case bare == "registry-1.docker.io":
		return hub, nil
	}
	registry, err := name.NewRegistry(bare, name.StrictValidation)
	if err != nil {
		return "", fmt.Errorf("%w: %s: %s", ErrName, quote(host), err)
	}
	return registry.RegistryStr(), nil
}

// canonical returns the one spelling of a registry and repository. The registry
// is that of the name, which has to be ns if both are given, or ns, or the Hub.
func canonical(ns, repo string) (string, error) {
	if len(repo) > maxName {
		return "", fmt.Errorf("%w: longer than %d characters", ErrName, maxName)
	}
	registry, err := Registry(cmp.Or(ns, hub))
	if err != nil {
		return "", err
	}
	first, rest, more := strings.Cut(repo, "/")
	if more && (strings.ContainsAny(first, ".:") || first == "localhost") {
		named, err := Registry(first)
		if err != nil {
			return "", err
		}
		if ns != "" && named != registry {
			return "", fmt.Errorf("%w: the path names the registry %s and ns names %s", ErrName, first, ns)
		}
		registry, repo = named, rest
	}
	if !nameRE.MatchString(repo) {
		return "", fmt.Errorf("%w: %s", ErrName, quote(repo))
	}
	if registry == hub && !strings.Contains(repo, "/") {
		repo = "library/" + repo
	}
	if len(registry)+1+len(repo) > maxName {
		return "", fmt.Errorf("%w: longer than %d characters with its registry", ErrName, maxName)
	}
	return registry + "/" + repo, nil
}
