package e2e

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/tle"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// goldenStatement is the record of a tag as docs/record-format.md describes it:
// own subject, shared subject, image; then issuer, identity and digest.
const goldenStatement = `{"_type":"https://in-toto.io/Statement/v1","subject":[` +
	`{"name":"index.docker.io/library/app:3.16.0","digest":{"sha256":"%s"}},` +
	`{"name":"index.docker.io/library/app:3.16.0","digest":{"sha256":"%s"}},` +
	`{"name":"index.docker.io/library/app","digest":{"sha256":"%s"}}],` +
	`"predicateType":"https://github.com/tlogistry/tlogistry/record/v1",` +
	`"predicate":{"issuer":"%s","identity":"tlogistry@project.iam.gserviceaccount.com",` +
	`"reference":"index.docker.io/library/app:3.16.0","digest":"%s"}}`

// TestEntry checks what a pull leaves in the log, by the log's own interface
// and sigstore-go alone, as anybody can who does not trust the service.
func TestEntry(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	w.tag(t, "3.16.0", w.one)
	answer := w.direct(t).get(t, "app", "3.16.0")
	answer.mustServe(t, w.one)

	uuid := answer.header.Get("Tlog-Uuid")
	entry := fetchEntry(t, w.Sigstore, uuid)
	wantHeaders := map[string]string{
		"Tlog-Logindex":       strconv.FormatInt(*entry.LogIndex, 10),
		"Tlog-Integratedtime": time.Unix(*entry.IntegratedTime, 0).UTC().Format("2006-01-02T15:04:05Z"),
		"Tlog-First-Seen":     "true",
	}
	for name, want := range wantHeaders {
		if got := answer.header.Get(name); got != want {
			t.Errorf("%s is %q, the entry says %q", name, got, want)
		}
	}

	own := sha256Hex("tlogistry own subject v1\n" + w.IssuerURL + "\ntlogistry@project.iam.gserviceaccount.com\nindex.docker.io/library/app:3.16.0\n")
	shared := sha256Hex("index.docker.io/library/app:3.16.0")
	image := strings.TrimPrefix(w.one, "sha256:")
	want := fmt.Sprintf(goldenStatement, own, shared, image, w.IssuerURL, w.one)
	if got := string(entry.Attestation.Data); got != want {
		t.Errorf("the statement is\n%s\nwant\n%s", got, want)
	}
	verifyEntry(t, w.Sigstore, entry, []byte(want), "intoto", "0.0.2", own, shared, image)

	for name, hash := range map[string]string{"own": own, "shared": shared, "image": image} {
		found, err := w.Search(t.Context(), "sha256:"+hash)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(found, []string{uuid}) {
			t.Errorf("by the %s subject %s the index has %v, want %s alone", name, hash, found, uuid)
		}
	}
}

// TestEntryKinds checks what is done where the log refuses kind intoto: the
// same statement goes into an entry of kind dsse, which keeps its hash alone.
func TestEntryKinds(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{Kinds: []string{"dsse", "hashedrekord"}})
	w.tag(t, "3.16.0", w.one)
	svc := w.direct(t)
	first := svc.get(t, "app", "3.16.0")
	first.mustServe(t, w.one)
	if first.header.Get("Tlog-First-Seen") != "true" {
		t.Errorf("Tlog-First-Seen is %q", first.header.Get("Tlog-First-Seen"))
	}
	uuid := first.header.Get("Tlog-Uuid")
	entry := fetchEntry(t, w.Sigstore, uuid)
	if entry.Attestation != nil {
		t.Errorf("the log has a statement: %s", entry.Attestation.Data)
	}
	verifyEntry(t, w.Sigstore, entry, w.statement(t, "3.16.0", w.one), "dsse", "0.0.1",
		strings.TrimPrefix(w.ownSubject("3.16.0"), "sha256:"))

	// One process knows the statement that it wrote. Others prove a match, and
	// can only say of what does not match that it is not what was recorded.
	other := w.direct(t)
	for _, svc := range []*service{svc, other} {
		again := svc.get(t, "app", "3.16.0")
		again.mustServe(t, w.one)
		again.mustBeRecord(t, uuid)
	}
	w.tag(t, "3.16.0", w.two)
	svc.get(t, "app", "3.16.0").mustRefuse(t, w.one, w.two)
	other.get(t, "app", "3.16.0").mustRefuse(t, w.one, w.two) // named by the match before
	unknowing := w.direct(t)
	refused := unknowing.get(t, "app", "3.16.0")
	refused.mustRefuse(t, "", w.two)
	refused.mustBeRecord(t, uuid)
	w.tag(t, "3.16.0", w.one)
	unknowing.get(t, "app", "3.16.0").mustServe(t, w.one)
	if n := w.records(t, "3.16.0", w.one); n != 1 {
		t.Errorf("the log has %d records of the tag, want 1", n)
	}
}

