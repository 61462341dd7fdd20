package upstream

import (
	"cmp"
	"context"
	"crypto/x509"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"
)

// A Config says how registries are reached.
type Config struct {
	// Mirrors says where registries are reached that are not reached at their
	// own name. The key is a registry's canonical name, see ociref.Registry.
	// The value is a base URL: http or https, a host, and optionally a path
	// that is put before the repository. With https://harbor.example/hub the
	// repository library/alpine is asked for as /v2/hub/library/alpine/….
	Mirrors map[string]*url.URL

	// Timeout limits a manifest exchange, token and retries included. For a
	// blob that is streamed it limits the wait for the answer and then each
	// wait for more bytes. Zero means 30 seconds.
	Timeout time.Duration

	// UserAgent is sent with every request. Empty means "tlogistry".
	UserAgent string

	// For tests: another way to connect to what is not mapped, other name
	// servers behind the guard, other roots, another clock, a smaller memory.
	dial     dialFunc
	resolver *net.Resolver
	roots    *x509.CertPool
	now      func() time.Time
	memory   int
}

// Bounds of what a client remembers. A registry or repository beyond them
// costs requests, nothing else.
const (
	maxChallenges = 1024
	maxTokens     = 1024
	memoryBytes   = 32 << 20
)

// A Client asks registries. It is safe for concurrent use.
//
// Requests that are the same at the same moment share one exchange. It runs in
// a goroutine of its own and ends within [Config].Timeout, whether or not
// those who wait for it still do.
type Client struct {
	mirrors   map[string]*registry
	guarded   *http.Transport
	timeout   time.Duration
	userAgent string
	now       func() time.Time

	flights    singleflight.Group
	challenges *lru.Cache[string, *transport.Challenge] // by registry
	tokens     *lru.Cache[string, token]                // by registry and repository
	memory     *memory
}

// New returns a client. It copies what it needs of c.
func New(c Config) *Client {
	timeout := cmp.Or(c.Timeout, 30*time.Second)
	dial := c.dial
	if dial == nil {
		dial = guarded(c.resolver)
	}
	now := c.now
	if now == nil {
		now = time.Now
	}
	client := &Client{
		mirrors:    map[string]*registry{},
		guarded:    newTransport(dial, timeout, c.roots),
		timeout:    timeout,
		userAgent:  cmp.Or(c.UserAgent, "tlogistry"),
		now:        now,
		challenges: newLRU[*transport.Challenge](maxChallenges),
		tokens:     newLRU[token](maxTokens),
		memory:     newMemory(cmp.Or(c.memory, memoryBytes)),
	}
	for name, base := range c.Mirrors {
		client.mirrors[name] = &registry{
			name:   name,
			base:   &url.URL{Scheme: base.Scheme, Host: base.Host, Path: "/"},
			prefix: strings.Trim(base.Path, "/"),
			own:    newTransport(only(base), timeout, c.roots),
		}
	}
	return client
}

// Close closes idle connections.
func (c *Client) Close() {
	c.guarded.CloseIdleConnections()
	for r := range maps.Values(c.mirrors) {
		r.own.CloseIdleConnections()
	}
}

// newLRU returns a cache of n entries. Only n ≤ 0 is an error there.
func newLRU[V any](n int) *lru.Cache[string, V] {
	cache, err := lru.New[string, V](n)
	if err != nil {
		panic(err)
	}
	return cache
}

// A registry says where one registry is reached.
type registry struct {
	name   string          // canonical name
	base   *url.URL        // scheme and host, with the path "/"
	prefix string          // put before every repository; empty for none
	own    *http.Transport // connects to base and nowhere else; nil if not mapped
}

func (c *Client) registry(name string) *registry {
	if r, ok := c.mirrors[name]; ok {
		return r
	}
	return &registry{name: name, base: &url.URL{Scheme: "https", Host: name, Path: "/"}}
}

func (r *registry) mapped() bool { return r.own != nil }

// owns reports whether u is at the registry's own origin.
func (r *registry) owns(u *url.URL) bool { return sameOrigin(r.base, u) }

// repository returns a repository's name as this registry knows it.
func (r *registry) repository(repo string) string {
	if r.prefix == "" {
		return repo
	}
	return r.prefix + "/" + repo
}

// url returns the URL of something in a repository, such as "tags/list".
func (r *registry) url(repo, rest string) *url.URL {
	return r.base.JoinPath("v2", r.repository(repo), rest)
}

// share runs f once for all callers that use the same key at the same time.
// f's context ends after the limit, and not with any one caller's; a caller
// whose own context ends goes away alone.
func share[T any](ctx context.Context, c *Client, key string, f func(context.Context) (T, error)) (T, error) {
	var none T
	result := c.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
		defer cancel()
		return f(ctx)
	})
	select {
	case r := <-result:
		if r.Err != nil {
			return none, r.Err
		}
		return r.Val.(T), nil
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}
