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
	Header http.Header // Content-Type, ETag, Last-Modified, OCI-Filters-Applied, OCI-Subject, Ratelimit-*; for a manifest Docker-Content-Digest; for HEAD Content-Length, unless it is a tag list
	Body   []byte      // at most 4 MiB, but for a name that is longer; a JSON object; nil for HEAD
	Next   string      // raw query for the next page; empty on the last
}

// A Wish is what a client asks for in a request that is passed through.
type Wish struct {
	Method string   // GET or HEAD
	Query  string   // raw; at most 4 KiB
	Accept []string // header values; without any those that fit are sent
	Name   string   // of the repository as typed, for the tag list's "name"
}

// Pass forwards a tag list, a referrers request, or a manifest request for a
// tag that is derived from a digest.
//
// The answer's Link is not among its headers: it names the upstream's path.
// Next holds its query. A registry that has no API for referrers is one that
// knows none: 404, whatever it says itself.
//
// Redirects are followed. The whole takes no longer than [Config].Timeout.
// Lists longer than 4 MiB are an error: clients do not read them either.
// Errors are *[Error].
func (c *Client) Pass(ctx context.Context, r ociref.Request, w Wish) (*Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if !isQuery(w.Query) {
		return nil, &Error{Status: http.StatusBadRequest, Code: "UNSUPPORTED", Message: "the query is not one, or too long"}
	}
	to := c.registry(r.Registry())
	q := passQuestion(to, r, w.Method)
	q.url.RawQuery = w.Query
	if size := len(strings.Join(w.Accept, "")); size > 0 && size <= maxAccept {
		q.header = http.Header{"Accept": w.Accept}
	}
	resp, err := c.ask(ctx, q)
	if err != nil {
		return nil, err
	}
	if lacksReferrers(r, resp, w.Method) {
		resp.StatusCode = http.StatusNotFound
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refused(to, r, resp)
	}
	a, err := answer(resp, r, w)
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
func answer(resp *http.Response, r ociref.Request, w Wish) (*Answer, error) {
	a := &Answer{
		Status: resp.StatusCode,
		Header: pick(resp.Header, "ETag", "Last-Modified", "OCI-Filters-Applied", "OCI-Subject"),
	}
	var err error
	switch {
	case r.Kind == ociref.Manifest:
		err = a.manifest(resp, w.Method)
	case r.Kind == ociref.Tags:
		err = a.tags(resp, w)
	default:
		err = a.list(resp, w.Method, string(types.OCIImageIndex))
	}
	if err != nil {
		return nil, err
	}
	if length := resp.Header.Get("Content-Length"); w.Method == http.MethodHead && length != "" && r.Kind != ociref.Tags {
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

// tags takes over a tag list. Its length is another one with another name.
func (a *Answer) tags(resp *http.Response, w Wish) error {
	err := a.list(resp, w.Method, "application/json")
	if err == nil && a.Body != nil {
		a.Body, err = renamed(a.Body, w.Name)
	}
	return err
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
