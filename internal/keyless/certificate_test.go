package keyless

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
)

const (
	email  = "recorder@acme.iam.gserviceaccount.com"
	issuer = "https://accounts.google.com"
)

// certify returns a certificate for a key, made as Fulcio makes it except for
// what change does.
func certify(t *testing.T, key crypto.PublicKey, change func(*x509.Certificate)) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber:    big.NewInt(1),
		NotBefore:       time.Now(),
		NotAfter:        time.Now().Add(10 * time.Minute),
		EmailAddresses:  []string{email},
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtKeyUsage:     []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: []pkix.Extension{issuedFor(t, issuer)},
	}
	if change != nil {
		change(template)
	}
	ca, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent := &x509.Certificate{Subject: pkix.Name{CommonName: "test"}}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, ca)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// issuedFor is the extension that names the OIDC issuer.
func issuedFor(t *testing.T, issuer string) pkix.Extension {
	t.Helper()
	value, err := asn1.MarshalWithParams(issuer, "utf8")
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: certificate.OIDIssuerV2, Value: value}
}

// The life is the certificate's own, wherever in time it lies: this clock has
// no say in it.
func TestCheckCertificateLife(t *testing.T) {
	k := key(t)
	for name, begin := range map[string]time.Time{
		"now":                time.Now(),
		"this clock is fast": time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC),
		"this clock is slow": time.Date(2149, 2, 3, 4, 5, 6, 0, time.UTC),
	} {
		for _, life := range []time.Duration{10 * time.Minute, time.Second, 0, 24 * time.Hour} {
			der := certify(t, k.GetPublicKey(), func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = begin, begin.Truncate(time.Second).Add(life)
			})
			if got, err := checkCertificate(der, k, email, issuer); got != life || err != nil {
				t.Errorf("%s: life %s, %v, want %s", name, got, err, life)
			}
		}
	}
}

func TestCheckCertificateErrors(t *testing.T) {
	k := key(t)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	page, err := url.Parse("https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main")
	if err != nil {
		t.Fatal(err)
	}
	wants := func(email2, issuer2 string) string {
		return `the certificate is not the configured identity's: it names "` + email2 + `" of issuer "` + issuer2 +
			`", want "` + email + `" of issuer "` + issuer + `"`
	}
	mine := k.GetPublicKey()
	names := func(emails ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.EmailAddresses = emails }
	}
	from := func(issuer string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{issuedFor(t, issuer)} }
	}
	tests := []struct {
		name   string
		key    crypto.PublicKey
		change func(*x509.Certificate)
		want   string
		is     error
	}{
		{"other key", key(t).GetPublicKey(), nil, "it is for another key", nil},
		{"other curve", p384.Public(), nil, "it is for another key", nil},
		{"other e-mail", mine, names("other@acme.iam.gserviceaccount.com"), wants("other@acme.iam.gserviceaccount.com", issuer), ErrIdentity},
		{"e-mail in upper case", mine, names("Recorder@acme.iam.gserviceaccount.com"), wants("Recorder@acme.iam.gserviceaccount.com", issuer), ErrIdentity},
		{"longer e-mail", mine, names(email + ".evil.example"), wants(email+".evil.example", issuer), ErrIdentity},
		{"two e-mails, ours last", mine, names("other@b.example", email), wants("other@b.example", issuer), ErrIdentity},
		{"URI besides", mine, func(c *x509.Certificate) { c.URIs = []*url.URL{page} }, wants(page.String(), issuer), ErrIdentity},
		{"other issuer", mine, from("https://issuer.example"), wants(email, "https://issuer.example"), ErrIdentity},
		{"issuer with a slash more", mine, from(issuer + "/"), wants(email, issuer+"/"), ErrIdentity},
		{"no issuer", mine, func(c *x509.Certificate) { c.ExtraExtensions = nil }, wants(email, ""), ErrIdentity},
		{"no name", mine, names(), "no Subject Alternative Name found", nil},
		{"broken issuer", mine, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: certificate.OIDIssuerV2, Value: []byte("x")}}
		}, "unexpected error unmarshalling DER-encoded string: asn1: syntax error: truncated tag or length", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			life, err := checkCertificate(certify(t, test.key, test.change), k, email, issuer)
			if life != 0 || err == nil || err.Error() != test.want {
				t.Errorf("got  %s, %v\nwant %s", life, err, test.want)
			}
			if errors.Is(err, ErrIdentity) != (test.is == ErrIdentity) {
				t.Errorf("%v: is ErrIdentity: %t", err, errors.Is(err, ErrIdentity))
			}
		})
	}
}

func TestCheckCertificateBytes(t *testing.T) {
	k := key(t)
	der := certify(t, k.GetPublicKey(), nil)
	for name, der := range map[string][]byte{
		"none":       nil,
		"not DER":    []byte("certificate"),
		"cut":        der[:len(der)-1],
		"more bytes": append(der[:len(der):len(der)], 0),
	} {
		if life, err := checkCertificate(der, k, email, issuer); life != 0 || err == nil || errors.Is(err, ErrIdentity) {
			t.Errorf("%s: %s, %v", name, life, err)
		}
	}
	if life, err := checkCertificate(der, k, email, issuer); life != 10*time.Minute || err != nil {
		t.Errorf("untouched: %s, %v", life, err)
	}
}
