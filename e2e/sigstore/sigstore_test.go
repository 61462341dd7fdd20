package sigstore_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/compute/metadata"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/tle"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// start starts a Sigstore for the length of the test.
func start(t *testing.T, o sigstore.Options) *sigstore.Sigstore {
	t.Helper()
	began := time.Now()
	s, err := sigstore.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started in %v", time.Since(began))
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return s
}

// statement returns an in-toto statement with a subject of its own and the
// hash by which the index knows that subject.
func statement(t *testing.T, name string) (statement []byte, hash string) {
	t.Helper()
	digest := sha256.Sum256([]byte(t.Name() + name))
	value := hex.EncodeToString(digest[:])
	return []byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"` + name +
		`","digest":{"sha256":"` + value + `"}}],"predicateType":"https://example.com/test/v1","predicate":{}}`), "sha256:" + value
}

// eventually calls f until it returns true. Rekor fills index and attestation
// store behind its answers and tells nobody when it is done.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within a minute", what)
		case <-tick.C:
		}
	}
}

// find waits until the index has uuid under hash.
func find(t *testing.T, s *sigstore.Sigstore, hash, uuid string) {
	t.Helper()
	eventually(t, "entry in the index", func() bool {
		uuids, err := s.Search(t.Context(), hash)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Contains(uuids, uuid)
	})
}

// retrieve returns one entry.
func retrieve(t *testing.T, s *sigstore.Sigstore, uuid string) models.LogEntryAnon {
	t.Helper()
	entries, err := s.Retrieve(t.Context(), uuid)
	if err != nil {
		t.Fatal(err)
	}
	e, ok := entries[uuid]
	if !ok {
		t.Fatalf("Retrieve(%s) returned %d other entries", uuid, len(entries))
	}
	return e
}

// verifyEntry verifies a bundle of entry and envelope completely.
func verifyEntry(s *sigstore.Sigstore, entry models.LogEntryAnon, e *sigstore.Envelope, email string) error {
	tlogEntry, err := tle.GenerateTransparencyLogEntry(entry)
	if err != nil {
		return err
	}
	b, err := bundle.NewBundle(&protobundle.Bundle{
		MediaType: "application/vnd.dev.sigstore.bundle.v0.3+json",
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content: &protobundle.VerificationMaterial_Certificate{
				Certificate: &protocommon.X509Certificate{RawBytes: e.Certificate},
			},
			TlogEntries: []*protorekor.TransparencyLogEntry{tlogEntry},
		},
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			Payload:     e.Payload,
			PayloadType: sigstore.PayloadType,
			Signatures:  []*protodsse.Signature{{Sig: e.Signature}},
		}},
	})
	if err != nil {
		return err
	}
	trusted, err := root.NewTrustedRootFromJSON(s.TrustedRoot())
	if err != nil {
		return err
	}
	v, err := verify.NewVerifier(trusted, verify.WithSignedCertificateTimestamps(1),
		verify.WithTransparencyLog(1), verify.WithIntegratedTimestamps(1))
	if err != nil {
		return err
	}
	id, err := verify.NewShortCertificateIdentity(s.IssuerURL, "", email, "")
	if err != nil {
		return err
	}
	_, err = v.Verify(b, verify.NewPolicy(verify.WithoutArtifactUnsafe(), verify.WithCertificateIdentity(id)))
	return err
}

// signed returns a signed statement of the default identity.
func signed(t *testing.T, s *sigstore.Sigstore, name string) *sigstore.Envelope {
	t.Helper()
	author, err := s.Author(t.Context(), sigstore.DefaultEmail)
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := statement(t, name)
	envelope, err := author.Sign(t.Context(), payload)
	if err != nil {
		t.Fatal(err)
	}
	return envelope
}

// create logs a statement as kind intoto.
func create(t *testing.T, s *sigstore.Sigstore, name string) (uuid, hash string) {
	t.Helper()
	envelope := signed(t, s, name)
	proposal, err := envelope.InToto()
	if err != nil {
		t.Fatal(err)
	}
	if uuid, _, err = s.Create(t.Context(), proposal); err != nil {
		t.Fatal(err)
	}
	_, hash = statement(t, name)
	return uuid, hash
}

