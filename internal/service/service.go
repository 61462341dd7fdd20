// Package service puts the parts together as the configuration says.
package service

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/tlogistry/tlogistry/internal/config"
	"github.com/tlogistry/tlogistry/internal/front"
	"github.com/tlogistry/tlogistry/internal/keyless"
	"github.com/tlogistry/tlogistry/internal/page"
	"github.com/tlogistry/tlogistry/internal/rekorlog"
	"github.com/tlogistry/tlogistry/internal/tilelog"
	"github.com/tlogistry/tlogistry/internal/upstream"
)

// closeLimit is how long the embedded log may take to close.
const closeLimit = 10 * time.Second

// A Service is the registry front with all that it needs.
type Service struct {
	Handler http.Handler
	closers []func()
}

// New returns the service that c describes. With Rekor it asks nobody for
// anything; with the embedded log it opens that, which ctx bounds.
func New(ctx context.Context, c config.Config, logger *slog.Logger) (*Service, error) {
	s := new(Service)
	registries := upstream.New(upstream.Config{Mirrors: c.Upstreams, Timeout: c.UpstreamTimeout})
	s.closers = append(s.closers, registries.Close)
	options := front.Options{
		Upstream: registries,
		Allow:    c.Allow,
		Logger:   logger,
		Stall:    c.UpstreamTimeout,
	}
	open := s.openRekor
	if c.Log == config.Local {
		open = s.openLocal
	}
	if err := open(ctx, c, &options); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close waits for what requests began in the log and closes everything, in the
// opposite order of opening. No request may come in any more.
func (s *Service) Close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
}

func (s *Service) openRekor(_ context.Context, c config.Config, o *front.Options) error {
	trust, err := Trust(c)
	if err != nil {
		return err
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
		Logger:  o.Logger,
	})
	s.closers = append(s.closers, signer.Close, log.Close)
	o.Log = log
	o.Home = page.New(page.Config{Log: c.RekorURL.String(), Issuer: c.IdentityIssuer, Subject: signer.Subject})
	s.Handler = front.New(*o)
	return nil
}

func (s *Service) openLocal(ctx context.Context, c config.Config, o *front.Options) error {
	log, err := tilelog.Open(ctx, tilelog.Config{Dir: c.LogDir, WitnessPolicy: c.WitnessPolicy, Logger: o.Logger})
	if err != nil {
		return fmt.Errorf("TLOG_DIR: %w", err)
	}
	s.closers = append(s.closers, func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
		defer cancel()
		if err := log.Close(ctx); err != nil {
			o.Logger.Error("close the log", "error", err.Error())
		}
	})
	o.Log = log
	mux := http.NewServeMux()
	mux.Handle("/tlog/", http.StripPrefix("/tlog", log.Handler()))
	mux.Handle("/", page.New(page.Config{Log: "/tlog/", Key: log.VerifierKey()}))
	o.Home = mux
	s.Handler = front.New(*o)
	return nil
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
