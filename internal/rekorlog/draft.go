package rekorlog

import (
	"context"
	"crypto/x509"
	"fmt"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"

	"github.com/tlogistry/tlogistry/internal/keyless"
	"github.com/tlogistry/tlogistry/internal/record"
)

// A draft is a record that is signed and not yet written.
type draft struct {
	id        record.Identity
	ref       string
	statement []byte
	sig       keyless.Signature
}

// draft signs the statement about ref and digest.
func (l *Log) draft(ctx context.Context, ref, digest string) (draft, error) {
	id, err := l.Identity(ctx)
	if err != nil {
		return draft{}, err
	}
	statement, err := record.Statement{Identity: id, Ref: ref, Digest: digest}.Encode()
	if err != nil {
		return draft{}, err
	}
	pae := (&sign.DSSEData{Data: statement, PayloadType: record.PayloadType}).PreAuthEncoding()
	sig, err := l.c.Signer.Sign(ctx, pae)
	if err != nil {
		return draft{}, err
	}
	// What could not be verified afterwards is not written.
	return draft{id, ref, statement, sig}, l.checkSigner(ctx, sig)
}

// checkSigner checks that the certificate of a signature is trusted, at the
// start of its life, which needs no clock.
func (l *Log) checkSigner(ctx context.Context, sig keyless.Signature) error {
	cert, err := x509.ParseCertificate(sig.Certificate)
	if err != nil {
		return fmt.Errorf("the certificate to sign with: %w", err)
	}
	return l.c.Trust.judge(ctx, func(tm root.TrustedMaterial) error {
		if err := checkChain(cert, cert.NotBefore, tm); err != nil {
			return &untrustedError{cert.NotBefore, fmt.Errorf("it is the one to sign with: %w", err)}
		}
		return nil
	})
}