// TestWhole goes the way of tlogistry itself: identity from the metadata
// server, certificate from Fulcio, entry in Rekor, and back.
func TestWhole(t *testing.T) {
	s := start(t, sigstore.Options{})
	t.Setenv("GCE_METADATA_HOST", s.MetadataHost)

	email, err := metadata.EmailWithContext(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	if email != sigstore.DefaultEmail {
		t.Errorf("e-mail of the metadata server is %q, want %q", email, sigstore.DefaultEmail)
	}
	token, err := metadata.GetWithContext(t.Context(),
		"instance/service-accounts/default/identity?audience=sigstore&format=full")
	if err != nil {
		t.Fatal(err)
	}
	key, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		t.Fatal(err)
	}
	fulcio := sign.NewFulcio(&sign.FulcioOptions{BaseURL: s.FulcioURL})
	cert, err := fulcio.GetCertificate(t.Context(), key, &sign.CertificateProviderOptions{IDToken: token})
	if err != nil {
		t.Fatal(err)
	}
	author := &sigstore.Author{Key: key, Certificate: cert}

	for _, kind := range []struct {
		name        string
		propose     func(*sigstore.Envelope) ([]byte, error)
		attestation bool
	}{
		{"intoto", (*sigstore.Envelope).InToto, true},
		{"dsse", (*sigstore.Envelope).DSSE, false},
	} {
		t.Run(kind.name, func(t *testing.T) {
			payload, hash := statement(t, "subject")
			envelope, err := author.Sign(t.Context(), payload)
			if err != nil {
				t.Fatal(err)
			}
			proposal, err := kind.propose(envelope)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			uuid, answered, err := s.Create(t.Context(), proposal)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("created in %v", time.Since(began))
			if err := verifyEntry(s, answered, envelope, email); err != nil {
				t.Errorf("entry as answered: %v", err)
			}

			find(t, s, hash, uuid)
			entry := retrieve(t, s, uuid)
			if err := verifyEntry(s, entry, envelope, email); err != nil {
				t.Errorf("entry as retrieved: %v", err)
			}
			if err := verifyEntry(s, entry, envelope, "else@example.com"); err == nil {
				t.Error("entry verifies for another identity")
			}
			if !kind.attestation {
				if entry.Attestation != nil {
					t.Errorf("attestation is %q, want none", entry.Attestation.Data)
				}
			} else {
				eventually(t, "attestation", func() bool { return retrieve(t, s, uuid).Attestation != nil })
				if got := retrieve(t, s, uuid).Attestation.Data; !bytes.Equal(got, payload) {
					t.Errorf("attestation is %q, want %q", got, payload)
				}
			}

			_, _, err = s.Create(t.Context(), proposal)
			var status *sigstore.StatusError
			if !errors.As(err, &status) || status.Code != http.StatusConflict || !strings.Contains(status.Body, uuid) {
				t.Errorf("second create of the same bytes: %v, want status 409 and %s", err, uuid)
			}
		})
	}
}

func TestForeignCertificates(t *testing.T) {
	s := start(t, sigstore.Options{})
	const email = sigstore.DefaultEmail
	for _, tt := range []struct {
		name string
		ca   *sigstore.CA
		leaf sigstore.Leaf
		want string // part of the verifier's error; empty if it verifies
	}{
		{"as Fulcio would issue", s.CA(), sigstore.Leaf{Email: email, Issuer: s.IssuerURL}, ""},
		{"other CA", s.OtherCA(), sigstore.Leaf{Email: email, Issuer: s.IssuerURL}, "leaf certificate verification failed"},
		{"other e-mail", s.CA(), sigstore.Leaf{Email: "else@example.com", Issuer: s.IssuerURL}, "no matching CertificateIdentity found"},
		{"other issuer", s.CA(), sigstore.Leaf{Email: email, Issuer: "https://example.com"}, "no matching CertificateIdentity found"},
		{"no SCT", s.CA(), sigstore.Leaf{Email: email, Issuer: s.IssuerURL, NoSCT: true}, "signed certificate timestamp"},
		{"expired", s.CA(), sigstore.Leaf{Email: email, Issuer: s.IssuerURL, NotBefore: time.Now().Add(-time.Hour)}, "integrated time outside certificate validity"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			author, err := tt.ca.Author(t.Context(), tt.leaf)
			if err != nil {
				t.Fatal(err)
			}
			payload, _ := statement(t, "subject")
			envelope, err := author.Sign(t.Context(), payload)
			if err != nil {
				t.Fatal(err)
			}
			proposal, err := envelope.InToto()
			if err != nil {
				t.Fatal(err)
			}
			_, entry, err := s.Create(t.Context(), proposal)
			if err != nil {
				t.Fatal(err)
			}
			err = verifyEntry(s, entry, envelope, email)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("verify: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("verify: %v, want an error with %q", err, tt.want)
			}
		})
	}
}
