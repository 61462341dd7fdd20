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
)

const (
	maxToken   = 16 << 10 // bytes; those of large registries are 1 to 4 KiB
	leastLife  = 60 * time.Second
	mostLife   = 24 * time.Hour
	lifeMargin = 5 * time.Second
)

// A token is an anonymous bearer token for one repository.
type token struct {
	text string
	ends time.Time
}

// authorize returns the token for a pull from a repository, or "" if the
// registry wants none. Challenge and token are kept, and asked for once
// however many want them at the same time.
func (c *Client) authorize(ctx context.Context, to *registry, repo string) (string, error) {
	ch, err := c.challenge(ctx, to)
	if err != nil {
		return "", err
	}
	switch ch.Scheme {
	case "":
		return "", nil
	case "bearer":
	default:
		e := statusError(to, http.StatusUnauthorized, nil)
		e.Err = fmt.Errorf("challenge %q", ch.Scheme)
		return "", e
	}
	key := tokenKey(to, repo)
	if t, ok := c.live(key); ok {
		return t.text, nil
	}
	t, err := share(ctx, c, "token "+key, func(ctx context.Context) (token, error) {
		if t, ok := c.live(key); ok { // an exchange has ended since the look
			return t, nil
		}
		return c.exchange(ctx, to, repo, ch)
	})
	if err != nil {
		return "", c.given(ctx, to, err)
	}
	return t.text, nil
}

// live returns a token that has not expired.
func (c *Client) live(key string) (token, bool) {
	t, ok := c.tokens.Get(key)
	return t, ok && c.now().Before(t.ends)
}

// forget drops a registry's challenge and a repository's token, unless another
// request has renewed the token meanwhile.
func (c *Client) forget(to *registry, repo, used string) {
	key := tokenKey(to, repo)
	if t, ok := c.tokens.Peek(key); ok && t.text != used {
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
	ch, err := share(ctx, c, "ping "+to.name, func(ctx context.Context) (*transport.Challenge, error) {
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
// scopes that are dummies, or at none.
func (c *Client) exchange(ctx context.Context, to *registry, repo string, ch *transport.Challenge) (token, error) {
	reg, err := to.ggcr()
	if err != nil {
		return token{}, badAnswer(to, err)
	}
	start := c.now()
	t := &trip{client: c, to: to}
	scope := "repository:" + to.repository(repo) + ":" + transport.PullScope
	got, err := transport.Exchange(ctx, reg, authn.Anonymous, t, []string{scope}, ch)
	if err != nil {
		err := c.authError(to, t, err)
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
	// The rest may quote the answer on further lines, a token with it.
	line, _, _ := strings.Cut(err.Error(), "\n")
	return badAnswer(to, errors.New("no token: "+cut(line)))
}

// given makes an *Error of what share returned: the shared exchange's own, or
// the end of the waiting client's context.
func (c *Client) given(ctx context.Context, to *registry, err error) error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	return c.unreachable(ctx, to, to.base, err)
}

// ggcr returns the registry, at its base URL, in go-containerregistry's terms.
func (r *registry) ggcr() (name.Registry, error) {
	if r.base.Scheme == "http" {
		return name.NewRegistry(r.base.Host, name.Insecure)
	}
	return name.NewRegistry(r.base.Host)
}
