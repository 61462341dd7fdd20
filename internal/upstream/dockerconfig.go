package upstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/tlogistry/tlogistry/internal/ociref"
)

// maxConfig bounds a Docker config.json. Secret Manager's own bound is 64 KiB.
const maxConfig = 1 << 20

// ReadDockerConfig reads the credentials in a Docker config.json, which are
// its member "auths". Each key is a registry as docker login writes it: a host,
// with its port if that is not 443, or Docker Hub's https://index.docker.io/v1/.
// Each entry has "auth", the base64 of user:password, or "username" and
// "password".
//
// What a program of the host would have to provide is refused: credsStore and
// credHelpers name programs, and none is ever run. So are identitytoken and
// registrytoken, which end within hours and have no place in a file that is
// read once. Other members of the file are of no concern here.
//
// An error is one line that tells names and none of the file's secrets.
func ReadDockerConfig(path string) (Credentials, error) {
	f, err := os.Open(path)
	if err != nil {
		return Credentials{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return Credentials{}, err
	}
	if len(text) > maxConfig {
		return Credentials{}, fmt.Errorf("%s: longer than %d bytes", path, maxConfig)
	}
	c, err := parseDockerConfig(text)
	if err != nil {
		return Credentials{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func parseDockerConfig(text []byte) (Credentials, error) {
	var file struct {
		Auths       map[string]json.RawMessage `json:"auths"`
		CredsStore  string                     `json:"credsStore"`
		CredHelpers map[string]string          `json:"credHelpers"`
	}
	// The decoder's own error may quote what it read.
	if json.Unmarshal(text, &file) != nil {
		return Credentials{}, errors.New("not JSON in the form of a Docker config.json")
	}
	switch {
	case file.CredsStore != "":
		return Credentials{}, errors.New("credsStore names a program, and this service runs none: want auths with user and password")
	case len(file.CredHelpers) > 0:
		return Credentials{}, errors.New("credHelpers names programs, and this service runs none: want auths with user and password")
	case len(file.Auths) == 0:
		return Credentials{}, errors.New("auths names no registry")
	}
	c := Credentials{logins: map[string]login{}}
	for _, key := range slices.Sorted(maps.Keys(file.Auths)) {
		registry, err := authsKey(key)
		if err != nil {
			return Credentials{}, err
		}
		l, err := entry(file.Auths[key])
		if err != nil {
			return Credentials{}, fmt.Errorf("auths for %s: %w", registry, err)
		}
		if other, ok := c.logins[registry]; ok && other != l {
			return Credentials{}, fmt.Errorf("auths for %s: two entries that differ", registry)
		}
		c.logins[registry] = l
	}
	return c, nil
}

// authsKey returns the canonical name of the registry that a key names. A key
// with a path of its own would be for a part of a registry, which docker does
// not have: docker would use it for the whole. A key that cannot be read is not
// repeated, as it may hold a password.
func authsKey(key string) (string, error) {
	key = strings.ToLower(key)
	host, path, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://"), "/")
	registry, err := ociref.Registry(host)
	if err != nil {
		return "", errors.New("a key of auths is no registry: want its host, such as ghcr.io, and its port if that is not 443")
	}
	switch strings.TrimSuffix(path, "/") {
	case "", "v1", "v2":
		return registry, nil
	}
	return "", fmt.Errorf("auths for %s: the key has a path; credentials are for a whole registry", registry)
}

// entry reads one entry of auths.
func entry(text json.RawMessage) (login, error) {
	var a authn.AuthConfig
	err := json.Unmarshal(text, &a)
	switch {
	case a.IdentityToken != "":
		return login{}, errors.New("identitytoken is not supported: want auth, the base64 of user:password")
	case a.RegistryToken != "":
		return login{}, errors.New("registrytoken is not supported: want auth, the base64 of user:password")
	case err != nil, a.Username == "", a.Password == "", strings.Contains(a.Username, ":"):
		return login{}, errors.New("want auth, the base64 of user:password")
	}
	return login{a.Username, a.Password}, nil
}
