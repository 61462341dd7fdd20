package keyless

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"math/big"
	"net/http"
	"testing"
	"time"

	"cloud.google.com/go/compute/metadata"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/sign"
)

// A certificate that is taken is the key's, and names the identity; how it is
// encoded does not matter.
func FuzzCheckCertificate(f *testing.F) {
	k, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		f.Fatal(err)
	}
	ca, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	value, err := asn1.MarshalWithParams(issuer, "utf8")
	if err != nil {
		f.Fatal(err)
	}
	former := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1} // where older certificates have the issuer
	for _, emails := range [][]string{{email}, {"other@example.com"}, {email, "other@example.com"}, nil} {
		for _, extensions := range [][]pkix.Extension{{{Id: certificate.OIDIssuerV2, Value: value}}, {{Id: former, Value: []byte(issuer)}}, nil} {
			template := &x509.Certificate{
				SerialNumber: big.NewInt(1), NotBefore: time.Unix(1_700_000_000, 0), NotAfter: time.Unix(1_700_000_600, 0),
				EmailAddresses: emails, ExtraExtensions: extensions,
			}
			der, err := x509.CreateCertificate(rand.Reader, template, template, k.GetPublicKey(), ca)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(der)
		}
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, der []byte) {
		life, err := checkCertificate(der, k, email, issuer)
		if err != nil {
			if life != 0 {
				t.Errorf("%s with %v", life, err)
			}
			return
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		public, ok := cert.PublicKey.(*ecdsa.PublicKey)
		if !ok || !public.Equal(k.GetPublicKey()) || len(cert.EmailAddresses) == 0 || cert.EmailAddresses[0] != email || life != cert.NotAfter.Sub(cert.NotBefore) {
			t.Errorf("%x is taken", der)
		}
	})
}

// said answers everything with the same body.
type said struct{ body []byte }

func (s *said) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(s.body)), Request: r}, nil
}

// An address that is taken from the metadata server is one word of bounded
// length.
func FuzzEmail(f *testing.F) {
	for _, s := range []string{email, email + "\n", "", " ", "a b", "a\x00", "\u2028", "ä@ö.example"} {
		f.Add([]byte(s))
	}
	s := &said{}
	m := metadataTokens{metadata.NewWithOptions(&metadata.Options{Client: &http.Client{Transport: s}})}
	f.Fuzz(func(t *testing.T, body []byte) {
		s.body = body
		got, err := m.Email(t.Context())
		if err != nil {
			return
		}
		if got == "" || len(got) > 320 || !bytes.Contains(body, []byte(got)) {
			t.Errorf("%q is taken for the address %q", body, got)
		}
		for _, c := range got {
			if c <= ' ' || c == 0x7f {
				t.Errorf("address %q", got)
			}
		}
	})
}
