package rekorlog

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-openapi/strfmt"
	"github.com/sigstore/rekor/pkg/generated/client/entries"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/tlogistry/tlogistry/internal/keyless"
	"github.com/tlogistry/tlogistry/internal/record"
)

// createTries is how often an entry is proposed at most.
const createTries = 3

// Add writes the record, waits until its own entry shows in the index and the
// settle time has passed since the create was answered, and remembers all
// sightings of ref that then show. Calls for one ref at a time make one entry.
// If a record of ref is known by now, none is written: record.ErrRecorded.
func (l *Log) Add(ctx context.Context, ref, digest string) (record.Sighting, error) {
	return l.adds.Do(ctx, ref, func(ctx context.Context) (record.Sighting, error) {
		defer l.memory.begin(ref)()
		if _, ok := l.memory.get(ref); ok {
			return record.Sighting{}, record.ErrRecorded // since the caller looked
		}
		if err := l.memory.check(ref); err != nil {
			return record.Sighting{}, err
		}
		if err := l.earlier(ctx, ref); err != nil {
			return record.Sighting{}, err
		}
		ctx, cancel := context.WithTimeout(ctx, l.writeLimit()) // anew, after that wait
		defer cancel()
		d, err := l.draft(ctx, ref, digest)
		if err == nil {
			err = l.c.Admit()
		}
		if err != nil {
			return record.Sighting{}, err // nothing was written
		}
		own, settled, err := l.write(ctx, d)
		if err == nil {
			err = l.confirm(ctx, own, settled)
		}
		if err != nil {
			l.unsure.Add(ref, time.Now())
		}
		return own, err
	})
}

// earlier fails with record.ErrRecorded if an earlier call has made a record of
// ref without learning of it. The caller may have looked before that showed.
func (l *Log) earlier(ctx context.Context, ref string) error {
	failed, ok := l.unsure.Get(ref)
	if !ok {
		return nil
	}
	if err := sleep(ctx, l.c.Settle-time.Since(failed)); err != nil {
		return err
	}
	s, err := l.settled(ctx, ref)
	if err == nil {
		err = l.remember(ctx, ref, s)
	}
	if err != nil {
		return err
	}
	l.unsure.Remove(ref)
	if len(s) > 0 {
		return record.ErrRecorded
	}
	return nil
}

// write logs a draft and verifies the entry made. It returns when the write
// will have settled.
func (l *Log) write(ctx context.Context, d draft) (record.Sighting, time.Time, error) {
	asked := time.Now()
	uuid, entry, err := l.propose(ctx, d.ref, d.statement, d.sig)
	if err != nil {
		return record.Sighting{}, time.Time{}, err
	}
	answered := time.Now()
	own, err := l.verifyOwn(ctx, d.id, d.ref, uuid, entry, d.statement)
	return own, answered.Add(l.settle(answered.Sub(asked))), err
}

