package upstream

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/tlogistry/tlogistry/internal/ociref"
)

// Bounds of what a client may add to a request that is passed through.
const (
	maxQuery  = 4 << 10
	maxAccept = 4 << 10
)

// An Answer is an upstream's answer that is passed on.
type Answer struct {
	Status int         // always 200; everything else is an error
	Header http.Header // Content-Type, ETag, Last-Modified, OCI-Filters-Applied, OCI-Subject, Ratelimit-*; for a manifest Docker-Content-Digest; for HEAD Content-Length
	Body   []byte      // at most 4 MiB, a JSON object; nil for HEAD
	Next   string      // raw query for the next page; empty on the last
}

// Pass forwards a tag list, a referrers request, or a manifest request for a
// tag that is derived from a digest, with the method GET or HEAD. The query
// and the Accept headers are the client's; without Accept headers they are
// those that fit.
//
// The answer's Link is not among its headers: it names the upstream's path.
// Next holds its query. The "name" in a tag list is the upstream's, too.
//
// Redirects are followed. The whole takes no longer than [Config].Timeout.
// Lists longer than 4 MiB are an error: clients do not read them either.
// Errors are *[Error].
func (c *Client) Pass(ctx context.Context, method string, r ociref.Request, rawQuery string, accept []string) (*Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if !isQuery(rawQuery) {
		return nil, &Error{Status: http.StatusBadRequest, Code: "UNSUPPORTED", Message: "the query is not one, or too long"}
	}
	to := c.registry(r.Registry())
	q := passQuestion(to, r, method)
	q.url.RawQuery = rawQuery
	if size := len(strings.Join(accept, "")); size > 0 && size <= maxAccept {
		q.header = http.Header{"Accept": accept}
	}
	resp, err := c.ask(ctx, q)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refused(to, r, resp)
	}
	a, err := answer(resp, r, method)
	if err != nil {
		return nil, contradiction(to, err)
	}
	return a, nil
}

func passQuestion(to *registry, r ociref.Request, method string) question {
	q := manifestQuestion(to, r, method)
	switch r.Kind {
	case ociref.Tags:
		q.url = to.url(r.Repository(), "tags/list")
		q.header = http.Header{"Accept": {"application/json"}}
	case ociref.Referrers:
		q.url = to.url(r.Repository(), "referrers/"+r.Digest)
		q.header = http.Header{"Accept": {string(types.OCIImageIndex)}}
	}
	return q
}

// answer checks what may be passed on. A list's Content-Type is the one that
// the specification sets, because registries leave it out.
func answer(resp *http.Response, r ociref.Request, method string) (*Answer, error) {
	a := &Answer{
		Status: resp.StatusCode,
		Header: pick(resp.Header, "ETag", "Last-Modified", "OCI-Filters-Applied", "OCI-Subject"),
	}
	var err error
	switch {
	case r.Kind == ociref.Manifest:
		err = a.manifest(resp, method)
	case r.Kind == ociref.Tags:
		err = a.list(resp, method, "application/json")
	default:
		err = a.list(resp, method, string(types.OCIImageIndex))
	}
	if err != nil {
		return nil, err
	}
	if length := resp.Header.Get("Content-Length"); method == http.MethodHead && length != "" {
		a.Header.Set("Content-Length", length)
	}
	a.Next, err = next(resp.Header.Values("Link"), resp.Request.URL)
	if err != nil {
		return nil, err
	}
	return a, nil
}

func (a *Answer) list(resp *http.Response, method, mediaType string) error {
	a.Header.Set("Content-Type", mediaType)
	if method == http.MethodHead {
		return nil
	}
	body, err := whole(resp)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) || !json.Valid(body) {
		return errors.New("the list is not a JSON object")
	}
	a.Body = body
	return nil
}

func (a *Answer) manifest(resp *http.Response, method string) error {
	if method != http.MethodHead {
		m, err := checked(resp, "")
		if err != nil {
			return err
		}
		a.Body = m.Bytes
		a.Header.Set("Content-Type", m.MediaType)
		a.Header.Set(digestHeader, m.Digest)
		return nil
	}
	kind, err := named(resp.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	a.Header.Set("Content-Type", cmp.Or(kind, "application/octet-stream"))
	if digest := resp.Header.Get(digestHeader); ociref.IsDigest(digest) {
		a.Header.Set(digestHeader, digest)
	}
	return nil
}

// isQuery reports whether s is a query that can be sent as it is.
func isQuery(s string) bool {
	_, err := url.ParseQuery(s)
	return err == nil && len(s) <= maxQuery && printable(s) && !strings.ContainsAny(s, "#\"<>")
}
