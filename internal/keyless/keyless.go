// Package keyless signs with short-lived certificates: a service account's
// identity token buys a Fulcio certificate for a fresh key, and key and
// certificate sign until the certificate's life nears its end.
//
// Lives are measured on this process's monotonic clock from the moment of the
// request, so that a wrong wall clock neither stretches nor cuts them.
package keyless

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/sign"

	"github.com/tlogistry/tlogistry/internal/flight"
)

// ErrIdentity says that a certificate does not name the identity whose records count.
var ErrIdentity = errors.New("the certificate is not the configured identity's")

const (
	// spare is the life that key and certificate must have left to be used.
	spare = time.Minute
	// preparePause is the time after a failed renewal in which none is begun
	// that nobody waits for.
	preparePause = 10 * time.Second
	// silence is how long a connection may be silent before it is asked whether
	// it is dead, and then before it is given up. Over HTTP/2 it is the only one.
	silence = 5 * time.Second
)

// Tokens is what a signer needs of the place it runs in: Google's metadata
// server. Its methods must be safe for concurrent use.
type Tokens interface {
	// Email returns the e-mail address of the service account.
	Email(ctx context.Context) (string, error)
	// Token returns an identity token with the e-mail address for an audience.
	Token(ctx context.Context, audience string) (string, error)
}

// A Config says whose signatures a Signer makes.
type Config struct {
	Tokens    Tokens
	FulcioURL string
	Timeout   time.Duration // limit of a renewal: token and certificate together
	Audience  string        // of the token
	Subject   string        // e-mail address that certificates must name; empty: the one of Tokens
	Issuer    string        // OIDC issuer that certificates must name

	// Transport is used for Fulcio. Nil means a transport of the signer's own.
	Transport http.RoundTripper
}

// A Signature is a signature with the certificate that it can be checked by.
type Signature struct {
	Certificate []byte // the leaf, DER
	Bytes       []byte // ECDSA P-256, ASN.1, over the SHA-256 of what was signed
}

// A Signer signs as a service account. It is safe for concurrent use.
type Signer struct {
	c       Config
	flights *flight.Group[*credential]
	emails  *flight.Group[string]

	mu      sync.Mutex
	current *credential
	failed  time.Time // when a renewal failed last
	token   heldToken
	subject string
}

// A credential is a key with its certificate.
type credential struct {
	key  sign.Keypair
	cert []byte
	ends time.Time // with a monotonic reading
}

// A heldToken is an identity token while it is of use.
type heldToken struct {
	text string
	ends time.Time // with a monotonic reading
}

// New returns a signer. It asks nobody before the first use.
func New(c Config) *Signer {
	if c.Transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxResponseHeaderBytes = 64 << 10
		t.HTTP2 = &http.HTTP2Config{SendPingTimeout: silence, PingTimeout: silence}
		c.Transport = t
	}
	return &Signer{
		c:       c,
		flights: flight.NewGroup[*credential](c.Timeout),
		emails:  flight.NewGroup[string](c.Timeout),
		subject: c.Subject,
	}
}

// Close waits for renewals under way. The signer cannot be used afterwards.
func (s *Signer) Close() {
	s.flights.Close()
	s.emails.Close()
}

// Subject returns the e-mail address whose signatures these are.
// It is asked for once.
func (s *Signer) Subject(ctx context.Context) (string, error) {
	s.mu.Lock()
	subject := s.subject
	s.mu.Unlock()
	if subject != "" {
		return subject, nil
	}
	return s.emails.Do(ctx, "", func(ctx context.Context) (string, error) {
		email, err := s.c.Tokens.Email(ctx)
		if err != nil {
			return "", fmt.Errorf("ask for the service account's address: %w", err)
		}
		s.mu.Lock()
		s.subject = email
		s.mu.Unlock()
		return email, nil
	})
}

// Sign signs message, which for a DSSE envelope is the pre-authentication
// encoding of its payload.
func (s *Signer) Sign(ctx context.Context, message []byte) (Signature, error) {
	c, err := s.credential(ctx)
	if err != nil {
		return Signature{}, err
	}
	sig, _, err := c.key.SignData(ctx, message)
	if err != nil {
		return Signature{}, fmt.Errorf("sign: %w", err)
	}
	return Signature{Certificate: c.cert, Bytes: sig}, nil
}

// Prepare begins to obtain the certificate that the next signature needs, if
// that is not there, and does not wait for it. An error is left for [Signer.Sign]
// to find.
func (s *Signer) Prepare(ctx context.Context) {
	s.mu.Lock()
	failing := time.Since(s.failed) < preparePause
	s.mu.Unlock()
	if !failing && s.usable() == nil {
		s.flights.Start(ctx, "", s.renewed)
	}
}

// credential returns a usable credential, renewing it if need be.
func (s *Signer) credential(ctx context.Context) (*credential, error) {
	if c := s.usable(); c != nil {
		return c, nil
	}
	return s.flights.Do(ctx, "", s.renewed)
}

// renewed renews the credential, unless that was done since the caller looked.
func (s *Signer) renewed(ctx context.Context) (*credential, error) {
	if c := s.usable(); c != nil {
		return c, nil
	}
	c, err := s.renew(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.failed = time.Now()
		return nil, err
	}
	s.current = c
	return c, nil
}

func (s *Signer) usable() *credential {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil && time.Until(s.current.ends) > spare {
		return s.current
	}
	return nil
}

// renew obtains a certificate for a fresh key.
func (s *Signer) renew(ctx context.Context) (*credential, error) {
	subject, err := s.Subject(ctx)
	if err != nil {
		return nil, err
	}
	token, err := s.identityToken(ctx)
	if err != nil {
		return nil, err
	}
	key, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	asked := time.Now()
	fulcio := sign.NewFulcio(&sign.FulcioOptions{
		BaseURL:   s.c.FulcioURL,
		Timeout:   s.c.Timeout,
		Transport: &fulcioTransport{ctx: ctx, inner: s.c.Transport},
	})
	der, err := fulcio.GetCertificate(ctx, key, &sign.CertificateProviderOptions{IDToken: token})
	if err != nil {
		s.dropToken() // it may be the reason
		return nil, fmt.Errorf("ask Fulcio for a certificate: %w", withoutToken(err, token))
	}
	life, err := checkCertificate(der, key, subject, s.c.Issuer)
	if err != nil {
		return nil, fmt.Errorf("check Fulcio's certificate: %w", err)
	}
	return &credential{key: key, cert: der, ends: asked.Add(life)}, nil
}

// checkCertificate checks that a certificate is the key's and names the
// identity, and returns how long it lives. Whom it chains to and that it is
// logged are checked with each record.
func checkCertificate(der []byte, key sign.Keypair, subject, issuer string) (time.Duration, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return 0, err
	}
	public, ok := key.GetPublicKey().(*ecdsa.PublicKey)
	if !ok || !public.Equal(cert.PublicKey) {
		return 0, errors.New("it is for another key")
	}
	summary, err := certificate.SummarizeCertificate(cert)
	if err != nil {
		return 0, err
	}
	if summary.SubjectAlternativeName != subject || summary.Issuer != issuer {
		return 0, fmt.Errorf("%w: it names %q of issuer %q, want %q of issuer %q",
			ErrIdentity, summary.SubjectAlternativeName, summary.Issuer, subject, issuer)
	}
	return cert.NotAfter.Sub(cert.NotBefore), nil
}