// settle returns how long a write settles that took so long. It is at least
// that long: a log that is slow to answer, for load, is slow to fill its index
// too. Measured on two cores with 480 first pulls at once, where a create took
// seconds, a constant 250 ms let 1 to 3 of 240 pairs end with two digests.
// A settle time of zero is meant: no wait.
func (l *Log) settle(took time.Duration) time.Duration {
	if l.c.Settle == 0 {
		return 0
	}
	return max(l.c.Settle, took)
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

// propose has the log make an entry: of kind intoto, or of kind dsse if the log
// refuses that.
func (l *Log) propose(ctx context.Context, ref string, statement []byte, sig keyless.Signature) (string, *models.LogEntryAnon, error) {
	envelope, certPEM, err := envelopeOf(statement, sig)
	if err != nil {
		return "", nil, err
	}
	uuid, entry, err := l.create(ctx, ref, intotoEntry(envelope, statement, sig, certPEM))
	var bad *entries.CreateLogEntryBadRequest
	if errors.As(err, &bad) && bad.Payload != nil && kindRefused(bad.Payload.Message) {
		return l.create(ctx, ref, dsseEntry(envelope, certPEM))
	}
	return uuid, entry, err
}

// kindRefused reports whether Rekor's message says that it takes no such kind.
func kindRefused(message string) bool {
	return strings.Contains(message, "is not enabled for submission") ||
		strings.Contains(message, "unknown kind") ||
		strings.Contains(message, "does not support inserting entries")
}

// create proposes an entry, and again after a failure that may pass. The same
// bytes never make two entries: Rekor answers 409 and the entry's ID to a
// proposal that it has already logged, which is then fetched.
func (l *Log) create(ctx context.Context, ref string, e models.ProposedEntry) (string, *models.LogEntryAnon, error) {
	type created struct {
		uuid  string
		entry *models.LogEntryAnon
	}
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval = 100 * time.Millisecond
	tries := 0
	c, err := backoff.Retry(ctx, func() (created, error) {
		tries++
		uuid, entry, err := l.client.create(ctx, e)
		var conflict *entries.CreateLogEntryConflict
		if errors.As(err, &conflict) {
			uuid, entry, err = l.conflicting(ctx, conflict)
		}
		if err != nil && (tries == createTries || !mayPass(err)) {
			return created{}, backoff.Permanent(err)
		}
		return created{uuid, entry}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0))
	return c.uuid, c.entry, err
}

// mayPass reports whether a create that failed may be tried again.
func mayPass(err error) bool {
	var status interface{ Code() int }
	if errors.As(err, &status) {
		return status.Code() >= 500 || status.Code() == http.StatusTooManyRequests
	}
	return !errors.Is(err, ErrLog)
}

// conflicting fetches the entry that a 409 names.
func (l *Log) conflicting(ctx context.Context, c *entries.CreateLogEntryConflict) (string, *models.LogEntryAnon, error) {
	location := c.Location.String()
	uuid := location[strings.LastIndexByte(location, '/')+1:]
	if !entryID.MatchString(uuid) {
		return "", nil, fmt.Errorf("%w: a conflict names the entry %.100q", ErrLog, location)
	}
	found, err := l.client.entries(ctx, []string{uuid})
	if err != nil {
		return "", nil, err
	}
	return uuid, found[uuid], nil
}

// verifyOwn verifies the entry just made, as strictly as any other.
func (l *Log) verifyOwn(ctx context.Context, id record.Identity, ref, uuid string, e *models.LogEntryAnon, statement []byte) (record.Sighting, error) {
	var own record.Sighting
	err := l.c.Trust.judge(ctx, func(tm root.TrustedMaterial) error {
		proved, err := l.proved(ctx, map[string]*models.LogEntryAnon{uuid: e}, tm)
		if err != nil {
			return err
		}
		proved[0].statement = statement
		own, err = identify(proved[0], tm, id, ref)
		return err
	})
	if err != nil {
		return own, fmt.Errorf("verify the entry written: %w", err)
	}
	if own.Digest == "" {
		return own, fmt.Errorf("%w: entry %s is not the one proposed", ErrLog, uuid)
	}
	return own, nil
}

// confirm waits until own shows in the index and its write has settled, in
// whatever order, and remembers what shows.
func (l *Log) confirm(ctx context.Context, own record.Sighting, settled time.Time) error {
	if err := sleep(ctx, time.Until(settled)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, l.c.Timeout)
	defer cancel()
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 10*time.Millisecond, time.Second
	for hidden := false; ; hidden = true {
		sightings, _, err := l.search(ctx, own.Ref, own)
		switch {
		case err != nil && hidden && ctx.Err() != nil: // the last search came too late
			return fmt.Errorf("%w: entry %s: %w", ErrHidden, own.UUID, err)
		case err != nil:
			return err
		}
		if slices.ContainsFunc(sightings, func(s record.Sighting) bool { return s.UUID == own.UUID }) {
			return l.remember(ctx, own.Ref, sightings)
		}
		if err := sleep(ctx, wait.NextBackOff()); err != nil {
			return fmt.Errorf("%w: entry %s", ErrHidden, own.UUID)
		}
	}
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
