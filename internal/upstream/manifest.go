package upstream

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/tlogistry/tlogistry/internal/ociref"
	"github.com/tlogistry/tlogistry/internal/tally"
)

// acceptAll is sent for every manifest, whatever the client accepts: a registry
// may answer one tag with different bytes for different lists, and then the
// first client would decide what a tag is.
var acceptAll = []string{strings.Join([]string{
	string(types.OCIImageIndex),
	string(types.DockerManifestList),
	string(types.OCIManifestSchema1),
	string(types.DockerManifestSchema2),
}, ", ")}

const digestHeader = "Docker-Content-Digest"

// A Manifest is a manifest whose bytes have the digest.
type Manifest struct {
	Digest    string      // "sha256:" and 64 hex digits, computed from Bytes
	MediaType string      // OCI image index or manifest, Docker manifest list or schema 2; agrees with Bytes
	Bytes     []byte      // at most 4 MiB; shared, not to be changed
	Header    http.Header // ETag, Last-Modified, OCI-Subject, Ratelimit-*; shared, not to be changed
}

// Manifest fetches the manifest that r names by tag or digest.
//
// A digest that this process has fetched from the repository before costs no
// request. A tag costs a HEAD, which tells its digest, and nothing more where
// that one's manifest is in memory; otherwise it costs a GET as well, one for
// all tags of the digest. Where nothing is in memory that the tag may name, HEAD
// would not help: then it costs a GET alone, unless that is the case of another
// tag of the repository at the same time. HEAD is not counted against Docker
// Hub's quota, GET is: one for each digest, as long as it stays in memory.
//
// The same request made twice at a time is sent once. The whole takes no
// longer than [Config].Timeout. Errors are *[Error].
func (c *Client) Manifest(ctx context.Context, r ociref.Request) (*Manifest, error) {
	to := c.registry(r.Registry())
	var m *Manifest
	var err error
	if r.Tag == "" {
		m, err = c.byDigest(ctx, to, r)
	} else {
		do := c.tags.Do
		if last, likely := c.memory.last(r.Repo, r.Tag); last != "" && likely {
			do = c.tags.DoInline // one HEAD, unless the tag has moved
		}
		m, err = do(ctx, r.String(), func(ctx context.Context) (*Manifest, error) { return c.byTag(ctx, to, r) })
	}
	if err != nil {
		return nil, c.given(ctx, to, err)
	}
	return m, nil
}

// byTag fetches the manifest that a tag names now.
func (c *Client) byTag(ctx context.Context, to *registry, r ociref.Request) (m *Manifest, err error) {
	f, mine := c.firsts.begin(c.memory, r.Repo, r.Tag)
	if mine {
		defer func() { c.firsts.end(r.Repo, f, m) }()
	} else if m, err = c.current(ctx, to, r, f); m != nil || err != nil {
		return m, err
	}
	tally.Note(ctx, tally.ManifestMiss, 1)
	return c.fetch(ctx, to, r)
}

// current returns the manifest that HEAD tells the tag names.
// It returns nil where only GET can tell, which includes registries that do not
// answer HEAD as they answer GET. That a tag which was served before is gone is
// believed; that another one is not there, GET tells with the registry's words.
func (c *Client) current(ctx context.Context, to *registry, r ociref.Request, f *first) (*Manifest, error) {
	last, _ := c.memory.last(r.Repo, r.Tag)
	resp, err := c.ask(ctx, manifestQuestion(to, r, http.MethodHead))
	if err != nil {
		return nil, err
	}
	switch status := resp.StatusCode; {
	case status == http.StatusOK:
		return c.told(ctx, to, r, resp.Header, f)
	case status == http.StatusNotFound && last != "", status == http.StatusTooManyRequests, status >= 500:
		return nil, refused(to, r, resp)
	}
	return nil, nil
}

// fetch gets a manifest and keeps it.
func (c *Client) fetch(ctx context.Context, to *registry, r ociref.Request) (*Manifest, error) {
	resp, err := c.ask(ctx, manifestQuestion(to, r, http.MethodGet))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refused(to, r, resp)
	}
	m, err := checked(resp, r.Digest)
	if err != nil {
		return nil, contradiction(to, err)
	}
	c.memory.add(r.Repo, r.Tag, m)
	return m, nil
}

func manifestQuestion(to *registry, r ociref.Request, method string) question {
	reference := r.Tag
	if reference == "" {
		reference = r.Digest
	}
	return question{
		to:     to,
		repo:   r.Repository(),
		method: method,
		url:    to.url(r.Repository(), "manifests/"+reference),
		header: http.Header{"Accept": acceptAll},
	}
}

// checked returns the manifest in an answer, if all there is of the answer
// agrees with its bytes. digest is what was asked for, or empty.
func checked(resp *http.Response, digest string) (*Manifest, error) {
	body, err := whole(resp)
	if err != nil {
		return nil, err
	}
	m := &Manifest{
		Digest: sum(body),
		Bytes:  body,
		Header: pick(resp.Header, "ETag", "Last-Modified", "OCI-Subject"),
	}
	if digest != "" && m.Digest != digest {
		return nil, fmt.Errorf("asked for %s, got bytes of %s", digest, m.Digest)
	}
	for _, said := range resp.Header.Values(digestHeader) {
		if said != m.Digest {
			return nil, fmt.Errorf("header %s says %q, the bytes have %s", digestHeader, cut(said), m.Digest)
		}
	}
	m.MediaType, err = mediaType(resp.Header.Get("Content-Type"), body)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// whole returns the body of an answer whose bytes are as they are stored and
// not too many. A trip has read it already.
func whole(resp *http.Response) ([]byte, error) {
	if encoding := resp.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return nil, fmt.Errorf("content encoding %q was not asked for", cut(encoding))
	}
	var text []byte
	if b, ok := resp.Body.(body); ok {
		text = b.text
	}
	switch {
	case len(text) > maxBody, resp.ContentLength > maxBody:
		return nil, fmt.Errorf("longer than %d bytes", maxBody)
	case len(text) == 0:
		return nil, errors.New("empty")
	}
	return text, nil
}

func sum(b []byte) string {
	digest := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(digest[:])
}