// TestEntryKindRefused: where the log takes neither kind, nothing is served.
func TestEntryKindRefused(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{Kinds: []string{"hashedrekord"}})
	w.tag(t, "v1", w.one)
	w.direct(t).get(t, "app", "v1").mustBeUnavailable(t)
	if len(w.written(t)) != 0 {
		t.Errorf("the log has entries: %v", w.written(t))
	}
}

// fetchEntry returns the entry of a UUID, with its statement if there is one,
// and under every subject by then.
func fetchEntry(t *testing.T, s *sigstore.Sigstore, uuid string) models.LogEntryAnon {
	t.Helper()
	must(t, s.Settle(t.Context()))
	var entries models.LogEntry
	getJSON(t, s.RekorURL+createPath+"/"+uuid, &entries)
	if !slices.Equal(slices.Collect(maps.Keys(entries)), []string{uuid}) {
		t.Fatalf("the log answers entries %v to %s", entries, uuid)
	}
	return entries[uuid]
}

// verifyEntry verifies an entry with its statement as a Sigstore bundle, for
// the service account and each of the artifacts.
func verifyEntry(t *testing.T, s *sigstore.Sigstore, e models.LogEntryAnon, statement []byte, kind, version string, artifacts ...string) {
	t.Helper()
	entry, err := tle.GenerateTransparencyLogEntry(e)
	if err != nil {
		t.Fatal(err)
	}
	if got := entry.KindVersion; got.Kind != kind || got.Version != version {
		t.Errorf("the entry is of kind %s %s, want %s %s", got.Kind, got.Version, kind, version)
	}
	parsed, err := tlog.ParseTransparencyLogEntry(entry)
	if err != nil {
		t.Fatal(err)
	}
	leaf, ok := parsed.PublicKey().(*x509.Certificate)
	if !ok {
		t.Fatalf("the entry is signed with a %T", parsed.PublicKey())
	}
	b, err := bundle.NewBundle(&protobundle.Bundle{
		MediaType: "application/vnd.dev.sigstore.bundle.v0.3+json",
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content:     &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: leaf.Raw}},
			TlogEntries: []*protorekor.TransparencyLogEntry{entry},
		},
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			Payload:     statement,
			PayloadType: "application/vnd.in-toto+json",
			Signatures:  []*protodsse.Signature{{Sig: parsed.Signature()}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := root.NewTrustedRootFromJSON(s.TrustedRoot())
	if err != nil {
		t.Fatal(err)
	}
	v, err := verify.NewVerifier(trusted,
		verify.WithSignedCertificateTimestamps(1), verify.WithTransparencyLog(1), verify.WithIntegratedTimestamps(1))
	if err != nil {
		t.Fatal(err)
	}
	who, err := verify.NewShortCertificateIdentity(s.IssuerURL, "", sigstore.DefaultEmail, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, artifact := range artifacts {
		digest, err := hex.DecodeString(artifact)
		if err != nil {
			t.Fatal(err)
		}
		policy := verify.NewPolicy(verify.WithArtifactDigest("sha256", digest), verify.WithCertificateIdentity(who))
		result, err := v.Verify(b, policy)
		if err != nil {
			t.Errorf("verify for subject %s: %v", artifact, err)
			continue
		}
		if c := result.Signature.Certificate; c.Issuer != s.IssuerURL || c.SubjectAlternativeName != sigstore.DefaultEmail {
			t.Errorf("the certificate names %s of issuer %s", c.SubjectAlternativeName, c.Issuer)
		}
	}
}

func sha256Hex(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
