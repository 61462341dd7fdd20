package rekorlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tuf"
	"github.com/theupdateframework/go-tuf/v2/metadata/fetcher"

	"github.com/tlogistry/tlogistry/internal/flight"
	"github.com/tlogistry/tlogistry/internal/tally"
)

const (
	// trustAge is how old a trusted root from TUF may be before it is fetched
	// anew. Sigstore renews its TUF timestamp within days.
	trustAge = 12 * time.Hour
	// staleTrust is how old the trusted root may be when it does not trust what
	// may be this identity's or the log's.
	staleTrust = 10 * time.Minute
	// trustPause is the time after a failed fetch in which the trusted root
	// held is used without trying again.
	trustPause = 5 * time.Minute
	// eagerPause is that time for what the trusted root held does not trust: as
	// long as there is no newer one, it cannot be served.
	eagerPause = time.Second
	// trustLimit is the time that a fetch may take.
	trustLimit = time.Minute
	// maxTrustedRoot bounds a trusted root file, in bytes. Sigstore's has 7 KiB.
	maxTrustedRoot = 4 << 20
)

// errOutdated says that what is not trusted may be by a newer trusted root, which
// cannot be had.
var errOutdated = errors.New("the trusted root may be out of date, and cannot be renewed")

// A Trust holds the trusted root: which logs and authorities to believe.
// It is safe for concurrent use.
type Trust struct {
	load    func(context.Context) (root.TrustedMaterial, error)
	maxAge  time.Duration
	flights *flight.Group[root.TrustedMaterial]

	mu      sync.Mutex
	current root.TrustedMaterial
	loaded  time.Time
	failed  time.Time // when loading failed last
}

// FileTrust returns the trust in a trusted_root.json. It is read on first need,
// and again where it does not trust what may be this identity's or the log's.
func FileTrust(path string) *Trust {
	return newTrust(math.MaxInt64, func(context.Context) (root.TrustedMaterial, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, maxTrustedRoot))
		if err != nil {
			return nil, err
		}
		tr, err := root.NewTrustedRootFromJSON(b)
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", path, err)
		}
		return tr, nil
	})
}

// A TUF names a TUF repository with a trusted_root.json.
type TUF struct {
	URL   string // empty: Sigstore's public-good repository
	Root  []byte // initial root.json; empty: the embedded one of the public-good repository
	Cache string // directory of verified metadata; empty: none is kept
}

// TUFTrust returns the trust in a TUF repository. It is fetched on first need
// and anew when it is older than 12 hours. Where the repository cannot be
// reached, the cache serves until its metadata expires, and so does what this
// process has fetched before. A cache that cannot be used is done without.
func TUFTrust(t TUF) *Trust {
	return newTrust(trustAge, func(ctx context.Context) (root.TrustedMaterial, error) {
		t := t
		if !usable(t.Cache) {
			t.Cache = ""
		}
		tr, err := t.fetch(ctx, false)
		if err == nil || t.Cache == "" {
			return tr, err
		}
		cached, cerr := t.fetch(ctx, true)
		if cerr != nil {
			return nil, errors.Join(err, cerr)
		}
		return cached, nil
	})
}

// fetch updates the metadata and returns the trusted root, or with onlyCache
// the one of the cache, if that is still valid.
func (t TUF) fetch(ctx context.Context, onlyCache bool) (root.TrustedMaterial, error) {
	o := tuf.DefaultOptions()
	if t.URL != "" {
		o.RepositoryBaseURL = t.URL
	}
	if len(t.Root) > 0 {
		o.Root = t.Root
	}
	o.CachePath = t.Cache
	o.DisableLocalCache = t.Cache == ""
	o.ForceCache = onlyCache
	f := fetcher.NewDefaultFetcher()
	f.SetHTTPClient(&http.Client{
		Transport: contextTransport{ctx},
		Timeout:   trustLimit,
	})
	o.Fetcher = f
	c, err := tuf.New(o)
	if err != nil {
		return nil, err
	}
	return root.GetTrustedRoot(c)
}

