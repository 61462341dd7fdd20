// Package registry runs a real OCI registry, CNCF Distribution v3, on a
// loopback port, in the shape that public registries have: bearer tokens from
// a token server, blobs that redirect to a second host. It counts what it is
// asked and is filled with small images whose executable really runs.
package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd" // the "htpasswd" access controller
	_ "github.com/distribution/distribution/v3/registry/auth/token"    // the "token" access controller
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"          // the "filesystem" driver
	_ "github.com/distribution/distribution/v3/registry/storage/driver/middleware/redirect" // the "redirect" middleware
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sirupsen/logrus"
)

// Options says how a registry behaves. The zero value is the plainest one:
// no tokens, blobs served by the registry itself.
type Options struct {
	Addr      string        // listen address; empty means a free port of 127.0.0.1
	Token     bool          // ask for a bearer token, given to anybody for pulling
	User      string        // let only this user pull: by a token with Token, else by every request
	Password  string        // of User
	TokenLife time.Duration // life of a token in whole seconds; 0 means 5 minutes
	Redirect  bool          // send blob requests to a second host and port
	Referrers bool          // answer the referrers API, which Distribution lacks
	Latency   time.Duration // wait before every answer; see [Registry.SetLatency]
}

// A Registry is a running registry. Its methods are safe for concurrent use.
//
// Three listeners serve one directory: the registry that clients talk to, the
// store that blobs redirect to, and a private one for filling the registry,
// which wants no token and counts nothing.
type Registry struct {
	tokens  *tokens // nil without Options.Token
	traffic traffic
	latency atomic.Int64 // nanoseconds

	public, store, private *site
	puller                 *remote.Puller // to move tags: they ping a repository once
	pusher                 *remote.Pusher
	apps                   []*handlers.App
	dir                    string
}

// Start runs a registry until [Registry.Close].
func Start(o Options) (*Registry, error) {
	r := &Registry{}
	if err := r.start(o); err != nil {
		return nil, errors.Join(fmt.Errorf("start registry: %w", err), r.Close())
	}
	return r, nil
}

func (r *Registry) start(o Options) (err error) {
	// Distribution logs through logrus's standard logger and offers no other
	// way in; every 404 that a test provokes would be an error line.
	logrus.SetOutput(io.Discard)

	r.SetLatency(o.Latency)
	if r.puller, err = remote.NewPuller(); err != nil {
		return err
	}
	if r.pusher, err = remote.NewPusher(); err != nil {
		return err
	}
	if r.dir, err = os.MkdirTemp(memory(), "registry-"); err != nil {
		return err
	}
	if r.public, err = listen(o.Addr); err != nil {
		return err
	}
	if r.store, err = listen(""); err != nil {
		return err
	}
	if r.private, err = listen(""); err != nil {
		return err
	}
	conf := r.storage()
	r.private.serve(r.app(conf))

	conf = r.storage()
	if o.Redirect {
		conf.Middleware = map[string][]configuration.Middleware{
			"storage": {{Name: "redirect", Options: configuration.Parameters{"baseurl": r.store.url()}}},
		}
	}
	if o.Token {
		life := o.TokenLife
		if life == 0 {
			life = 5 * time.Minute
		}
		if r.tokens, err = newTokens(life); err != nil {
			return err
		}
		r.tokens.user, r.tokens.password = o.User, o.Password
		keys := filepath.Join(r.dir, "token-keys.json")
		if err := r.tokens.writeKeys(keys); err != nil {
			return err
		}
		conf.Auth = configuration.Auth{"token": {
			"realm": r.public.url() + tokenPath, "service": tokenService, "issuer": tokenIssuer, "jwks": keys,
		}}
	}
	if o.User != "" && !o.Token {
		if conf.Auth, err = r.passwords(o.User, o.Password); err != nil {
			return err
		}
	}
	var h http.Handler = r.app(conf)
	if o.Referrers {
		h = referrers(h)
	}
	if o.Token {
		h = r.tokens.handler(h)
	}
	r.public.serve(r.observe(h))
	r.store.serve(r.observe(storeHandler(filepath.Join(r.dir, "storage"))))
	return nil
}

