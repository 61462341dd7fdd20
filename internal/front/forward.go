package front

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/tlogistry/tlogistry/internal/ociref"
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
			header: http.Header{"Location": {b.Location}, "Docker-Content-Digest": {req.Digest}},
		}, nil
	}
	return &answer{status: b.Status, header: clone(b.Header), stream: b.Body}, nil
}

// pass forwards what is neither checked nor recorded: tag lists, referrers and
// the tags that are derived from digests. ns and query are the two parts of the
// request's query; ns is for this service alone.
func (h *Handler) pass(ctx context.Context, r *http.Request, req ociref.Request, ns, query string) (*answer, error) {
	up, err := h.o.Upstream.Pass(ctx, r.Method, req, query, r.Header["Accept"])
	if err != nil {
		return nil, err
	}
	a := &answer{status: up.Status, header: clone(up.Header), body: up.Body}
	if next := nextPage(r.URL.Path, ns, up.Next); next != "" {
		a.header.Set("Link", "<"+next+`>; rel="next"`)
	}
	if req.Kind == ociref.Tags {
		a.header.Del("Content-Length")
		if r.Method == http.MethodGet {
			a.body = rename(up.Body, typedName(r.URL.Path))
		}
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

// rename sets the name in a tag list to what the client asked for. A body that
// is no tag list stays as it is.
func rename(body []byte, name string) []byte {
	var list map[string]json.RawMessage
	if err := json.Unmarshal(body, &list); err != nil || list["name"] == nil {
		return body
	}
	typed, err := json.Marshal(name)
	if err != nil {
		return body
	}
	list["name"] = typed
	renamed, err := json.Marshal(list)
	if err != nil {
		return body
	}
	return renamed
}
