package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/tlogistry/tlogistry/internal/tally"
)

const (
	maxBody      = 4 << 20  // of a manifest: the floor that the distribution specification sets and clients' ceiling
	smallBody    = 32 << 10 // needs no room
	otherBody    = 64 << 10 // of anything else than a manifest or list
	maxRedirects = 5
	maxTries     = 3
	firstDelay   = 100 * time.Millisecond
)

var (
	errTooManyRedirects = fmt.Errorf("more than %d redirects", maxRedirects)
	errBadBody          = errors.New("the answer broke off")
	errBadRedirect      = errors.New("bad redirect")
	errLedAway          = errors.New("the token service redirects to another origin, where this service's credentials for the registry do not go")
)

// errBusy stands for an answer of 502, 503 or 504 until it is tried again.
type errBusy int

func (e errBusy) Error() string { return fmt.Sprintf("status %d", int(e)) }

// A trip carries one request on behalf of one registry, and the requests that
// its redirects lead to. It chooses the transport, and so what may be
// connected to; tries again what failed for the moment; sends no header but
// those it knows; and, unless it streams, has read the body when it returns.
// It is an [http.RoundTripper] for the sake of go-containerregistry's client.
type trip struct {
	client *Client
	to     *registry
	stream bool     // leave the bodies of 200, 206 and 416 unread
	large  bool     // read more than otherBody of an answer with status 200
	realm  *url.URL // the only origin that may be asked, with credentials; nil: any, without

	hops atomic.Int32 // requests sent, without those sent again
	last atomic.Pointer[http.Response]
}

// sent lists the headers that go upstream, besides User-Agent and
// Accept-Encoding.
var sent = []string{"Accept", "Authorization", "If-Range", "Range"}

// RoundTrip sends a GET or HEAD request. It returns an *Error where the
// registry could not be asked.
func (t *trip) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.realm != nil && !sameOrigin(t.realm, req.URL) {
		return nil, contradiction(t.to, errLedAway)
	}
	via, err := t.route(req.URL)
	if err != nil {
		return nil, err
	}
	if t.hops.Add(1) > maxRedirects+1 {
		return nil, errTooManyRedirects
	}
	out := &http.Request{Method: req.Method, URL: req.URL, Header: http.Header{}}
	out = out.WithContext(req.Context())
	for _, name := range sent {
		if v := req.Header.Values(name); v != nil {
			out.Header[name] = v
		}
	}
	if t.realm == nil && !t.to.owns(req.URL) {
		out.Header.Del("Authorization")
	}
	out.Header.Set("User-Agent", t.client.userAgent)
	out.Header.Set("Accept-Encoding", "identity")
	if !t.to.mapped() || !t.to.owns(req.URL) {
		out.Header.Set(loopHeader, loopID)
	}

	resp, err := t.patiently(via, out)
	if err != nil {
		return nil, t.client.unreachable(req.Context(), t.to, req.URL, err)
	}
	if resp.StatusCode == http.StatusUnauthorized {
		resp.Header.Set("WWW-Authenticate", oneChallenge(resp.Header.Values("WWW-Authenticate")))
	}
	t.last.Store(resp)
	return resp, nil
}

// route returns the transport that may carry a request to u. A mapped
// registry's exemption from the guard is its own transport.
func (t *trip) route(u *url.URL) (*http.Transport, error) {
	switch {
	case u.User != nil || u.Hostname() == "":
		return nil, fmt.Errorf("%w: the address has a user or no host", errBadRedirect)
	case t.to.mapped() && t.to.owns(u) && t.stream:
		return t.to.blobs, nil
	case t.to.mapped() && t.to.owns(u):
		return t.to.own, nil
	case t.to.mapped() && u.Host == t.to.base.Host:
		// Ping tries https before http, where it takes a host for a local one.
		return nil, fmt.Errorf("%w: the registry is mapped to %s", errBadRedirect, t.to.base)
	case u.Scheme != "https":
		return nil, fmt.Errorf("%w: scheme %q", ErrForbiddenAddress, u.Scheme)
	}
	return t.client.guarded, nil
}

// patiently sends a request up to three times: again where the connection
// failed or the server says that it is not able to answer now.
func (t *trip) patiently(via *http.Transport, req *http.Request) (*http.Response, error) {
	delays := backoff.NewExponentialBackOff()
	delays.InitialInterval = firstDelay
	tries := 0
	return backoff.Retry(req.Context(), func() (*http.Response, error) {
		tries++
		resp, err := t.once(via, req)
		switch {
		case err != nil && (tries == maxTries || !passing(req.Context(), err)):
			return nil, backoff.Permanent(err)
		case err != nil:
			return nil, err
		case tries < maxTries && busy(resp.StatusCode):
			return nil, errBusy(resp.StatusCode)
		}
		return resp, nil
	}, backoff.WithBackOff(delays), backoff.WithMaxElapsedTime(0))
}

// once sends a request once. Bodies are read here, so that a connection that
// breaks off is noticed where it can be tried again.
func (t *trip) once(via *http.Transport, req *http.Request) (*http.Response, error) {
	resp, err := tally.RoundTrip(via, req, tally.Registry)
	if err != nil {
		return nil, err
	}
	if t.stream && streamed(resp.StatusCode) {
		return resp, nil
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		// The body would be the connection itself, which no context ends.
		resp.Body = http.NoBody
		return resp, nil
	}
	text, err := t.read(req.Context(), resp)
	if err != nil {
		return nil, err
	}
	resp.Body = body{bytes.NewReader(text), text}
	return resp, nil
}

func streamed(status int) bool {
	return status == http.StatusOK || status == http.StatusPartialContent || status == http.StatusRequestedRangeNotSatisfiable
}

func busy(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

// passing reports whether an error may be gone in a moment.
func passing(ctx context.Context, err error) bool {
	return ctx.Err() == nil && !errors.Is(err, ErrForbiddenAddress) && !badCertificate(err)
}
