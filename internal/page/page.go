// Package page is what people see of the service: the home page, which says
// what it is, how to pull through it and whose records it believes in which
// log, and a page for each tag, with the tag's record, what proves it, and
// what the registry serves now. To look at a tag never records it.
//
//	/                        the home page
//	/tag/?image=<reference>  redirects to the tag's page; what the form sends
//	/tag/<reference>         the tag's page
//	/tag/<reference>.json    the same as JSON, which [View] documents
//
// A reference is as users type it, tag or digest included. Every spelling of
// it is redirected to the one that this package shows. Each page is JSON for
// who prefers application/json in Accept, or asks for ?format=json.
//
// An ending .json is of the page, not of the tag, if the reference has a tag or
// a digest and there is no parameter format. So a tag that ends in .json itself
// is at /tag/app:x.json?format=html, where the form leads to, and as JSON at
// /tag/app:x.json.json.
//
// The pages need no JavaScript and nothing from anywhere else, and their
// Content-Security-Policy allows neither.
package page

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/tlogistry/tlogistry/internal/flight"
	"github.com/tlogistry/tlogistry/internal/limit"
	"github.com/tlogistry/tlogistry/internal/ociref"
	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/upstream"
)

// A Log is what the pages need of a transparency log. Nothing here writes to
// it. Its methods must be safe for concurrent use.
type Log interface {
	// Lookup returns the verified sightings of ref, lowest index first.
	Lookup(ctx context.Context, ref string) ([]record.Sighting, error)
	// Resolve fills in the digest of a sighting without one, as in front.Log.
	Resolve(ctx context.Context, s record.Sighting, digest string) (record.Sighting, error)
	// Proof returns what proves a sighting.
	Proof(ctx context.Context, s record.Sighting) (record.Proof, error)
}

// A Registry tells which digest the tag of a request has. An error that is an
// *upstream.Error has a message for everybody.
type Registry interface {
	Digest(ctx context.Context, r ociref.Request) (string, error)
}

// A Config is what the pages tell, and of whom they ask it.
type Config struct {
	Log      Log
	Registry Registry

	Address string                                // the log's address, or its path at this service
	Key     string                                // verifier key of an embedded log; empty for another log
	Issuer  string                                // issuer of the identity
	Subject func(context.Context) (string, error) // the identity; nil if there is none

	// Entry returns the address of what the log itself shows of an entry, or
	// its path at this service. The proof is zero if there is none.
	Entry func(record.Sighting, record.Proof) string
	// Others returns what anybody recorded for ref, by this many entries at
	// most, and how many more there are. Nil: nobody else writes to the log.
	Others func(ctx context.Context, ref string, most int) (found []record.Witness, more int, err error)
	// Flags of `tlogistry verify` that name the log, beside the identity.
	Flags []string

	Trusted []record.Identity   // whose records count besides the own; nil: nobody's
	Mutable []ociref.TagPattern // tags that are passed through unrecorded; nil: none

	Allow   []ociref.Pattern // repositories that may be asked for; nil: every one
	Clients *limit.Clients   // requests below /tag/ that one client may make; nil: any
	Logger  *slog.Logger     // gets what a page does not tell; nil: nobody does
}

const (
	// lookLimit is how long all that a page tells may take.
	lookLimit = 10 * time.Second
	// partLimit is how long one part of it may take that may be missing.
	partLimit = 5 * time.Second
	// identityWait is how long a page waits to learn the identity.
	identityWait = 2 * time.Second

	// fresh is how long what was found out about a tag is told again without
	// asking anybody, and maxLooks of how many tags. One takes some 5 KiB; where
	// others and the log take all that they can get, 500.
	fresh    = 10 * time.Second
	maxLooks = 64
)

// Pages answer every path that is not the registry API's. They are safe for
// concurrent use.
type Pages struct {
	c       Config
	flights *flight.Group[*look]
	looks   *lru.Cache[string, *look]
}

// New returns the pages. They ask nobody before the first request.
func New(c Config) *Pages {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	looks, err := lru.New[string, *look](maxLooks)
	if err != nil { // a constant size above zero cannot fail
		panic(err)
	}
	return &Pages{c: c, flights: flight.NewGroup[*look](lookLimit), looks: looks}
}

// Close waits for what requests began, which has limits. What they use must
// be closed after it.
func (p *Pages) Close() { p.flights.Close() }

// ServeHTTP answers one request.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	form, err := formOf(r)
	a := &answer{}
	if err == nil {
		a, err = p.answer(r, form)
	}
	if err != nil {
		a = p.failure(r, err)
	}
	a.write(w, r, form)
}

// answer decides what to answer.
func (p *Pages) answer(r *http.Request, form form) (*answer, error) {
	path := r.URL.Path
	tag := path == "/tag" || strings.HasPrefix(path, "/tag/")
	switch {
	case path != "/" && !tag:
		return nil, errNotFound
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return nil, errMethod
	case path == "/":
		return p.home(r), nil
	}
	if err := p.c.Clients.Take(r); err != nil {
		return nil, err
	}
	if upstream.Looped(r.Header) {
		return nil, errLoop
	}
	rest := strings.TrimPrefix(strings.TrimPrefix(path, "/tag"), "/")
	if rest == "" {
		return p.typed(r, form)
	}
	return p.tag(r, rest, form)
}

// home is the home page.
func (p *Pages) home(r *http.Request) *answer {
	i := instance{Log: p.c.Address, Key: p.c.Key, Issuer: p.c.Issuer, Identity: p.subject(r.Context())}
	for _, id := range p.c.Trusted {
		i.Trusted = append(i.Trusted, trusted{id.Subject, id.Issuer})
	}
	for _, pattern := range p.c.Mutable {
		i.Mutable = append(i.Mutable, pattern.String())
	}
	return &answer{status: http.StatusOK, cache: "no-cache", page: "home", value: i, title: "tlogistry"}
}

// subject returns the identity, or nothing where there is none or it is not
// known in time.
func (p *Pages) subject(ctx context.Context) string {
	if p.c.Subject == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, identityWait)
	defer cancel()
	s, err := p.c.Subject(ctx)
	if err != nil {
		return ""
	}
	return s
}

// An instance is what the home page tells, as JSON.
type instance struct {
	Log      string `json:"log"`                // address of the log, or its path at this service
	Key      string `json:"key,omitempty"`      // verifier key of an embedded log
	Identity string `json:"identity,omitempty"` // whose records count; absent where it is not known at the moment
	Issuer   string `json:"issuer,omitempty"`   // its issuer

	Trusted []trusted `json:"trusted,omitempty"`     // whose records count besides
	Mutable []string  `json:"mutableTags,omitempty"` // patterns of tags that are passed through unrecorded
}

type trusted struct {
	Identity string `json:"identity"`
	Issuer   string `json:"issuer"`
}
