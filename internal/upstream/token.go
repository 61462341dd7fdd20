package upstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/tlogistry/tlogistry/internal/flight"
)

const (
	maxToken   = 16 << 10 // bytes; those of large registries are 1 to 4 KiB
	leastLife  = 60 * time.Second
	mostLife   = 24 * time.Hour
	lifeMargin = 5 * time.Second
)

// A token is a bearer token for one repository.
type token struct {
	text string
	ends time.Time
}

// authorize returns the Authorization header for a pull from a repository, or
// "" if the registry wants none. Challenge and token are kept, and asked for
// once however many want them at the same time.
func (c *Client) authorize(ctx context.Context, to *registry, repo string) (string, error) {
	ch, err := c.challenge(ctx, to)
	if err != nil {
		return "", err
	}
	switch ch.Scheme {
	case "":
		return "", nil
	case "bearer":
		return c.bearer(ctx, to, repo, ch)
	case "basic":
		if !to.anonymous() {
			a, err := c.login(ctx, to)
			if err != nil {
				return "", err
			}
			return basic(a), nil
		}
	}
	c.challenges.Remove(to.name) // it may have been a mistake
	e := statusError(to, http.StatusUnauthorized, nil)
	e.Err = fmt.Errorf("challenge %q", ch.Scheme)
	return "", e
}

// login returns what a registry may be told.
func (c *Client) login(ctx context.Context, to *registry) (*authn.AuthConfig, error) {
	a, err := authn.Authorization(ctx, to.auth)
	if err != nil && ctx.Err() != nil {
		return nil, c.unreachable(ctx, to, to.base, err)
	}
	if err != nil { // Google's, the only ones that are asked for
		return nil, &Error{
			Status:  http.StatusServiceUnavailable,
			Code:    unavailable,
			Message: "this service's credentials for registry " + to.name + " cannot be had",
			Err:     fmt.Errorf("application default credentials: %s", firstLine(err)),
		}
	}
	return a, nil
}

func (c *Client) bearer(ctx context.Context, to *registry, repo string, ch *transport.Challenge) (string, error) {
	key := tokenKey(to, repo)
	if t, ok := c.live(key); ok {
		return t.header(), nil
	}
	t, err := c.exchanges.Do(ctx, key, func(ctx context.Context) (token, error) {
		if t, ok := c.live(key); ok { // an exchange has ended since the look
			return t, nil
		}
		return c.exchange(ctx, to, repo, ch)
	})
	if err != nil {
		c.challenges.Remove(to.name) // the realm may have been a mistake, or have moved
		return "", c.given(ctx, to, err)
	}
	return t.header(), nil
}

func (t token) header() string { return "Bearer " + t.text }

// live returns a token that has not expired.
func (c *Client) live(key string) (token, bool) {
	t, ok := c.tokens.Get(key)
	return t, ok && c.now().Before(t.ends)
}

// forget drops a registry's challenge and a repository's token, unless another
// request has renewed the token meanwhile. used is the header that failed.
func (c *Client) forget(to *registry, repo, used string) {
	key := tokenKey(to, repo)
	if t, ok := c.tokens.Peek(key); ok && t.header() != used {
		return
	}
	c.tokens.Remove(key)
	c.challenges.Remove(to.name)
}

func tokenKey(to *registry, repo string) string { return to.name + "/" + repo }

// challenge returns what a registry wants: Scheme is empty for nothing, and
// lower case otherwise.
func (c *Client) challenge(ctx context.Context, to *registry) (*transport.Challenge, error) {
	if ch, ok := c.challenges.Get(to.name); ok {
		return ch, nil
	}
	ch, err := c.pings.Do(ctx, to.name, func(ctx context.Context) (*transport.Challenge, error) {
		if ch, ok := c.challenges.Get(to.name); ok { // a ping has ended since the look
			return ch, nil
		}
		return c.ping(ctx, to)
	})
	if err != nil {
		return nil, c.given(ctx, to, err)
	}
	return ch, nil
}

func (c *Client) ping(ctx context.Context, to *registry) (*transport.Challenge, error) {
	reg, err := to.ggcr()
	if err != nil {
		return nil, badAnswer(to, err)
	}
	t := &trip{client: c, to: to}
	ch, err := transport.Ping(ctx, reg, t)
	if err != nil {
		return nil, c.authError(to, t, err)
	}
	ch.Scheme = strings.ToLower(ch.Scheme)
	c.challenges.Add(to.name, ch)
	return ch, nil
}

