package upstream

import (
	"context"
	"net/http"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

// Digest asks which digest the tag that r names has at its registry, for
// telling people. It costs a HEAD, which no registry counts as a pull, and a
// [Client.Manifest] where that tells nothing. What HEAD says is not checked
// against the manifest's bytes, so nothing may be served or recorded by it.
//
// The whole takes no longer than [Config].Timeout. Errors are *[Error].
func (c *Client) Digest(ctx context.Context, r ociref.Request) (string, error) {
	to := c.registry(r.Registry())
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	resp, err := c.ask(ctx, manifestQuestion(to, r, http.MethodHead))
	if err != nil {
		return "", c.given(ctx, to, err)
	}
	switch status := resp.StatusCode; {
	case status == http.StatusOK:
		if said := resp.Header.Get(digestHeader); ociref.IsDigest(said) {
			return said, nil
		}
	case status == http.StatusNotFound, status == http.StatusTooManyRequests, status >= 500:
		return "", refused(to, r, resp)
	}
	m, err := c.Manifest(ctx, r)
	if err != nil {
		return "", err
	}
	return m.Digest, nil
}
