package front

import (
	"net/http"
	"slices"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

const (
	// maxTargets bounds the targets that are remembered. Each has about 700 bytes.
	maxTargets = 1024

	// maxAddress bounds the host and the query of a target that is remembered. The
	// path has a bound by its grammar.
	maxAddress = 512
)

// A target is what a request asks for, as far as the request alone says it.
type target struct {
	ns     string // registry that a mirror's client named in the query
	req    ociref.Request
	name   string // req.String()
	pull   bool   // by a tag that is recorded
	exempt bool   // of a tag that is not, by the operator's wish
}

// An address is all of a request that its target depends on.
type address struct{ host, path, query string }

// targets remembers the targets of requests that were permitted: to parse and
// permit a path takes as long as the rest of an answer from memory. It is safe
// for concurrent use.
type targets struct{ byAddress *lru.Cache[address, *target] }

func newTargets() *targets {
	cache, err := lru.New[address, *target](maxTargets)
	if err != nil { // a constant size above zero cannot fail
		panic(err)
	}
	return &targets{cache}
}

// read notes what a request asks for, and returns the part of its query that is
// not for this service. Its error says why that is not given.
func (h *Handler) read(r *http.Request, t *trace) (query string, err error) {
	from := address{r.Host, r.URL.Path, r.URL.RawQuery}
	plain := r.URL.RawPath == ""
	if plain {
		if known, ok := h.targets.byAddress.Get(from); ok {
			t.target, t.kind, t.path = *known, known.req.Kind.String(), from.path
			return "", nil
		}
	}
	t.ns, query, err = ociref.CutNamespace(r.URL.RawQuery)
	if err != nil {
		return "", err
	}
	if t.req, err = ociref.ParseMirrored(t.ns, r.URL.EscapedPath()); err != nil {
		return "", err
	}
	t.kind, t.name = t.req.Kind.String(), t.req.String()
	t.pull = t.req.Kind == ociref.Manifest && t.req.Tag != "" && !t.req.Derived()
	if t.req.Kind == ociref.Ping {
		return query, nil
	}
	if err := h.permit(t.req, r.Host); err != nil {
		return "", err
	}
	t.exempt = t.pull && h.exempt(t.req)
	// What was parsed has no percent sign, so it is the path as it was sent.
	if plain && query == "" && len(from.host)+len(from.query) <= maxAddress {
		known := t.target
		h.targets.byAddress.Add(from, &known)
	}
	return query, nil
}

// exempt reports whether the operator lets a tag move.
func (h *Handler) exempt(req ociref.Request) bool {
	return slices.ContainsFunc(h.o.Mutable, func(p ociref.TagPattern) bool { return p.Match(req) })
}

// permit refuses a repository that is not to be pulled through this service.
func (h *Handler) permit(req ociref.Request, host string) error {
	switch {
	case req.LeadsTo(host):
		return errSelf
	case !req.AllowedBy(h.o.Allow):
		return &notAllowedError{repo: req.Repo}
	}
	return nil
}
