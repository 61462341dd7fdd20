package upstream

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

// maxRange bounds a Range header. One that is longer is left out, which the
// specification of HTTP allows: the answer is then the whole blob.
const maxRange = 16 << 10

// A Blob is the answer to a request for a blob: either a Location, or a
// Status with Header and Body.
type Blob struct {
	Location string        // where to send the client with 307; else empty
	Status   int           // 200, 206 or 416 if Location is empty
	Header   http.Header   // Accept-Ranges, Content-Length, -Range and -Type, Docker-Content-Digest, ETag, Last-Modified, Ratelimit-*
	Body     io.ReadCloser // nil for HEAD and with a Location; else the caller closes it
}

// Blob asks for a blob with the method GET or HEAD. Of header it sends Range
// and If-Range.
//
// GET sends the client to where the bytes are if it can:
//
//   - A registry that wants no token is where they are. It is not asked.
//   - Otherwise it is asked, and its redirect is not followed but returned.
//     The address is checked and never holds a token.
//   - A registry that answers with the bytes itself would not answer a client
//     that has no token, so the bytes are streamed through.
//
// A mapped registry may be out of a client's reach. It is always asked, its
// redirects to other origins are returned and those to its own are followed,
// and what it answers itself is streamed.
//
// A stream ends with an error if no bytes come for [Config].Timeout. Its bytes
// are not compared with the digest: the client does that, and nothing is kept.
//
// HEAD follows redirects, except a mapped registry's to other origins, which
// the guard would not let it follow: those are returned. Some registries refuse HEAD for a blob and not GET;
// the answer is then taken from the header of a GET. Errors are *[Error].
func (c *Client) Blob(ctx context.Context, method string, r ociref.Request, header http.Header) (*Blob, error) {
	to := c.registry(r.Registry())
	q := question{
		to:     to,
		repo:   r.Repository(),
		method: method,
		url:    to.url(r.Repository(), "blobs/"+r.Digest),
		header: ranges(header),
	}
	if method == http.MethodHead {
		return c.describe(ctx, q, r)
	}
	if !to.mapped() {
		ch, err := c.challenge(ctx, to)
		if err != nil {
			return nil, err
		}
		if ch.Scheme == "" {
			return elsewhere(to, q.url)
		}
	}
	q.stop = func(next *url.URL) bool { return !to.mapped() || !to.owns(next) }
	return c.open(ctx, q, r)
}

// open asks for a blob's bytes, and returns the address of another place or
// the stream.
func (c *Client) open(ctx context.Context, q question, r ociref.Request) (*Blob, error) {
	s := newStall(ctx, c.timeout)
	q.stream = true
	resp, err := c.ask(s.ctx, q)
	if err != nil {
		s.end()
		return nil, err
	}
	s.body = resp.Body
	if redirects(resp.StatusCode) {
		defer s.Close()
		next, err := resp.Location()
		if err != nil {
			return nil, badAnswer(q.to, err)
		}
		return elsewhere(q.to, next)
	}
	blob, err := described(q, r, resp)
	if err != nil {
		s.Close()
		return nil, err
	}
	s.timer.Stop()
	blob.Body = s
	return blob, nil
}

// elsewhere returns the answer that sends a client to an address.
func elsewhere(to *registry, u *url.URL) (*Blob, error) {
	where, err := location(u, to.mapped())
	if err != nil {
		return nil, contradiction(to, err)
	}
	return &Blob{Location: where}, nil
}

// describe answers HEAD.
func (c *Client) describe(ctx context.Context, q question, r ociref.Request) (*Blob, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	q.once = true
	q.stop = func(next *url.URL) bool { return q.to.mapped() && !q.to.owns(next) }
	resp, err := c.ask(ctx, q)
	if err != nil {
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusMethodNotAllowed:
		q.method, q.once, q.stream = http.MethodGet, false, true
		if resp, err = c.ask(ctx, q); err != nil {
			return nil, err
		}
		defer resp.Body.Close()
	}
	if redirects(resp.StatusCode) {
		next, err := resp.Location()
		if err != nil {
			return nil, badAnswer(q.to, err)
		}
		return elsewhere(q.to, next)
	}
	return described(q, r, resp)
}

// described returns a blob's status and header, without a body.
func described(q question, r ociref.Request, resp *http.Response) (*Blob, error) {
	switch status := resp.StatusCode; {
	case !streamed(status):
		return nil, refused(q.to, r, resp)
	case status != http.StatusOK && q.header.Get("Range") == "":
		return nil, contradiction(q.to, fmt.Errorf("status %d, but no range was asked for", status))
	}
	b := &Blob{
		Status: resp.StatusCode,
		Header: pick(resp.Header, "Accept-Ranges", "Content-Length", "Content-Range", "ETag", "Last-Modified"),
	}
	b.Header.Set("Content-Type", blobType(resp.Header.Get("Content-Type")))
	b.Header.Set(digestHeader, r.Digest)
	return b, nil
}

// blobType returns the Content-Type of a blob: bytes, or several ranges of
// them. A browser is not told anything else by a stranger.
func blobType(said string) string {
	kind, params, err := mime.ParseMediaType(said)
	if err != nil || kind != "multipart/byteranges" {
		return "application/octet-stream"
	}
	if whole := mime.FormatMediaType(kind, params); len(whole) <= maxValue {
		return whole
	}
	return "application/octet-stream"
}

// ranges returns what goes upstream of a client's header.
func ranges(header http.Header) http.Header {
	sent := http.Header{}
	if r := header.Get("Range"); r != "" && len(r) <= maxRange {
		sent.Set("Range", r)
		if v := header.Get("If-Range"); v != "" {
			sent.Set("If-Range", v)
		}
	}
	return sent
}

// A stall is a body that may not be silent for too long. Only waiting for the
// registry counts, not the time that the reader takes.
type stall struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	limit  time.Duration
	body   io.ReadCloser
}

func newStall(ctx context.Context, limit time.Duration) *stall {
	ctx, cancel := context.WithCancelCause(ctx)
	silent := fmt.Errorf("nothing came for %v: %w", limit, context.DeadlineExceeded)
	return &stall{
		ctx:    ctx,
		cancel: cancel,
		timer:  time.AfterFunc(limit, func() { cancel(silent) }),
		limit:  limit,
	}
}

func (s *stall) Read(p []byte) (int, error) {
	s.timer.Reset(s.limit)
	defer s.timer.Stop()
	n, err := s.body.Read(p)
	if err != nil && err != io.EOF && s.ctx.Err() != nil {
		err = context.Cause(s.ctx)
	}
	return n, err
}

// Close ends the exchange.
func (s *stall) Close() error {
	defer s.end()
	return s.body.Close()
}

func (s *stall) end() {
	s.timer.Stop()
	s.cancel(context.Canceled)
}
