package bench

import (
	"context"
	"errors"
	"net/http/httptest"
	"time"

	"github.com/tlogistry/tlogistry/e2e/bench/delay"
	"github.com/tlogistry/tlogistry/e2e/registry"
	"github.com/tlogistry/tlogistry/e2e/sigstore"
	"github.com/tlogistry/tlogistry/internal/record"
)

type delayOptions struct {
	Addr, Target string
	RoundTrip    time.Duration
}

type delayRole struct{ p *delay.Proxy }

// Address answers where the proxy listens.
func (d *delayRole) Address(_ none, addr *string) error {
	*addr = d.p.Addr()
	return nil
}

type registryRole struct{ r *registry.Registry }

// A Place is where a registry is: the host that is asked and counts, and the
// URL that takes pushes.
type Place struct{ Host, PushURL string }

// Place answers where the registry is.
func (r *registryRole) Place(_ none, p *Place) error {
	*p = Place{r.r.Host(), r.r.PushURL()}
	return nil
}

// Counts answers what was asked of the registry since the last time.
func (r *registryRole) Counts(_ none, c *registry.Counts) error {
	*c = r.r.Counts()
	r.r.Reset()
	return nil
}

type sigstoreRole struct {
	s                       *sigstore.Sigstore
	rekor, fulcio, metadata *sigstore.Proxy
	tuf                     *httptest.Server
	root                    []byte
}

func startSigstoreRole(o sigstore.Options) (*sigstoreRole, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := sigstore.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	r := &sigstoreRole{s: s}
	var errs [3]error
	r.rekor, errs[0] = sigstore.NewProxy(s.RekorURL)
	r.fulcio, errs[1] = sigstore.NewProxy(s.FulcioURL)
	r.metadata, errs[2] = sigstore.NewProxy(s.MetadataHost)
	repository, err := s.TUFRepository()
	if err := errors.Join(append(errs[:], err)...); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	r.tuf, r.root = httptest.NewServer(repository), repository.Root()
	return r, nil
}

func (s *sigstoreRole) close() error {
	s.tuf.Close()
	return errors.Join(s.rekor.Close(), s.fulcio.Close(), s.metadata.Close(), s.s.Close())
}

// Environment answers the environment of a service that uses this Sigstore. It
// reaches it through proxies that count.
func (s *sigstoreRole) Environment(_ none, env *[]string) error {
	*env = append(s.s.Env(), "REKOR_URL="+s.rekor.URL, "FULCIO_URL="+s.fulcio.URL, "GCE_METADATA_HOST="+s.metadata.Host)
	return nil
}

// A Repository is a TUF repository that serves the Sigstore's trusted root.
type Repository struct {
	URL  string
	Root []byte // its initial root.json
}

// TUF answers where the repository is.
func (s *sigstoreRole) TUF(_ none, r *Repository) error {
	*r = Repository{s.tuf.URL, s.root}
	return nil
}

// LogCounts are the requests that a service made of a Sigstore.
type LogCounts struct{ Search, Entries, Create, Certificate, Metadata int }

func (c LogCounts) total() int { return c.Search + c.Entries + c.Create + c.Certificate + c.Metadata }

// Counts answers what was asked since the last time.
func (s *sigstoreRole) Counts(_ none, c *LogCounts) error {
	rekor := s.rekor.Counts()
	*c = LogCounts{
		Search:      rekor["POST "+searchPath],
		Entries:     rekor["POST "+entriesPath],
		Create:      rekor["POST "+createPath],
		Certificate: s.fulcio.Count(),
		Metadata:    s.metadata.Count(),
	}
	for _, p := range []*sigstore.Proxy{s.rekor, s.fulcio, s.metadata} {
		p.Reset()
	}
	return nil
}

// A Wish is for proposals of entries: that each of the references is the digest.
type Wish struct {
	Email  string // who signs them; empty: somebody nobody trusts, in the service's name
	Refs   []string
	Digest string
	Salt   int // as many proposals of each
}

// Proposals answers signed proposals of entries, as bytes to be sent to Rekor.
func (s *sigstoreRole) Proposals(w Wish, proposals *[][]byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	author := func() (*sigstore.Author, error) { return s.s.Author(ctx, w.Email) }
	if w.Email == "" {
		leaf := sigstore.Leaf{Email: sigstore.DefaultEmail, Issuer: s.s.IssuerURL}
		author = func() (*sigstore.Author, error) { return s.s.OtherCA().Author(ctx, leaf) }
	}
	a, err := author()
	if err != nil {
		return err
	}
	id := record.Identity{Issuer: s.s.IssuerURL, Subject: sigstore.DefaultEmail}
	for _, ref := range w.Refs {
		statement, err := record.Statement{Identity: id, Ref: ref, Digest: w.Digest}.Encode()
		if err != nil {
			return err
		}
		for range max(w.Salt, 1) { // a signature is another one each time
			e, err := a.Sign(ctx, statement)
			if err != nil {
				return err
			}
			p, err := e.InToto()
			if err != nil {
				return err
			}
			*proposals = append(*proposals, p)
		}
	}
	return nil
}