// exchange fetches a token. The scope is the service's own: registries hint at
// scopes that are dummies, or at none. Credentials go along only where the
// realm is meant for them, and to no place that it redirects to; elsewhere
// there is no exchange at all, as an anonymous one would answer for less.
func (c *Client) exchange(ctx context.Context, to *registry, repo string, ch *transport.Challenge) (token, error) {
	reg, err := to.ggcr()
	if err != nil {
		return token{}, badAnswer(to, err)
	}
	t := &trip{client: c, to: to}
	if !to.anonymous() {
		if t.realm, err = c.realm(to, ch); err != nil {
			return token{}, contradiction(to, err)
		}
	}
	a, err := c.login(ctx, to)
	if err != nil {
		return token{}, err
	}
	start := c.now()
	scope := "repository:" + to.repository(repo) + ":" + transport.PullScope
	got, err := transport.Exchange(ctx, reg, authn.FromConfig(*a), t, []string{scope}, ch)
	if err != nil {
		err := discreet(to, c.authError(to, t, err), a)
		if err.Status == http.StatusNotFound {
			return token{}, badAnswer(to, err)
		}
		return token{}, err
	}
	text := cmp.Or(got.Token, got.AccessToken)
	if len(text) > maxToken || !printable(text) {
		return token{}, badAnswer(to, errors.New("the token is too long or holds a character that is not allowed"))
	}
	fresh := token{text: text, ends: start.Add(life(got.ExpiresIn))}
	c.tokens.Add(tokenKey(to, repo), fresh)
	return fresh, nil
}

// realm returns the address of a registry's token service, if the registry's
// credentials are meant for it.
func (c *Client) realm(to *registry, ch *transport.Challenge) (*url.URL, error) {
	realm, err := url.Parse(ch.Parameters["realm"])
	if err != nil || realm.Host == "" {
		return nil, errors.New("the realm is not an address")
	}
	if !c.meant(to, realm) {
		return nil, fmt.Errorf("the realm is at %q, where this service's credentials for the registry do not go", cut(realm.Host))
	}
	return realm, nil
}

// discreet returns an error that does not repeat a password. What a token
// service answers is part of some errors, and it was told the password.
func discreet(to *registry, e *Error, a *authn.AuthConfig) *Error {
	for _, secret := range []string{a.Password, strings.TrimPrefix(basic(a), "Basic ")} {
		if holds(e.Error(), secret) {
			return badAnswer(to, errors.New("no token: the answer repeats the credentials"))
		}
	}
	return e
}

// life returns how long to use a token that is said to live for some seconds.
// Without a number it lives for 60 by the specification of token
// authentication. The margin is for the way there and for unequal clocks.
func life(seconds int) time.Duration {
	d := leastLife
	if seconds > 0 {
		d = min(time.Duration(min(seconds, int(mostLife/time.Second)))*time.Second, mostLife)
	}
	return d - max(d/10, lifeMargin)
}

// authError makes an *Error of what transport's Ping or Exchange returned.
func (c *Client) authError(to *registry, t *trip, err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	var answer *transport.Error
	if last := t.last.Load(); last != nil && errors.As(err, &answer) {
		e := statusError(to, answer.StatusCode, last.Header)
		e.Err = errors.New("no token: " + last.Request.URL.Redacted())
		return e
	}
	var sent *url.Error
	if errors.As(err, &sent) {
		return badAnswer(to, fmt.Errorf("no token: %w", err))
	}
	return badAnswer(to, errors.New("no token: "+firstLine(err)))
}

// firstLine returns the first line of an error of a library. Further ones may
// quote an answer, and a token with it.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return cut(line)
}

// given makes an *Error of what a flight returned: the shared exchange's own,
// the end of the waiting client's context, or that the client is closed.
func (c *Client) given(ctx context.Context, to *registry, err error) error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	e := c.unreachable(ctx, to, to.base, err)
	if errors.Is(err, flight.ErrClosed) {
		e.Message = "this instance is shutting down"
	}
	return e
}

// ggcr returns the registry, at its base URL, in go-containerregistry's terms.
func (r *registry) ggcr() (name.Registry, error) {
	if r.base.Scheme == "http" {
		return name.NewRegistry(r.base.Host, name.Insecure)
	}
	return name.NewRegistry(r.base.Host)
}
