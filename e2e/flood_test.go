package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/sign"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// TestFlood puts more entries under a tag's own subject than a look-up takes
// without narrowing. Half of them even name the service account, in
// certificates that nobody trusts. The tag is recorded, served and refused as
// any other, and the log is asked a bounded number of times.
func TestFlood(t *testing.T) {
	const each = 60
	w := newRekorWorld(t, sigstore.Options{})
	w.tag(t, "flooded", w.one)
	leaf := sigstore.Leaf{Email: sigstore.DefaultEmail, Issuer: w.IssuerURL}
	writers := []*sigstore.Author{w.author(t, "mallory@example.com"), forger(t, w.OtherCA(), leaf), w.selfMade(t, 0)}
	w.flood(t, "flooded", writers[0], each)
	w.flood(t, "flooded", writers[1], each/2)
	w.flood(t, "flooded", writers[2], each/2)

	svc := w.behind(t)
	w.rekor.Hook(settling(t, w.Sigstore))
	first := svc.get(t, "app", "flooded")
	first.mustServe(t, w.one)
	if first.header.Get("Tlog-First-Seen") != "true" {
		t.Errorf("Tlog-First-Seen is %q", first.header.Get("Tlog-First-Seen"))
	}
	own := first.header.Get("Tlog-Uuid")
	w.bounded(t, "first pull", each)

	w.flood(t, "flooded", writers[1], 5)
	other := w.behind(t)
	again := other.get(t, "app", "flooded")
	again.mustServe(t, w.one)
	again.mustBeRecord(t, own)
	w.bounded(t, "first pull by another process", each)
	w.tag(t, "flooded", w.two)
	refused := other.get(t, "app", "flooded")
	refused.mustRefuse(t, w.one, w.two)
	refused.mustBeRecord(t, own)
	if n := w.rekor.Count(); n != 0 {
		t.Errorf("the log was asked %d times about a tag that is known", n)
	}
}

// TestFloodOfLargeEntries: ten entries at a time would be an answer that is
// too long to be read. They are asked for in smaller numbers.
func TestFloodOfLargeEntries(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	w.tag(t, "flooded", w.one)
	w.flood(t, "flooded", w.selfMade(t, 1<<20), 10)
	first := w.direct(t).get(t, "app", "flooded")
	first.mustServe(t, w.one)
	if first.header.Get("Tlog-First-Seen") != "true" {
		t.Errorf("Tlog-First-Seen is %q", first.header.Get("Tlog-First-Seen"))
	}
}

// flood logs n entries by a that say that the tag is the other image.
func (w *rekorWorld) flood(t *testing.T, tag string, a *sigstore.Author, n int) {
	t.Helper()
	var uuid string
	for range n {
		var err error
		if uuid, _, err = w.Create(t.Context(), proposal(t, a, w.statement(t, tag, w.two))); err != nil {
			t.Fatal(err)
		}
	}
	w.indexed(t, tag, uuid)
}

// bounded checks how often the log was asked since the last time: a pull makes
// at most two look-ups, each of two searches, and reads what is foreign once, in
// batches of ten; the others are narrowed away.
func (w *rekorWorld) bounded(t *testing.T, what string, named int) {
	t.Helper()
	counts := w.rekor.Counts()
	w.rekor.Reset()
	t.Logf("%s: %v", what, counts)
	if n := counts["POST "+retrievePath]; n > named/10+3 {
		t.Errorf("%s: entries were asked for %d times", what, n)
	}
	if n := counts["POST "+searchPath]; n > 4 {
		t.Errorf("%s: the index was searched %d times", what, n)
	}
}

// selfMade returns a writer whose certificate is of an authority of its own,
// names the service account and its issuer, and has padding bytes more than it
// needs.
func (w *rekorWorld) selfMade(t testing.TB, padding int) *sigstore.Author {
	t.Helper()
	key, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := asn1.MarshalWithParams(w.IssuerURL, "utf8")
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:   big.NewInt(1),
		Subject:        pkix.Name{CommonName: "self"},
		NotBefore:      time.Now().Add(-time.Hour),
		NotAfter:       time.Now().Add(time.Hour),
		EmailAddresses: []string{sigstore.DefaultEmail},
		ExtraExtensions: []pkix.Extension{
			{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: issuer},
			{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 1}, Value: make([]byte, padding)},
		},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.GetPublicKey(), authority)
	if err != nil {
		t.Fatal(err)
	}
	return &sigstore.Author{Key: key, Certificate: der}
}
