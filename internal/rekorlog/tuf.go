package rekorlog

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tuf"
	"github.com/theupdateframework/go-tuf/v2/metadata/fetcher"

	"github.com/tlogistry/tlogistry/internal/tally"
)

// A TUF names a TUF repository with a trusted_root.json.
type TUF struct {
	URL   string // empty: Sigstore's public-good repository
	Root  []byte // initial root.json; empty: the embedded one of the public-good repository
	Cache string // directory of verified metadata; empty: none is kept
}

// TUFTrust returns the trust in a TUF repository. It is fetched on first need
// and anew when it is older than 12 hours. Where the repository cannot be
// reached, the cache serves until its metadata expires, as one that may be out
// of date, and so does what this process has fetched before. A cache that cannot
// be used is done without.
func TUFTrust(t TUF) *Trust {
	var p parser
	return newTrust(trustAge, func(ctx context.Context) (root.TrustedMaterial, error) {
		t := t
		if !usable(t.Cache) {
			t.Cache = ""
		}
		text, err := t.fetch(ctx, false)
		if err == nil {
			return p.parse(text)
		}
		if t.Cache == "" {
			return nil, err
		}
		text, cerr := t.fetch(ctx, true)
		if cerr != nil {
			return nil, errors.Join(err, cerr)
		}
		cached, cerr := p.parse(text)
		return cached, errors.Join(err, cerr)
	})
}

// fetch updates the metadata and returns the trusted root's text, or with
// onlyCache the one of the cache, if that is still valid.
func (t TUF) fetch(ctx context.Context, onlyCache bool) ([]byte, error) {
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
	return c.GetTarget("trusted_root.json")
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
