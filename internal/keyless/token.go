package keyless

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"cloud.google.com/go/compute/metadata"

	"github.com/tlogistry/tlogistry/internal/tally"
)

// maxAnswer bounds what is read of an answer of the metadata server or Fulcio,
// in bytes. A token has about 1 KiB, a certificate chain about 3 KiB.
const maxAnswer = 1 << 20

// identityToken returns the token held or a new one.
func (s *Signer) identityToken(ctx context.Context) (string, error) {
	s.mu.Lock()
	held := s.token
	s.mu.Unlock()
	if held.text != "" && time.Until(held.ends) > spare {
		return held.text, nil
	}
	asked := time.Now()
	text, err := s.c.Tokens.Token(ctx, s.c.Audience)
	if err != nil {
		return "", fmt.Errorf("ask for an identity token: %w", err)
	}
	left, err := lifeLeft(text, asked)
	if err != nil {
		return "", fmt.Errorf("read the identity token: %w", err)
	}
	s.mu.Lock()
	s.token = heldToken{text: text, ends: asked.Add(left)}
	s.mu.Unlock()
	return text, nil
}

// Ready returns why the identity is not known, or no token for it can be had.
// It asks the metadata server for what is not held, and nobody else.
func (s *Signer) Ready(ctx context.Context) error {
	if _, err := s.Subject(ctx); err != nil {
		return err
	}
	_, err := s.identityToken(ctx)
	return err
}

func (s *Signer) dropToken() {
	s.mu.Lock()
	s.token = heldToken{}
	s.mu.Unlock()
}

// lifeLeft returns how long a token is of use: to its exp claim, at most its
// whole life from iat to exp. The metadata server hands out tokens that were
// made earlier. Fulcio checks the token; here it is only read.
func lifeLeft(token string, now time.Time) (time.Duration, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return 0, errors.New("it is not a JWT of three parts")
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return 0, errors.New("its claims are not base64url")
	}
	var claims struct {
		Issued  int64 `json:"iat"`
		Expires int64 `json:"exp"`
	}
	if err := json.Unmarshal(b, &claims); err != nil {
		return 0, errors.New("its claims are not JSON with numeric iat and exp")
	}
	expires := time.Unix(claims.Expires, 0)
	return min(expires.Sub(now), expires.Sub(time.Unix(claims.Issued, 0))), nil
}

// withoutToken returns an error whose text does not hold the token. Fulcio's
// answer is part of it, and whoever answers may repeat what was asked.
func withoutToken(err error, token string) error {
	secret := token[strings.LastIndexByte(token, '.')+1:] // of no use without its signature
	if secret == "" {
		secret = token
	}
	text := err.Error()
	plain, uerr := url.QueryUnescape(text)
	if strings.Contains(text, secret) || uerr == nil && strings.Contains(plain, secret) {
		return quietError{err}
	}
	return err
}

// A quietError is one whose text would tell a secret.
type quietError struct{ err error }

func (quietError) Error() string { return "it failed, and its answer repeats the identity token" }

func (e quietError) Unwrap() error { return e.err }

// Metadata returns the Tokens of Google's metadata server, found as
// cloud.google.com/go/compute/metadata finds it: at GCE_METADATA_HOST if set.
func Metadata() Tokens {
	t := &http.Transport{MaxResponseHeaderBytes: 64 << 10, MaxIdleConns: 2, IdleConnTimeout: time.Minute}
	return metadataTokens{metadata.NewWithOptions(&metadata.Options{
		Client: &http.Client{Transport: boundedTransport{t, tally.Metadata}},
	})}
}

type metadataTokens struct{ client *metadata.Client }

func (m metadataTokens) Email(ctx context.Context) (string, error) {
	email, err := m.client.EmailWithContext(ctx, "default")
	if err != nil {
		return "", err
	}
	if email == "" || len(email) > 320 || strings.ContainsFunc(email, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return "", fmt.Errorf("%q is not an e-mail address", email)
	}
	return email, nil
}

func (m metadataTokens) Token(ctx context.Context, audience string) (string, error) {
	// Only the full format has the e-mail address, which Fulcio wants.
	q := url.Values{"audience": {audience}, "format": {"full"}}
	token, err := m.client.GetWithContext(ctx, "instance/service-accounts/default/identity?"+q.Encode())
	return strings.TrimSpace(token), err
}

// A boundedTransport cuts off bodies of more than maxAnswer bytes.
type boundedTransport struct {
	inner http.RoundTripper
	peer  tally.Peer
}

func (t boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := tally.RoundTrip(t.inner, r, t.peer)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	return resp, nil
}

// A fulcioTransport adds what sigstore-go's client of Fulcio leaves out: the
// caller's context, and an error that names the status of a failure. So is a
// redirect: net/http would send the token on, also to a place without TLS.
type fulcioTransport struct {
	ctx   context.Context
	inner http.RoundTripper
}

func (t *fulcioTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := boundedTransport{t.inner, tally.Fulcio}.RoundTrip(r.WithContext(t.ctx))
	if err != nil {
		return nil, err
	}
	redirected := resp.StatusCode >= 300 && resp.StatusCode < 400
	if redirected || resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests {
		resp.Body.Close()
		return nil, fmt.Errorf("it answered %s", resp.Status)
	}
	return resp, nil
}
