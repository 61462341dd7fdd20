package rekorlog

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-openapi/strfmt"
	"github.com/sigstore/rekor/pkg/generated/client/entries"
	"github.com/sigstore/rekor/pkg/generated/models"

	"github.com/tlogistry/tlogistry/internal/keyless"
	"github.com/tlogistry/tlogistry/internal/record"
)

// createTries is how often an entry is proposed at most.
const createTries = 3

// A created is the entry that the log has made of a proposal.
type created struct {
	uuid  string
	entry *models.LogEntryAnon // nil: the log had it already, and only names it
}

// propose has the log make an entry: of kind intoto, or of kind dsse if the log
// refuses that.
func (l *Log) propose(ctx context.Context, d draft) (created, error) {
	envelope, certPEM, err := envelopeOf(d.statement, d.sig)
	if err != nil {
		return created{}, err
	}
	c, err := l.create(ctx, intotoEntry(envelope, d.statement, d.sig, certPEM))
	var bad *entries.CreateLogEntryBadRequest
	if errors.As(err, &bad) && bad.Payload != nil && kindRefused(bad.Payload.Message) {
		return l.create(ctx, dsseEntry(envelope, certPEM))
	}
	return c, err
}

// kindRefused reports whether Rekor's message says that it takes no such kind.
func kindRefused(message string) bool {
	return strings.Contains(message, "is not enabled for submission") ||
		strings.Contains(message, "unknown kind") ||
		strings.Contains(message, "does not support inserting entries")
}

// create proposes an entry, and again after a failure that may pass. The same
// bytes never make two entries: Rekor answers 409 and the entry's ID to a
// proposal that it has already logged.
func (l *Log) create(ctx context.Context, e models.ProposedEntry) (created, error) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval = 100 * time.Millisecond
	tries := 0
	return backoff.Retry(ctx, func() (created, error) {
		tries++
		uuid, entry, err := l.client.create(ctx, e)
		var conflict *entries.CreateLogEntryConflict
		if errors.As(err, &conflict) {
			uuid, err = conflicting(conflict)
		}
		if err != nil && (tries == createTries || !mayPass(err)) {
			return created{}, backoff.Permanent(err)
		}
		return created{uuid, entry}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0))
}

// mayPass reports whether a create that failed may be tried again.
func mayPass(err error) bool {
	var status interface{ Code() int }
	if errors.As(err, &status) {
		return status.Code() >= 500 || status.Code() == http.StatusTooManyRequests
	}
	return !errors.Is(err, ErrLog)
}

// conflicting returns the ID of the entry that a 409 names.
func conflicting(c *entries.CreateLogEntryConflict) (string, error) {
	location := c.Location.String()
	uuid := location[strings.LastIndexByte(location, '/')+1:]
	if !entryID.MatchString(uuid) {
		return "", fmt.Errorf("%w: a conflict names the entry %.100q", ErrLog, location)
	}
	return uuid, nil
}

// A dsseEnvelope is a DSSE envelope in JSON; []byte is base64 there.
type dsseEnvelope struct {
	PayloadType string          `json:"payloadType"`
	Payload     []byte          `json:"payload"`
	Signatures  []dsseSignature `json:"signatures"`
}

type dsseSignature struct {
	Sig []byte `json:"sig"`
}

func envelopeOf(statement []byte, sig keyless.Signature) (envelope, certPEM []byte, err error) {
	envelope, err = json.Marshal(dsseEnvelope{record.PayloadType, statement, []dsseSignature{{sig.Bytes}}})
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: sig.Certificate})
	return envelope, certPEM, err
}

// intotoEntry is the proposal of kind intoto 0.0.2. There the payload and the
// signature are base64 of base64.
func intotoEntry(envelope, statement []byte, sig keyless.Signature, certPEM []byte) models.ProposedEntry {
	twice := func(b []byte) strfmt.Base64 { return strfmt.Base64(base64.StdEncoding.EncodeToString(b)) }
	sum := sha256.Sum256(envelope)
	return &models.Intoto{
		APIVersion: new("0.0.2"),
		Spec: models.IntotoV002Schema{Content: &models.IntotoV002SchemaContent{
			Envelope: &models.IntotoV002SchemaContentEnvelope{
				PayloadType: new(record.PayloadType),
				Payload:     twice(statement),
				Signatures: []*models.IntotoV002SchemaContentEnvelopeSignaturesItems0{{
					PublicKey: new(strfmt.Base64(certPEM)),
					Sig:       new(twice(sig.Bytes)),
				}},
			},
			Hash: &models.IntotoV002SchemaContentHash{
				Algorithm: new(models.IntotoV002SchemaContentHashAlgorithmSha256),
				Value:     new(hex.EncodeToString(sum[:])),
			},
		}},
	}
}

// dsseEntry is the proposal of kind dsse 0.0.1. The log keeps no statement
// with it.
func dsseEntry(envelope, certPEM []byte) models.ProposedEntry {
	return &models.DSSE{
		APIVersion: new("0.0.1"),
		Spec: models.DSSEV001Schema{ProposedContent: &models.DSSEV001SchemaProposedContent{
			Envelope:  new(string(envelope)),
			Verifiers: []strfmt.Base64{certPEM},
		}},
	}
}
