package tilelog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	// fetchTimeout bounds one request, from the dial to the end of the body.
	fetchTimeout = 30 * time.Second
	// fetchTries is how often a file is asked for at most.
	fetchTries = 3
)

// A fetchTransport asks again where a failure may pass, and reads the whole
// answer, which has maxBundle bytes at most. It limits each request itself: the
// limit of an http.Client keeps a goroutine for each body that is not closed,
// and Tessera's client does not close that of a 404.
type fetchTransport struct{ inner http.RoundTripper }

func (t fetchTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 100 * time.Millisecond
	return backoff.Retry(r.Context(), func() (*http.Response, error) {
		ctx, cancel := context.WithTimeout(r.Context(), fetchTimeout)
		defer cancel()
		resp, err := t.inner.RoundTrip(r.WithContext(ctx))
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxBundle+1))
		switch {
		case err != nil:
			return nil, err
		case len(body) > maxBundle:
			return nil, backoff.Permanent(fmt.Errorf("%w: the answer has more than %d bytes", ErrDamaged, maxBundle))
		case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests:
			return nil, fmt.Errorf("the answer is %s", resp.Status)
		}
		resp.Body = io.NopCloser(bytes.NewReader(body))
		return resp, nil
	}, backoff.WithBackOff(b), backoff.WithMaxTries(fetchTries))
}
