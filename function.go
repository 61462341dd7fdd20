// Package tlogistry is an OCI registry front that makes the tags of public
// images transparently immutable. It registers the HTTP function "Registry"
// with the Functions Framework.
package tlogistry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"github.com/GoogleCloudPlatform/functions-framework-go/functions"

	"github.com/tlogistry/tlogistry/internal/config"
	"github.com/tlogistry/tlogistry/internal/front"
	"github.com/tlogistry/tlogistry/internal/keyless"
	"github.com/tlogistry/tlogistry/internal/page"
	"github.com/tlogistry/tlogistry/internal/rekorlog"
	"github.com/tlogistry/tlogistry/internal/upstream"
)

// registry is the process's one function, as the framework's registration
// wants it. It does nothing before its first request.
var registry = newFunction(os.Getenv, os.Stderr)

func init() {
	functions.HTTP("Registry", registry.ServeHTTP)
}

// Drain refuses further requests and waits until those under way are answered
// and what they began in the log has ended, or until ctx ends.
func Drain(ctx context.Context) error {
	return registry.drain(ctx)
}

// A function builds its handler from the environment on the first request.
type function struct {
	getenv func(string) string
	logger *slog.Logger

	once    sync.Once
	handler http.Handler
	close   func()

	mu       sync.Mutex // guards draining, and requests.Add against drain
	draining bool
	requests sync.WaitGroup
}

func newFunction(getenv func(string) string, logs io.Writer) *function {
	return &function{getenv: getenv, logger: front.NewLogger(logs)}
}

func (f *function) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	if f.draining {
		f.mu.Unlock()
		w.Header().Set("Connection", "close")
		front.Unavailable(w, r, "this instance is shutting down")
		return
	}
	f.requests.Add(1)
	f.mu.Unlock()
	defer f.requests.Done()
	f.once.Do(f.build)
	if f.handler == nil {
		front.Unavailable(w, r, "this service is not configured correctly; its log says what is wrong")
		return
	}
	f.handler.ServeHTTP(w, r)
}

// build makes the handler. Where the configuration is bad there is none, and
// the log says why.
func (f *function) build() {
	c, err := config.Load(f.getenv)
	if err == nil {
		f.handler, f.close, err = assemble(c, f.logger)
	}
	if err != nil {
		f.logger.Error("bad configuration", "error", err.Error())
	}
}

func (f *function) drain(ctx context.Context) error {
	f.mu.Lock()
	f.draining = true
	f.mu.Unlock()
	done := make(chan struct{})
	go func() { // ends with the requests, whose calls all have limits
		defer close(done)
		f.requests.Wait()
		if f.close != nil {
			f.close()
		}
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("drain: %w", ctx.Err())
	}
}

// assemble puts the service together. It asks nobody for anything.
func assemble(c config.Config, logger *slog.Logger) (http.Handler, func(), error) {
	if c.Log == config.Local {
		return nil, nil, errors.New("no transparency log: set REKOR_URL, or run with a Google identity, which K_SERVICE or GCE_METADATA_HOST tells")
	}
	trust, err := trustOf(c)
	if err != nil {
		return nil, nil, err
	}
	signer := keyless.New(keyless.Config{
		Tokens:    keyless.Metadata(),
		FulcioURL: c.FulcioURL.String(),
		Timeout:   c.FulcioTimeout,
		Audience:  c.Audience,
		Subject:   c.Identity,
		Issuer:    c.IdentityIssuer,
	})
	log := rekorlog.New(rekorlog.Config{
		URL:     c.RekorURL,
		Timeout: c.RekorTimeout,
		Settle:  c.RekorSettle,
		Signer:  signer,
		Issuer:  c.IdentityIssuer,
		Trust:   trust,
		Logger:  logger,
	})
	registries := upstream.New(upstream.Config{Mirrors: c.Upstreams, Timeout: c.UpstreamTimeout})
	handler := front.New(front.Options{
		Log:      log,
		Upstream: registries,
		Allow:    c.Allow,
		Home:     page.New(page.Config{Log: c.RekorURL.String(), Issuer: c.IdentityIssuer, Subject: signer.Subject}),
		Logger:   logger,
		Stall:    c.UpstreamTimeout,
	})
	return handler, func() {
		log.Close()
		signer.Close()
		registries.Close()
	}, nil
}

// trustOf returns the trust that the configuration names.
func trustOf(c config.Config) (*rekorlog.Trust, error) {
	if c.TrustedRoot != "" {
		return rekorlog.FileTrust(c.TrustedRoot), nil
	}
	t := rekorlog.TUF{URL: c.TUFURL}
	if c.TUFRoot != "" {
		b, err := os.ReadFile(c.TUFRoot)
		if err != nil {
			return nil, fmt.Errorf("TUF_ROOT: %w", err)
		}
		t.Root = b
	}
	// Without a place for a cache the repository is asked at every start.
	if dir, err := os.UserCacheDir(); err == nil {
		t.Cache = filepath.Join(dir, "tlogistry", "tuf")
	}
	return rekorlog.TUFTrust(t), nil
}
