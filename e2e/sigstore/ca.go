package sigstore

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"

	ctclient "github.com/google/certificate-transparency-go/client"
	fulcioca "github.com/sigstore/fulcio/pkg/ca"
	"github.com/sigstore/fulcio/pkg/ca/baseca"
	"github.com/sigstore/fulcio/pkg/certificate"
	"github.com/sigstore/fulcio/pkg/ctl"
)

// A CA is a root and an intermediate that issues code signing certificates by
// Fulcio's own code, but to whoever asks. The CT log accepts its certificates.
type CA struct {
	base  *baseca.BaseCA
	chain []*x509.Certificate // intermediate, root
	ct    *ctclient.LogClient
}

// OtherCA returns an authority that is not in the trusted root, for entries
// that only differ from genuine ones in who issued their certificate.
func (s *Sigstore) OtherCA() *CA { return s.otherCA }

// CA returns the authority behind Fulcio, for certificates that Fulcio would
// not issue.
func (s *Sigstore) CA() *CA { return s.ca }

// A Leaf says what a certificate is to contain.
type Leaf struct {
	Email     string           // subject alternative name
	Issuer    string           // OpenID Connect issuer, the extension
	Key       crypto.PublicKey // P-256
	NotBefore time.Time        // start of the ten minutes of life; zero means now
	NoSCT     bool             // leave out the signed certificate timestamp
}

// Issue returns a certificate in DER.
func (c *CA) Issue(ctx context.Context, l Leaf) ([]byte, error) {
	if l.NotBefore.IsZero() {
		l.NotBefore = time.Now()
	}
	if l.NoSCT {
		cert, err := c.base.CreateCertificate(ctx, principal{l}, l.Key)
		if err != nil {
			return nil, fmt.Errorf("issue certificate: %w", err)
		}
		return cert.FinalCertificate.Raw, nil
	}
	pre, err := c.base.CreatePrecertificate(ctx, principal{l}, l.Key)
	if err != nil {
		return nil, fmt.Errorf("issue precertificate: %w", err)
	}
	sct, err := c.ct.AddPreChain(ctx, ctl.BuildCTChain(pre.PreCert, pre.CertChain))
	if err != nil {
		return nil, fmt.Errorf("submit precertificate: %w", err)
	}
	cert, err := c.base.IssueFinalCertificate(ctx, pre, sct)
	if err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	return cert.FinalCertificate.Raw, nil
}

// principal writes a Leaf into a certificate, as Fulcio's principals do.
type principal struct{ leaf Leaf }

// Name implements identity.Principal.
func (p principal) Name(context.Context) string { return p.leaf.Email }

// Embed implements identity.Principal.
func (p principal) Embed(_ context.Context, cert *x509.Certificate) (err error) {
	life := cert.NotAfter.Sub(cert.NotBefore)
	cert.NotBefore = p.leaf.NotBefore
	cert.NotAfter = p.leaf.NotBefore.Add(life)
	cert.EmailAddresses = []string{p.leaf.Email}
	cert.ExtraExtensions, err = certificate.Extensions{
		Issuer:  p.leaf.Issuer,
		Subject: subject(p.leaf.Email),
	}.Render()
	return err
}

// newCA makes root and intermediate, valid from an hour ago for ten years.
func newCA(organization string) (*CA, error) {
	start := time.Now().Add(-time.Hour).Truncate(time.Second)
	template := func(serial int64, name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber:          big.NewInt(serial),
			Subject:               pkix.Name{Organization: []string{organization}, CommonName: name},
			NotBefore:             start,
			NotAfter:              start.AddDate(10, 0, 0),
			KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
			BasicConstraintsValid: true,
			IsCA:                  true,
			MaxPathLen:            1,
		}
	}
	root, rootKey, err := signCertificate(template(1, "root"), nil, nil)
	if err != nil {
		return nil, err
	}
	t := template(2, "intermediate")
	t.MaxPathLen, t.MaxPathLenZero = 0, true
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	intermediate, key, err := signCertificate(t, root, rootKey)
	if err != nil {
		return nil, err
	}
	chain := []*x509.Certificate{intermediate, root}
	if err := fulcioca.VerifyCertChain(chain, key); err != nil {
		return nil, err
	}
	signer := &fulcioca.SignerCerts{Certs: chain, Signer: key}
	return &CA{base: &baseca.BaseCA{SignerWithChain: signer}, chain: chain}, nil
}

// signCertificate makes a key and its certificate, self-signed without parent.
func signCertificate(template, parent *x509.Certificate, parentKey crypto.Signer) (*x509.Certificate, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}
