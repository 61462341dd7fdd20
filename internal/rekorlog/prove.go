package rekorlog

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-openapi/strfmt"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/util"
	rekorverify "github.com/sigstore/rekor/pkg/verify"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/transparency-dev/merkle/rfc6962"
)

// treeOrigin is how an origin ends that bundles are verified by: a checkpoint with
// another one would be Rekor v2's there.
var treeOrigin = regexp.MustCompile(` - [0-9]+$`)

// A logged is an entry proved to be in the log.
type logged struct {
	id        string
	body      []byte // canonical JSON, as the leaf hash covers it
	entry     *models.LogEntryAnon
	statement []byte // the log's copy of the statement, unproved; nil if it gave none
	tree      tree
	head      head        // that it is included under; signed, and not yet of one history with others
	parsed    *tlog.Entry // of parseKind; nil: not yet, or it is of no such kind
}

// proved proves entries, by their IDs, and that the checkpoints that prove them
// are of one history with those that this process has seen. That costs a request
// for each head that is new. An entry that is nil has been proved to be too
// large to be a record; it stays without all that it could be read from.
func (l *Log) proved(ctx context.Context, entries map[string]*models.LogEntryAnon, tm root.TrustedMaterial) ([]*logged, error) {
	var list []*logged
	for id, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if e == nil {
			list = append(list, &logged{id: id})
			continue
		}
		p, err := prove(ctx, id, e, tm)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, l.history.checkAll(ctx, list)
}

// prove checks that the log can have given an entry: its leaf hash is the one
// that the ID names, the signed entry timestamp and the checkpoint are signed
// by a trusted log, and the leaf is included under the checkpoint. Every error
// wraps ErrLog.
//
// What verifies a bundle is stricter about how an entry is put, and tells whether
// a record is ours. What it would not take for the log's must not pass here: the
// record would be ignored, for what nobody has signed.
func prove(ctx context.Context, id string, e *models.LogEntryAnon, tm root.TrustedMaterial) (*logged, error) {
	l, err := parseEntry(id, e)
	if err == nil {
		err = l.verify(ctx, tm)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: entry %s: %w", ErrLog, id, brief(err))
	}
	return l, nil
}

// verify is what prove does with an entry whose form is right.
func (l *logged) verify(ctx context.Context, tm root.TrustedMaterial) error {
	verifier, err := logVerifier(l.entry, tm)
	if err != nil {
		return err
	}
	if err := rekorverify.VerifyLogEntry(ctx, l.entry, verifier); err != nil {
		return err
	}
	if err := l.place(l.entry.Verification.InclusionProof); err != nil {
		return err
	}
	parsed, err := parseKind(l)
	if err != nil {
		return nil // it is no record, however it is put
	}
	return tlog.VerifySET(parsed, tm.RekorLogs())
}

// parseEntry checks an entry's form, and its leaf hash against its ID.
func parseEntry(id string, e *models.LogEntryAnon) (*logged, error) {
	if err := e.Validate(strfmt.Default); err != nil {
		return nil, err
	}
	if e.Verification == nil || e.Verification.InclusionProof == nil || len(e.Verification.SignedEntryTimestamp) == 0 {
		return nil, errors.New("it has no inclusion proof or no signed entry timestamp")
	}
	text, ok := e.Body.(string)
	if !ok {
		return nil, errors.New("its body is not a string")
	}
	body, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("its body: %w", err)
	}
	if leaf := hex.EncodeToString(rfc6962.DefaultHasher.HashLeaf(body)); leaf != leafOf(id) {
		return nil, fmt.Errorf("its leaf hash is %s", leaf)
	}
	l := &logged{id: id, body: body, entry: e}
	if e.Attestation != nil && len(e.Attestation.Data) > 0 {
		l.statement = e.Attestation.Data
	}
	return l, nil
}

// logVerifier returns the verifier of the log that an entry says it is of.
func logVerifier(e *models.LogEntryAnon, tm root.TrustedMaterial) (signature.Verifier, error) {
	log, ok := tm.RekorLogs()[*e.LogID]
	if !ok {
		return nil, fmt.Errorf("%w: it is said to be of %s", ErrUnsigned, *e.LogID)
	}
	t := time.Unix(*e.IntegratedTime, 0)
	if !log.ValidityPeriodStart.IsZero() && t.Before(log.ValidityPeriodStart) ||
		!log.ValidityPeriodEnd.IsZero() && t.After(log.ValidityPeriodEnd) {
		return nil, fmt.Errorf("the key of log %s was not valid at %s", *e.LogID, t.UTC().Format(time.RFC3339))
	}
	return signature.LoadVerifier(log.PublicKey, log.SignatureHashFunc)
}

// place compares the proof with the checkpoint in what rekor's own verification
// leaves out: the tree's size, and the tree's ID, if the entry's ID has one. It
// sets the tree and head that the checkpoint vouches for.
func (l *logged) place(p *models.InclusionProof) error {
	var c util.SignedCheckpoint
	if err := c.UnmarshalText([]byte(*p.Checkpoint)); err != nil {
		return err
	}
	if *p.TreeSize < 0 || c.Size != uint64(*p.TreeSize) {
		return fmt.Errorf("its proof is for tree size %d, its checkpoint for %d", *p.TreeSize, c.Size)
	}
	var err error
	if l.head, err = headOf(&c); err != nil {
		return err
	}
	l.tree = treeOf(*l.entry.LogID, &c)
	if !treeOrigin.MatchString(c.Origin) {
		return fmt.Errorf("its checkpoint is of %.100q, which names no tree", c.Origin)
	}
	prefix := strings.TrimSuffix(l.id, leafOf(l.id))
	if prefix == "" {
		return nil
	}
	id, err := strconv.ParseUint(prefix, 16, 64)
	if err != nil {
		return err
	}
	if !strings.HasSuffix(c.Origin, " - "+strconv.FormatUint(id, 10)) {
		return fmt.Errorf("its checkpoint is of the tree %.100q", c.Origin)
	}
	return nil
}
