package upstream

import (
	"cmp"
	"crypto/x509"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/semaphore"

	"github.com/tlogistry/tlogistry/internal/flight"
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

	// Credentials are used for the registries that they name.
	Credentials Credentials

	// Google has Google's application default credentials used for hosts in
	// pkg.dev that Credentials does not name.
	Google bool

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

	// Go lets the heap grow to twice of what is live, so this costs a process
	// 16 MiB. A manifest has 1 to 10 KiB: hundreds of images fit, and two of
	// the largest manifests.
	memoryBytes = 8 << 20
)

// A Client asks registries. It is safe for concurrent use.
//
// Requests that are the same at the same moment share one exchange. It ends
// within [Config].Timeout, whether or not those who wait for it still do. Who
// gives up does not wait for it any longer, but for the first to ask what a tag
// is now that is in memory, whose goroutine makes that exchange.
type Client struct {
	mirrors   map[string]*registry
	guarded   *http.Transport
	timeout   time.Duration
	userAgent string
	now       func() time.Time

	logins map[string]login // by canonical name
	google *google          // nil if not to be used

	tags      *flight.Group[*Manifest] // by repository:tag; these begin those of digests
	digests   *flight.Group[*Manifest] // by repository@digest
	exchanges *flight.Group[token]
	pings     *flight.Group[*transport.Challenge]

	challenges *lru.Cache[string, *transport.Challenge] // by registry
	tokens     *lru.Cache[string, token]                // by registry and repository
	memory     *memory
	firsts     firsts
	room       *semaphore.Weighted // for the bytes of bodies longer than smallBody
	spare      spare
}

// New returns a client. It copies what it needs of c.
func New(c Config) *Client {
	timeout := cmp.Or(c.Timeout, 30*time.Second)
	dial := c.dial
	if dial == nil {
		dial = guarded(c.resolver).DialContext
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
		logins:     c.Credentials.logins,
		tags:       flight.NewGroup[*Manifest](timeout),
		digests:    flight.NewGroup[*Manifest](timeout),
		exchanges:  flight.NewGroup[token](timeout),
		pings:      flight.NewGroup[*transport.Challenge](timeout),
		challenges: newLRU[*transport.Challenge](maxChallenges),
		tokens:     newLRU[token](maxTokens),
		memory:     newMemory(cmp.Or(c.memory, memoryBytes)),
		firsts:     firsts{now: map[string]*first{}},
		room:       semaphore.NewWeighted(roomBytes),
	}
	if c.Google {
		client.google = newGoogle()
	}
	for name, base := range c.Mirrors {
		client.mirrors[name] = &registry{
			name:   name,
			base:   &url.URL{Scheme: base.Scheme, Host: base.Host, Path: "/"},
			auth:   client.authenticator(base),
			prefix: strings.Trim(base.Path, "/"),
			own:    newTransport(only(base), timeout, c.roots),
			blobs:  newTransport(only(base), timeout, c.roots),
		}
	}
	return client
}

// Close waits for the exchanges under way, each of which ends within
// [Config].Timeout, and closes idle connections. It refuses further exchanges;
// streams of blobs go on.
func (c *Client) Close() {
	c.tags.Close() // each before those that it begins
	c.digests.Close()
	c.exchanges.Close()
	c.pings.Close()
	c.guarded.CloseIdleConnections()
	for r := range maps.Values(c.mirrors) {
		r.own.CloseIdleConnections()
		r.blobs.CloseIdleConnections()
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
	name   string              // canonical name
	base   *url.URL            // scheme and host, with the path "/"
	auth   authn.Authenticator // what it may be told; authn.Anonymous for nothing
	prefix string              // put before every repository; empty for none
	own    *http.Transport     // connects to base and nowhere else; nil if not mapped
	blobs  *http.Transport     // as own, for what is streamed: clients that do not read on keep no manifest waiting
}

func (c *Client) registry(name string) *registry {
	if r, ok := c.mirrors[name]; ok {
		return r
	}
	base := &url.URL{Scheme: "https", Host: name, Path: "/"}
	return &registry{name: name, base: base, auth: c.authenticator(base)}
}

func (r *registry) mapped() bool { return r.own != nil }

func (r *registry) anonymous() bool { return r.auth == authn.Anonymous }

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
	if r.prefix == "" { // by their grammar nothing is to be cleaned or escaped
		return &url.URL{Scheme: r.base.Scheme, Host: r.base.Host, Path: "/v2/" + repo + "/" + rest}
	}
	return r.base.JoinPath("v2", r.repository(repo), rest)
}
