// Package service puts the parts together as the configuration says.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/tlogistry/tlogistry/internal/config"
	"github.com/tlogistry/tlogistry/internal/front"
	"github.com/tlogistry/tlogistry/internal/keyless"
	"github.com/tlogistry/tlogistry/internal/limit"
	"github.com/tlogistry/tlogistry/internal/page"
	"github.com/tlogistry/tlogistry/internal/ready"
	"github.com/tlogistry/tlogistry/internal/rekorlog"
	"github.com/tlogistry/tlogistry/internal/telemetry"
	"github.com/tlogistry/tlogistry/internal/upstream"
)

// A Backend is a transparency log as a service uses it.
type Backend struct {
	Log   front.Log
	Pages page.Config  // what is answered outside /v2/; New adds registries and limits
	Files http.Handler // what is answered below /tlog/; nil: nothing
	Ready []ready.Part // what the log needs to be of use
	Close func()       // waits for what requests began
}

// Options are what a service is given beside its configuration.
type Options struct {
	Local     Open                   // opens the embedded log; nil: there is none
	Telemetry *telemetry.Instruments // nil: nothing is measured
}

// An Open opens a log. The context bounds the opening.
type Open func(ctx context.Context, c config.Config, logger *slog.Logger) (Backend, error)

// A Service is the registry front with all that it needs.
type Service struct {
	Handler http.Handler
	closers []func()
}

// New returns the service that c describes. With Rekor it asks nobody for
// anything. Where there is no embedded log, a configuration that wants it is bad.
func New(ctx context.Context, c config.Config, logger *slog.Logger, o Options) (*Service, error) {
	open := Rekor
	if c.Log == config.Local {
		open = o.Local
	}
	if open == nil {
		return nil, fmt.Errorf("TLOG=%q: want rekor: there is no log in a directory here; the command has one", c.Log)
	}
	registries, err := Registries(c)
	if err != nil {
		return nil, err
	}
	warnOfCredentials(c, logger)
	log, err := open(ctx, c, logger)
	if err != nil {
		registries.Close()
		return nil, err
	}
	clients := limit.NewClients(c.RequestsPerMinute, c.TrustedHops)
	pages := newPages(log, c, registries, clients, logger)
	health := ready.New(logger, log.Ready...)
	return &Service{
		Handler: front.New(front.Options{
			Ready:     health,
			Telemetry: o.Telemetry,
			Log:       log.Log,
			Upstream:  registries,
			Allow:     c.Allow,
			Mutable:   c.Mutable,
			Clients:   clients,
			Home:      home(pages, log.Files),
			Logger:    logger,
			Stall:     c.UpstreamTimeout,
		}),
		closers: []func(){registries.Close, log.Close, pages.Close, health.Close},
	}, nil
}

// Close waits for what requests began in the log and closes everything, in the
// opposite order of opening. No request may come in any more.
func (s *Service) Close() {
	for _, end := range slices.Backward(s.closers) {
		end()
	}
}

// Registries returns the client of registries, with the credentials that c
// names. It reads DOCKER_CONFIG and asks nobody.
func Registries(c config.Config) (*upstream.Client, error) {
	u := upstream.Config{Mirrors: c.Upstreams, Timeout: c.UpstreamTimeout, Google: c.GoogleRegistryAuth}
	if c.DockerConfig != "" {
		var err error
		if u.Credentials, err = upstream.ReadDockerConfig(c.DockerConfig); err != nil {
			return nil, fmt.Errorf("DOCKER_CONFIG: %w", err)
		}
	}
	return upstream.New(u), nil
}

// warnOfCredentials says that everybody may use the credentials for everything.
// Who may call is for the platform to say, and not known here.
func warnOfCredentials(c config.Config, logger *slog.Logger) {
	if len(c.Allow) == 0 && (c.DockerConfig != "" || c.GoogleRegistryAuth) {
		logger.Warn("whoever may call this service may pull all that its credentials may: ALLOW is not set",
			"dockerConfig", c.DockerConfig, "googleRegistryAuth", c.GoogleRegistryAuth)
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
		Admit:   limit.NewRecords(c.NewRecordsPerMinute).Take,
		Issuer:  c.IdentityIssuer,
		Trusted: c.Trusted,
		Trust:   trust,
		Logger:  logger,
	})
	return Backend{
		Log:   log,
		Pages: rekorPages(c, log, signer.Subject),
		Ready: rekorParts(log, signer, trust),
		Close: func() {
			log.Close()
			signer.Close()
		},
	}, nil
}

// rekorParts are what a log on Rekor needs to serve tags that it has not seen.
// Fulcio is none of them: recorded tags, which are nearly all, need it not, and
// an instance that serves those must not be taken out of service for it.
func rekorParts(log *rekorlog.Log, signer *keyless.Signer, trust *rekorlog.Trust) []ready.Part {
	trusted := func(ctx context.Context) error {
		_, err := trust.Material(ctx)
		return err
	}
	return []ready.Part{
		{Name: "log", Check: func(ctx context.Context) error {
			if err := trusted(ctx); err != nil {
				return fmt.Errorf("%w: %w", ready.ErrUnverified, err)
			}
			_, err := log.Checkpoint(ctx, nil)
			if errors.Is(err, rekorlog.ErrLog) || errors.Is(err, rekorlog.ErrFork) {
				return fmt.Errorf("%w: %w", ready.ErrUnverified, err)
			}
			return err
		}},
		{Name: "identity", Check: signer.Ready},
		{Name: "trusted root", Check: trusted},
	}
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
	// Without a place for a cache the repository is asked at every start. One
	// that does not outlast the process only delays its first pull.
	if dir, err := os.UserCacheDir(); err == nil && !c.CloudRun {
		t.Cache = filepath.Join(dir, "tlogistry", "tuf")
	}
	return rekorlog.TUFTrust(t), nil
}
