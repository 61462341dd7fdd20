package rekorlog

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/tlogistry/tlogistry/internal/record"
)

// errUntrusted marks an entry whose certificate names the identity and does
// not chain to the trusted root. It is somebody's forgery, unless the trusted
// root is out of date.
var errUntrusted = fmt.Errorf("%w: its certificate is not trusted", record.ErrForeign)

// An untrustedError is errUntrusted about what was made at a time. A trusted
// root that is loaded later would know who made it.
type untrustedError struct {
	at  time.Time
	err error
}

func (e *untrustedError) Error() string { return errUntrusted.Error() + ": " + e.err.Error() }

func (e *untrustedError) Unwrap() []error { return []error{errUntrusted, e.err} }

// latest returns which of two errors is about what was made later and is not
// trusted. Each may be another error, or nil.
func latest(a, b error) error {
	var x, y *untrustedError
	if !errors.As(b, &y) || errors.As(a, &x) && x.at.After(y.at) {
		return a
	}
	return b
}

const bundleMediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// identify checks that a proved entry is a record of ref by id, and returns its
// sighting. Where the log gave no statement, or not the one whose hash it
// logged, the sighting has no digest: then its signature and what it is about
// are still to be proved, by [withStatement]. Every error wraps record.ErrForeign.
func identify(l *logged, tm root.TrustedMaterial, id record.Identity, ref string) (record.Sighting, error) {
	e, cert, hash, err := parseBody(l)
	if err != nil {
		return record.Sighting{}, fmt.Errorf("%w: entry %s: %w", record.ErrForeign, l.id, brief(err))
	}
	if err := checkIdentity(cert, id); err != nil {
		return record.Sighting{}, fmt.Errorf("%w: entry %s: %w", record.ErrForeign, l.id, err)
	}
	if err := checkChain(cert, e.IntegratedTime(), tm); err != nil {
		return record.Sighting{}, &untrustedError{e.IntegratedTime(), fmt.Errorf("entry %s: %w", l.id, err)}
	}
	s := record.Sighting{
		Ref:   ref,
		Hash:  hash,
		UUID:  l.id,
		Index: e.LogIndex(),
		Time:  e.IntegratedTime().UTC(),
		By:    id,
	}
	if l.statement == nil || sha256.Sum256(l.statement) != hash {
		return s, nil
	}
	named, err := withStatement(l, tm, id, s, l.statement)
	if err == nil && named.Ref != ref {
		err = fmt.Errorf("%w: entry %s is about %s", record.ErrForeign, l.id, named.Ref)
	}
	return named, err
}

// withStatement checks an entry together with its statement, completely, and
// returns the sighting with the reference and digest that the statement names.
// Every error wraps record.ErrForeign.
func withStatement(l *logged, tm root.TrustedMaterial, id record.Identity, s record.Sighting, statement []byte) (record.Sighting, error) {
	fail := func(err error) (record.Sighting, error) {
		return record.Sighting{}, fmt.Errorf("%w: entry %s: %w", record.ErrForeign, l.id, brief(err))
	}
	st, err := record.Decode(statement)
	if err != nil {
		return fail(err)
	}
	if st.Identity != id {
		return fail(fmt.Errorf("its statement is made by %s of issuer %s", st.Identity.Subject, st.Identity.Issuer))
	}
	b, err := newBundle(l, statement)
	if err != nil {
		return fail(err)
	}
	v, err := verify.NewVerifier(tm,
		verify.WithSignedCertificateTimestamps(1), verify.WithTransparencyLog(1), verify.WithIntegratedTimestamps(1))
	if err != nil {
		return fail(err)
	}
	who, err := verify.NewShortCertificateIdentity(id.Issuer, "", id.Subject, "")
	if err != nil {
		return fail(err)
	}
	own := id.OwnSubject(st.Ref)
	policy := verify.NewPolicy(verify.WithArtifactDigest("sha256", own[:]), verify.WithCertificateIdentity(who))
	if _, err := v.Verify(b, policy); err != nil {
		return fail(err)
	}
	s.Ref, s.Digest = st.Ref, st.Digest
	return s, nil
}

