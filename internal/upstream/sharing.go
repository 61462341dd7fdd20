package upstream

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/tlogistry/tlogistry/internal/ociref"
	"github.com/tlogistry/tlogistry/internal/tally"
)

// firstPatience is how long a tag whose digest HEAD has told waits for the
// repository's first GET. That one was sent before HEAD was, and takes hardly
// longer; one that does holds nobody up, and costs a GET more.
const firstPatience = time.Second

// A first is the GET of a tag that was sent because memory held nothing that
// the tag might name. Until it is answered nobody knows which digest it is for.
type first struct {
	ended    chan struct{}
	manifest *Manifest // what came; nil for an error; not to be read before the end
}

// firsts has the first of each repository that is under way: one at a time, so
// that the tags of an image that are asked for meanwhile can wait for it. It is
// safe for concurrent use.
//
// Who waits for whom has no circle. The flight of a tag waits for a first and
// then for the flight of a digest. A first is in the flight of a tag that waits
// for neither, and the flight of a digest knows of no tag. Both wait for the
// registry alone, its ping and token included, and for room for a long body,
// which nobody holds who waits for a flight.
//
// A pull by digest does not wait for a first, which most often would be for
// something else.
type firsts struct {
	mu  sync.Mutex
	now map[string]*first // by repository
}

// begin begins the repository's first if memory has nothing that the tag may
// name and no other is under way. Otherwise it returns the one that is, or nil.
func (s *firsts) begin(held *memory, repo, tag string) (f *first, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, ok := s.now[repo]; ok {
		return f, false
	}
	// What a first brought is in memory before it ends.
	if _, likely := held.last(repo, tag); likely {
		return nil, false
	}
	f = &first{ended: make(chan struct{})}
	s.now[repo] = f
	return f, true
}

// end ends a repository's first with what came, or nil.
func (s *firsts) end(repo string, f *first, m *Manifest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.now, repo)
	f.manifest = m
	close(f.ended)
}

// wait returns what a first brings, if that has the digest and does not take
// too long. Without a first there is nothing to wait for.
func (f *first) wait(ctx context.Context, digest string) *Manifest {
	if f == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, firstPatience)
	defer cancel()
	select {
	case <-f.ended:
		if f.manifest != nil && f.manifest.Digest == digest {
			return f.manifest
		}
	case <-ctx.Done():
	}
	return nil
}

// byDigest returns a manifest from memory, or fetches it for all who want it
// at the same time, by whatever tag.
func (c *Client) byDigest(ctx context.Context, to *registry, r ociref.Request) (*Manifest, error) {
	if m := c.memory.get(r.Repo, r.Digest); m != nil {
		tally.Note(ctx, tally.ManifestHit, 1)
		return m, nil
	}
	return c.digests.Do(ctx, r.String(), func(ctx context.Context) (*Manifest, error) {
		if m := c.memory.get(r.Repo, r.Digest); m != nil { // a flight has ended since the look
			tally.Note(ctx, tally.ManifestHit, 1)
			return m, nil
		}
		tally.Note(ctx, tally.ManifestMiss, 1)
		return c.fetch(ctx, to, r)
	})
}

// told returns the manifest of the digest that the answer to HEAD tells, from
// memory or by a GET that is shared. It returns nil where the answer tells
// none, or where the registry does not stand by it: then GET by tag decides.
// A tag that moves meanwhile is what it was when HEAD was answered.
func (c *Client) told(ctx context.Context, to *registry, r ociref.Request, answer http.Header, f *first) (*Manifest, error) {
	digest := answer.Get(digestHeader)
	if !ociref.IsDigest(digest) {
		return nil, nil
	}
	if m := c.memory.fresh(r, answer); m != nil {
		tally.Note(ctx, tally.ManifestHit, 1)
		return m, nil
	}
	m := f.wait(ctx, digest)
	if m == nil {
		var err error
		if m, err = c.byDigest(ctx, to, ociref.Request{Kind: r.Kind, Repo: r.Repo, Digest: digest}); err != nil {
			return nil, unlessRefused(err)
		}
	}
	c.memory.add(r.Repo, r.Tag, m)
	return m, nil
}

// unlessRefused returns nil for the error of a registry that has answered and
// has not what was asked for, by its own fault or not.
func unlessRefused(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return err
	}
	return nil
}
