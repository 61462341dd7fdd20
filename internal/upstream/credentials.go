package upstream

import (
	"encoding/base64"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/tlogistry/tlogistry/internal/ociref"
)

// Credentials are users and passwords, each for one registry.
// The zero value holds none. [ReadDockerConfig] makes others.
type Credentials struct {
	logins map[string]login // by canonical name, see ociref.Registry
}

// String lists the registries, and no more: it may be logged.
func (c Credentials) String() string {
	return strings.Join(slices.Sorted(maps.Keys(c.logins)), ", ")
}

// A login is a user and a password, both not empty.
type login struct{ user, password string }

// Authorization makes a login an [authn.Authenticator].
func (l login) Authorization() (*authn.AuthConfig, error) {
	return &authn.AuthConfig{Username: l.user, Password: l.password}, nil
}

// Docker Hub is the one registry whose token service is known to be elsewhere.
const (
	hub      = name.DefaultRegistry
	hubRealm = "auth.docker.io:443"
)

// place returns the canonical name of the registry that is at an origin, or ""
// if no name says it. A name without a port means https, so plain http has a
// port in its name even where that is 80.
func place(u *url.URL) string {
	registry, err := ociref.Registry(hostPort(u))
	if err != nil || u.Scheme != "https" && !strings.Contains(registry, ":") {
		return ""
	}
	return registry
}

// authenticator returns what may be told to a registry at an origin. It is the
// place that counts, not the name by which clients ask for what is there: the
// credentials for docker.io do not go to a mirror of it.
func (c *Client) authenticator(u *url.URL) authn.Authenticator {
	if len(c.logins) == 0 && c.google == nil {
		return authn.Anonymous
	}
	at := place(u)
	if l, ok := c.logins[at]; ok {
		return l
	}
	if c.google != nil && strings.HasSuffix(at, googleSuffix) {
		return c.google
	}
	return authn.Anonymous
}

// meant reports whether a registry's credentials may go to a token service:
// one at the registry's own origin, Docker Hub's, or one at an origin for which
// the operator named the same credentials. A registry chooses its realm, and
// so could choose one that is somebody else's (CVE-2020-15157).
func (c *Client) meant(to *registry, realm *url.URL) bool {
	return to.owns(realm) ||
		place(to.base) == hub && realm.Scheme == "https" && hostPort(realm) == hubRealm ||
		c.authenticator(realm) == to.auth
}

// basic returns the Authorization header with a user and password.
func basic(a *authn.AuthConfig) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(a.Username+":"+a.Password))
}