// parseBody reads an entry's certificate and the hash of its statement.
func parseBody(l *logged) (*tlog.Entry, *x509.Certificate, [32]byte, error) {
	var hash [32]byte
	e, err := parseKind(l)
	if err != nil {
		return nil, nil, hash, err
	}
	payload, ok := e.GetDssePayloadHash()
	if !ok || len(payload) != len(hash) {
		return nil, nil, hash, errors.New("it is no DSSE envelope")
	}
	cert, ok := e.PublicKey().(*x509.Certificate)
	if !ok {
		return nil, nil, hash, errors.New("it is not signed with a certificate")
	}
	return e, cert, [32]byte(payload), nil
}

// parseKind reads an entry's body as one of the kinds that a bundle may have.
// For a proved entry it depends on the body alone whether that is one.
func parseKind(l *logged) (*tlog.Entry, error) {
	switch {
	case l.entry == nil:
		return nil, errors.New("it is larger than any record")
	case l.parsed != nil:
		return l.parsed, nil
	}
	tle, err := transparencyEntry(l)
	if err != nil {
		return nil, err
	}
	e, err := tlog.ParseTransparencyLogEntry(tle)
	if err != nil {
		return nil, err
	}
	if err := tlog.ValidateEntry(e); err != nil {
		return nil, err
	}
	l.parsed = e
	return e, nil
}

func checkIdentity(cert *x509.Certificate, id record.Identity) error {
	summary, err := certificate.SummarizeCertificate(cert)
	if err != nil {
		return err
	}
	if summary.SubjectAlternativeName != id.Subject || summary.Issuer != id.Issuer {
		return fmt.Errorf("it is signed by %.200q of issuer %.200q", summary.SubjectAlternativeName, summary.Issuer)
	}
	return nil
}

// checkChain checks that a trusted authority issued the certificate, that it
// was valid at t, and that a trusted certificate log has it.
func checkChain(cert *x509.Certificate, t time.Time, tm root.TrustedMaterial) error {
	chains, err := verify.VerifyLeafCertificate(t, cert, tm)
	if err != nil {
		return err
	}
	return verify.VerifySignedCertificateTimestamp(chains, 1, tm)
}

// transparencyEntry puts an entry into the form of a Sigstore bundle.
func transparencyEntry(l *logged) (*protorekor.TransparencyLogEntry, error) {
	var kind struct {
		Kind    string `json:"kind"`
		Version string `json:"apiVersion"`
	}
	if err := json.Unmarshal(l.body, &kind); err != nil {
		return nil, fmt.Errorf("its body: %w", err)
	}
	p := l.entry.Verification.InclusionProof
	logID, err := hex.DecodeString(*l.entry.LogID)
	if err != nil {
		return nil, err
	}
	rootHash, err := hex.DecodeString(*p.RootHash)
	if err != nil {
		return nil, err
	}
	var hashes [][]byte
	for _, text := range p.Hashes {
		h, err := hex.DecodeString(text)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, h)
	}
	return &protorekor.TransparencyLogEntry{
		LogIndex:          *l.entry.LogIndex,
		LogId:             &protocommon.LogId{KeyId: logID},
		KindVersion:       &protorekor.KindVersion{Kind: kind.Kind, Version: kind.Version},
		IntegratedTime:    *l.entry.IntegratedTime,
		InclusionPromise:  &protorekor.InclusionPromise{SignedEntryTimestamp: l.entry.Verification.SignedEntryTimestamp},
		CanonicalizedBody: l.body,
		InclusionProof: &protorekor.InclusionProof{
			LogIndex:   *p.LogIndex,
			RootHash:   rootHash,
			TreeSize:   *p.TreeSize,
			Hashes:     hashes,
			Checkpoint: &protorekor.Checkpoint{Envelope: *p.Checkpoint},
		},
	}, nil
}

// newBundle joins an entry and its statement to a Sigstore bundle.
func newBundle(l *logged, statement []byte) (*bundle.Bundle, error) {
	e, cert, hash, err := parseBody(l)
	if err != nil {
		return nil, err
	}
	if got := sha256.Sum256(statement); !bytes.Equal(got[:], hash[:]) {
		return nil, errors.New("the statement is not the logged one")
	}
	return bundle.NewBundle(&protobundle.Bundle{
		MediaType: bundleMediaType,
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content:     &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: cert.Raw}},
			TlogEntries: []*protorekor.TransparencyLogEntry{e.TransparencyLogEntry()},
		},
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			Payload:     statement,
			PayloadType: record.PayloadType,
			Signatures:  []*protodsse.Signature{{Sig: e.Signature()}},
		}},
	})
}