// usable reports whether a cache directory is there, or can be made, and can be
// written. It removes files that are not JSON, which go-tuf would fail on for
// ever: a full disk or a power cut leaves such.
func usable(dir string) bool {
	if dir == "" || os.MkdirAll(dir, 0o700) != nil {
		return false
	}
	probe, err := os.CreateTemp(dir, "probe-")
	if err != nil || errors.Join(probe.Close(), os.Remove(probe.Name())) != nil {
		return false
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil && !json.Valid(b) {
			err = os.Remove(path)
		}
		return err
	}) == nil
}

// A contextTransport gives requests the context that go-tuf leaves out.
type contextTransport struct{ ctx context.Context }

func (t contextTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return tally.RoundTrip(http.DefaultTransport, r.WithContext(t.ctx), tally.TUF)
}

func newTrust(maxAge time.Duration, load func(context.Context) (root.TrustedMaterial, error)) *Trust {
	return &Trust{load: load, maxAge: maxAge, flights: flight.NewGroup[root.TrustedMaterial](2 * trustLimit)}
}

// Material returns the trusted root, loading it if it is older than maxAge.
// If that fails, the one loaded before serves: who was trusted then is known,
// and who is not yet trusted is only missing.
func (t *Trust) Material(ctx context.Context, maxAge time.Duration) (root.TrustedMaterial, error) {
	if tm := t.held(maxAge); tm != nil {
		return tm, nil
	}
	tm, err := t.flights.Do(ctx, "", t.fetch(maxAge))
	if old := t.held(math.MaxInt64); err != nil && old != nil && ctx.Err() == nil {
		return old, nil
	}
	return tm, err
}

// Prepare begins to load the trusted root, if there is none yet or it is older
// than it may be, and does not wait for it.
func (t *Trust) Prepare(ctx context.Context) {
	if t.held(t.maxAge) == nil {
		t.flights.Start(ctx, "", t.fetch(t.maxAge))
	}
}

// Close waits for loading under way. What is loaded can be used afterwards.
func (t *Trust) Close() { t.flights.Close() }

// fetch returns the call that loads the trusted root, unless that was done
// since the caller looked.
func (t *Trust) fetch(maxAge time.Duration) func(context.Context) (root.TrustedMaterial, error) {
	return func(ctx context.Context) (root.TrustedMaterial, error) {
		if tm := t.held(maxAge); tm != nil {
			return tm, nil
		}
		tm, err := t.load(ctx)
		t.mu.Lock()
		defer t.mu.Unlock()
		if err != nil {
			t.failed = time.Now()
			return nil, fmt.Errorf("load the trusted root: %w", err)
		}
		t.current, t.loaded, t.failed = tm, time.Now(), time.Time{}
		return tm, nil
	}
}

// judge calls f with the trusted root. If f fails for want of trust, it is
// called again with a trusted root that is no older than staleTrust.
func (t *Trust) judge(ctx context.Context, f func(root.TrustedMaterial) error) error {
	tm, err := t.Material(ctx, t.maxAge)
	if err != nil {
		return err
	}
	err = f(tm)
	if !errors.Is(err, errUntrusted) && !errors.Is(err, errUnknownLog) {
		return err
	}
	again, terr := t.Material(ctx, staleTrust)
	if terr == nil && t.age() > staleTrust {
		terr = errOutdated
	}
	if terr != nil || again == tm {
		return errors.Join(err, terr)
	}
	return f(again)
}

// age is the time since the trusted root held was loaded.
func (t *Trust) age() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Since(t.loaded)
}

// held returns the trusted root loaded, unless it is older than maxAge and
// trying to load it anew has not just failed.
func (t *Trust) held(maxAge time.Duration) root.TrustedMaterial {
	t.mu.Lock()
	defer t.mu.Unlock()
	pause := trustPause
	if maxAge < t.maxAge {
		pause = eagerPause
	}
	if t.current == nil || time.Since(t.loaded) > maxAge && time.Since(t.failed) > pause {
		return nil
	}
	return t.current
}
