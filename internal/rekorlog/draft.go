package rekorlog

import (
	"context"

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
