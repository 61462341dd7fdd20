package front

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/tlogistry/tlogistry/internal/ociref"
	"github.com/tlogistry/tlogistry/internal/upstream"
)

// blob sends the client to where a blob is, or passes it through where the
// registry leaves no other way.
func (h *Handler) blob(ctx context.Context, r *http.Request, req ociref.Request) (*answer, error) {
	b, err := h.o.Upstream.Blob(ctx, r.Method, req, r.Header)
	if err != nil {
		return nil, err
	}
	if b.Location != "" {
		return &answer{
			status: http.StatusTemporaryRedirect,
			fields: []field{{"Location", b.Location}, {"Docker-Content-Digest", req.Digest}},
		}, nil
	}
	return &answer{status: b.Status, shared: b.Header, stream: b.Body, spare: h.spare}, nil
}

// pass forwards what is neither checked nor recorded: tag lists, referrers and
// the tags that are derived from digests. ns and query are the two parts of the
// request's query; ns is for this service alone.
func (h *Handler) pass(ctx context.Context, r *http.Request, req ociref.Request, ns, query string) (*answer, error) {
	up, err := h.o.Upstream.Pass(ctx, req, upstream.Wish{
		Method: r.Method,
		Query:  query,
		Accept: r.Header["Accept"],
		Name:   typedName(r.URL.Path),
	})
	if err != nil {
		return nil, err
	}
	a := &answer{status: up.Status, header: clone(up.Header), body: up.Body}
	if next := nextPage(r.URL.Path, ns, up.Next); next != "" {
		a.header.Set("Link", "<"+next+`>; rel="next"`)
	}
	return a, nil
}

// nextPage returns the address of a list's next page, or "" if there is none:
// the path and ns are the client's own, so that it finds its way back, and the
// rest of the query is the registry's, which has no say in whom to ask.
func nextPage(path, ns, query string) string {
	_, query, _ = ociref.CutNamespace(query) // what it leaves is right whatever ns it cut
	if query == "" {
		return ""
	}
	if ns != "" {
		query += "&ns=" + url.QueryEscape(ns)
	}
	next := url.URL{Path: path, RawQuery: query}
	return next.String()
}

// typedName is the repository's name in the path of a tag list, as typed.
func typedName(path string) string {
	return strings.TrimSuffix(strings.TrimPrefix(path, "/v2/"), "/tags/list")
}
