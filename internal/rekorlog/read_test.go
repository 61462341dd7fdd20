package rekorlog

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
)

// untrustedBody is the body of an entry with a certificate that names somebody,
// and that nobody trusts.
func untrustedBody(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := asn1.MarshalWithParams("https://issuer.example", "utf8")
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "self"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		EmailAddresses:  []string{"somebody@example.com"},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: issuer}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return strings.Replace(bodies[0], "LS0tLS1CRUdJTg==", certificate, 1)
}

// TestAuditTrust: an audit takes a trusted root that may be out of date for
// what it is, as a pull does, and counts each entry once all the same.
func TestAuditTrust(t *testing.T) {
	untrusted := untrustedBody(t)
	for name, tc := range map[string]struct {
		bodies []string
		known  []bool // does each trusted root loaded have the log?
		stale  bool   // is the first one old?
		loads  int
		err    error
	}{
		"all is known":                     {[]string{`{}`, `[]`}, []bool{true}, true, 1, nil},
		"the log is new":                   {[]string{`{}`, `[]`}, []bool{false, true}, true, 2, nil},
		"the log is unknown":               {[]string{`{}`, `[]`}, []bool{false, false}, true, 2, ErrUnsigned},
		"the log is unknown by a new root": {[]string{`{}`, `[]`}, []bool{false}, false, 1, ErrUnsigned},
		"a certificate is not trusted":     {[]string{untrusted, `{}`}, []bool{true, true}, true, 2, nil},
		"nor by a new root":                {[]string{untrusted, `{}`}, []bool{true, true}, false, 2, nil}, // which was loaded before it was logged
	} {
		t.Run(name, func(t *testing.T) {
			tiny := newTinyLog(t, tc.bodies...)
			loads := 0
			log := tiny.open(func(context.Context) (root.TrustedMaterial, error) {
				loads++
				if tc.known[loads-1] {
					return tiny.trusted(), nil
				}
				return new(root.TrustedRoot), nil
			})
			if tc.stale {
				if _, err := log.c.Trust.Material(t.Context()); err != nil {
					t.Fatal(err)
				}
				log.c.Trust.loaded = time.Now().Add(-staleTrust - time.Minute)
			}
			a, err := log.Audit(t.Context(), nil)
			if !errors.Is(err, tc.err) || loads != tc.loads {
				t.Fatalf("got %v after %d loads, want %v after %d", err, loads, tc.err, tc.loads)
			}
			if err == nil && (len(a.Foreign) != len(tc.bodies) || len(a.Records)+len(a.Broken)+len(a.Unnamed) != 0) {
				t.Errorf("got %+v, want %d foreign entries", a, len(tc.bodies))
			}
		})
	}
}

// TestReadersFollowHistory: every reader refuses entries that are proved by a
// tree that is not the one seen before, and asks for one proof where the log
// has grown.
func TestReadersFollowHistory(t *testing.T) {
	for name, use := range map[string]func(*Log, context.Context) error{
		"Lookup": func(l *Log, ctx context.Context) error {
			_, err := l.Lookup(ctx, "index.docker.io/library/app:v1")
			return err
		},
		"Everyone": func(l *Log, ctx context.Context) error {
			_, err := l.Everyone(ctx, "index.docker.io/library/app:v1")
			return err
		},
		"Audit": func(l *Log, ctx context.Context) error { _, err := l.Audit(ctx, nil); return err },
	} {
		t.Run(name, func(t *testing.T) {
			tiny := newTinyLog(t, `{}`, `[]`)
			log := tiny.open(func(context.Context) (root.TrustedMaterial, error) { return tiny.trusted(), nil })
			step := func(want error, proofs int) {
				t.Helper()
				clear(tiny.counts)
				log.foreign.Purge() // else nothing needs to be read
				if err := use(log, t.Context()); !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
				if n := tiny.counts["/api/v1/log/proof"]; n != proofs {
					t.Errorf("%d proofs, want %d", n, proofs)
				}
			}
			step(nil, 0)
			step(nil, 0)
			tiny.append(`1`)
			step(nil, 1)
			tiny.size = 2 // a replica that lags
			step(nil, 0)
			tiny.size = 3
			step(nil, 0)

			realTree, realBodies, forked := tiny.tree, tiny.bodies, newTinyLog(t, `{}`, `2`, `3`, `4`)
			tiny.tree, tiny.bodies, tiny.size = forked.tree, forked.bodies, 3
			step(ErrFork, 0)
			tiny.size = 4
			step(ErrFork, 1)
			tiny.tree, tiny.bodies, tiny.size = realTree, realBodies, 1
			step(nil, 1)
		})
	}
}