// memory returns a directory whose files are in memory, if there is one with
// room for registries, and else "". Distribution has each file on the disk before
// it answers: on a busy one, to tag an image takes forty milliseconds.
func memory() string {
	const dir, room = "/dev/shm", 1 << 30
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil || uint64(fs.Bavail)*uint64(fs.Bsize) < room {
		return ""
	}
	return dir
}

// storage returns the configuration of a registry over the common directory.
// Distribution keeps no state elsewhere, so several may share one.
func (r *Registry) storage() *configuration.Configuration {
	return &configuration.Configuration{
		Storage: configuration.Storage{
			"filesystem":  {"rootdirectory": filepath.Join(r.dir, "storage")},
			"delete":      {"enabled": true},
			"maintenance": {"uploadpurging": map[any]any{"enabled": false}},
		},
	}
}

func (r *Registry) app(conf *configuration.Configuration) http.Handler {
	app := handlers.NewApp(context.Background(), conf)
	r.apps = append(r.apps, app)
	return app
}

// observe counts a request and holds it for the latency.
func (r *Registry) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.traffic.add(req)
		if d := time.Duration(r.latency.Load()); d > 0 {
			wait := time.NewTimer(d)
			defer wait.Stop()
			select {
			case <-wait.C:
			case <-req.Context().Done():
				return
			}
		}
		next.ServeHTTP(w, req)
	})
}

// SetLatency makes every later answer of the registry, its token server and
// its blob store wait for d first.
func (r *Registry) SetLatency(d time.Duration) { r.latency.Store(int64(d)) }

// Host returns the registry's host and port, such as "localhost:5000".
// The host is a name because crane follows no redirect from one private IP
// address to another.
func (r *Registry) Host() string { return r.public.host }

// URL returns the registry's base URL, such as "http://localhost:5000".
func (r *Registry) URL() string { return r.public.url() }

// StoreURL returns the base URL that blobs redirect to with Options.Redirect.
func (r *Registry) StoreURL() string { return r.store.url() }

// PushURL returns the base URL of a registry over the same storage that takes
// pushes and deletes, wants no token, redirects nothing and counts nothing.
func (r *Registry) PushURL() string { return r.private.url() }

// Upstreams returns a value for UPSTREAMS that maps each of the registries
// named to this one, such as "docker.io=http://localhost:5000".
// Without names it maps docker.io.
func (r *Registry) Upstreams(names ...string) string {
	if len(names) == 0 {
		names = []string{"docker.io"}
	}
	var pairs []string
	for _, name := range names {
		pairs = append(pairs, name+"="+r.URL())
	}
	return strings.Join(pairs, ",")
}

// Counts returns the requests counted since the start or the last Reset.
func (r *Registry) Counts() Counts { return r.traffic.counts() }

// Requests returns the newest requests since the start or the last Reset,
// oldest first, at most 10,000.
func (r *Registry) Requests() []Request { return r.traffic.requests() }

// Reset forgets all requests counted so far.
func (r *Registry) Reset() { r.traffic.reset() }

// ExpireTokens makes the registry refuse every token issued so far.
func (r *Registry) ExpireTokens() {
	if r.tokens != nil {
		r.tokens.expire()
	}
}

// Close stops the registry and removes what it stored.
func (r *Registry) Close() error {
	var errs []error
	for _, s := range []*site{r.public, r.store, r.private} {
		if s != nil {
			errs = append(errs, s.close())
		}
	}
	for _, app := range r.apps {
		errs = append(errs, app.Shutdown())
	}
	if r.dir != "" {
		errs = append(errs, os.RemoveAll(r.dir))
	}
	return errors.Join(errs...)
}

// A site is one listener on loopback and the server behind it.
type site struct {
	listener net.Listener
	host     string // "localhost" and the port
	server   *http.Server
	done     chan struct{} // closed when the server has ended
}

func listen(addr string) (*site, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &site{listener: l, host: "localhost:" + port}, nil
}

func (s *site) url() string { return "http://" + s.host }

func (s *site) serve(h http.Handler) {
	s.server = &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		// The error is always ErrServerClosed: close is the only way out.
		_ = s.server.Serve(s.listener)
	}()
}

func (s *site) close() error {
	if s.server == nil {
		return s.listener.Close()
	}
	err := s.server.Close()
	<-s.done
	return err
}
