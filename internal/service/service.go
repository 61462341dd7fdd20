// Package service puts the parts together as the configuration says.
package service

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/tlogistry/tlogistry/internal/config"
	"github.com/tlogistry/tlogistry/internal/front"
	"github.com/tlogistry/tlogistry/internal/keyless"
	"github.com/tlogistry/tlogistry/internal/page"
	"github.com/tlogistry/tlogistry/internal/rekorlog"
	"github.com/tlogistry/tlogistry/internal/upstream"
)

// A Backend is a transparency log as a service uses it.
type Backend struct {
	Log   front.Log
	Home  http.Handler // what is answered outside /v2/
	Close func()       // waits for what requests began
}

// An Open opens a log. The context bounds the opening.
type Open func(ctx context.Context, c config.Config, logger *slog.Logger) (Backend, error)

// A Service is the registry front with all that it needs.
type Service struct {
	Handler http.Handler
	closers []func()
}

// New returns the service that c describes. With Rekor it asks nobody for
// anything. The embedded log is opened by local; where that is nil there is
// none, and a configuration that wants it is bad.
func New(ctx context.Context, c config.Config, logger *slog.Logger, local Open) (*Service, error) {
	open := Rekor
	if c.Log == config.Local {
		open = local
	}
	if open == nil {
		return nil, fmt.Errorf("TLOG=%q: want rekor: there is no log in a directory here; the command has one", c.Log)
	}
	log, err := open(ctx, c, logger)
	if err != nil {
		return nil, err
	}
	registries := upstream.New(upstream.Config{Mirrors: c.Upstreams, Timeout: c.UpstreamTimeout})
	return &Service{
		Handler: front.New(front.Options{
			Log:      log.Log,
			Upstream: registries,
			Allow:    c.Allow,
			Home:     log.Home,
			Logger:   logger,
			Stall:    c.UpstreamTimeout,
		}),
		closers: []func(){registries.Close, log.Close},
	}, nil
}

// Close waits for what requests began in the log and closes everything, in the
// opposite order of opening. No request may come in any more.
func (s *Service) Close() {
	for _, end := range slices.Backward(s.closers) {
		end()
	}
}

// Rekor opens the log on Rekor. It asks nobody before the first use.
func Rekor(_ context.Context, c config.Config, logger *slog.Logger) (Backend, error) {
	trust, err := Trust(c)
	if err != nil {
		return Backend{}, err
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
	return Backend{
		Log:  log,
		Home: page.New(page.Config{Log: c.RekorURL.String(), Issuer: c.IdentityIssuer, Subject: signer.Subject}),
		Close: func() {
			log.Close()
			signer.Close()
		},
	}, nil
}

// Trust returns the trust in logs and authorities that c names.
func Trust(c config.Config) (*rekorlog.Trust, error) {
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
