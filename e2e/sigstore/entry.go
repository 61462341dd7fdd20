package sigstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/sigstore-go/pkg/sign"
)

// PayloadType is the DSSE payload type of in-toto statements.
const PayloadType = "application/vnd.in-toto+json"

// maxAnswer bounds what is read of one answer of Rekor, in bytes.
const maxAnswer = 16 << 20

// client talks to loopback servers, none of which takes long.
var client = &http.Client{Timeout: time.Minute}

// An Author signs statements, as a foreign writer of the log would.
type Author struct {
	Key         sign.Keypair
	Certificate []byte // DER
}

// Author returns an author with a fresh key and a certificate that Fulcio
// issued to email.
func (s *Sigstore) Author(ctx context.Context, email string) (*Author, error) {
	token, err := s.IDToken(email, Audience)
	if err != nil {
		return nil, fmt.Errorf("sigstore: author: %w", err)
	}
	key, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		return nil, fmt.Errorf("sigstore: author: %w", err)
	}
	fulcio := sign.NewFulcio(&sign.FulcioOptions{BaseURL: s.FulcioURL})
	cert, err := fulcio.GetCertificate(ctx, key, &sign.CertificateProviderOptions{IDToken: token})
	if err != nil {
		return nil, fmt.Errorf("sigstore: author: %w", err)
	}
	return &Author{Key: key, Certificate: cert}, nil
}

// Author returns an author with a fresh key and a certificate of this
// authority with the contents of l, whose Key is ignored.
func (c *CA) Author(ctx context.Context, l Leaf) (*Author, error) {
	key, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		return nil, fmt.Errorf("sigstore: author: %w", err)
	}
	l.Key = key.GetPublicKey()
	cert, err := c.Issue(ctx, l)
	if err != nil {
		return nil, fmt.Errorf("sigstore: author: %w", err)
	}
	return &Author{Key: key, Certificate: cert}, nil
}

// An Envelope is a DSSE envelope with the certificate of its only signature.
type Envelope struct {
	Payload     []byte
	Signature   []byte
	Certificate []byte // DER
}

// Sign signs an in-toto statement. The signature is another one each time.
func (a *Author) Sign(ctx context.Context, statement []byte) (*Envelope, error) {
	sig, _, err := a.Key.SignData(ctx, dsse.PAE(PayloadType, statement))
	if err != nil {
		return nil, fmt.Errorf("sigstore: sign: %w", err)
	}
	return &Envelope{Payload: statement, Signature: sig, Certificate: a.Certificate}, nil
}

func (e *Envelope) certificatePEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.Certificate})
}

func (e *Envelope) json() ([]byte, error) {
	return json.Marshal(dsse.Envelope{
		PayloadType: PayloadType,
		Payload:     b64(e.Payload),
		Signatures:  []dsse.Signature{{Sig: b64(e.Signature)}},
	})
}

// InToto returns the proposed entry of kind intoto 0.0.2, as JSON.
// In it payload and signature are base64 of base64.
func (e *Envelope) InToto() ([]byte, error) {
	envelope, err := e.json()
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(envelope)
	type object = map[string]any
	return json.Marshal(object{
		"apiVersion": "0.0.2",
		"kind":       "intoto",
		"spec": object{"content": object{
			"envelope": object{
				"payloadType": PayloadType,
				"payload":     b64([]byte(b64(e.Payload))),
				"signatures": []object{{
					"sig":       b64([]byte(b64(e.Signature))),
					"publicKey": b64(e.certificatePEM()),
				}},
			},
			"hash": object{"algorithm": "sha256", "value": hex.EncodeToString(hash[:])},
		}},
	})
}

// DSSE returns the proposed entry of kind dsse 0.0.1, as JSON.
func (e *Envelope) DSSE() ([]byte, error) {
	envelope, err := e.json()
	if err != nil {
		return nil, err
	}
	type object = map[string]any
	return json.Marshal(object{
		"apiVersion": "0.0.1",
		"kind":       "dsse",
		"spec": object{"proposedContent": object{
			"envelope":  string(envelope),
			"verifiers": []string{b64(e.certificatePEM())},
		}},
	})
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// A StatusError is an answer of Rekor other than success.
type StatusError struct {
	Code int
	Body string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("rekor answered %d: %s", e.Code, e.Body)
}

// Create submits a proposed entry and returns its UUID and the entry as Rekor
// answered it. A refusal is a [*StatusError]; its code is 409 if the log has
// these very bytes already.
func (s *Sigstore) Create(ctx context.Context, proposal []byte) (uuid string, e models.LogEntryAnon, err error) {
	var entries models.LogEntry
	if err := s.post(ctx, "/api/v1/log/entries", json.RawMessage(proposal), http.StatusCreated, &entries); err != nil {
		return "", e, err
	}
	for uuid, e = range entries {
		return uuid, e, nil
	}
	return "", e, fmt.Errorf("sigstore: rekor answered no entry")
}

// Search returns the UUIDs of the entries that the index has under a hash,
// such as "sha256:" and 64 hex digits. An entry shows a moment after its
// creation was answered.
func (s *Sigstore) Search(ctx context.Context, hash string) (uuids []string, err error) {
	query := map[string]string{"hash": hash}
	err = s.post(ctx, "/api/v1/index/retrieve", query, http.StatusOK, &uuids)
	return uuids, err
}

// Retrieve returns at most ten entries by their UUIDs.
// The attestation of one is stored a moment after its creation was answered.
func (s *Sigstore) Retrieve(ctx context.Context, uuids ...string) (map[string]models.LogEntryAnon, error) {
	query := map[string][]string{"entryUUIDs": uuids}
	var answer []models.LogEntry
	if err := s.post(ctx, "/api/v1/log/entries/retrieve", query, http.StatusOK, &answer); err != nil {
		return nil, err
	}
	found := make(map[string]models.LogEntryAnon)
	for _, entries := range answer {
		for uuid, e := range entries {
			found[uuid] = e
		}
	}
	return found, nil
}

// post sends v to Rekor and decodes the answer, which must have the status
// want, into result.
func (s *Sigstore) post(ctx context.Context, path string, v any, want int, result any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("sigstore: encode: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.RekorURL+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("sigstore: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("sigstore: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("sigstore: read answer: %w", err)
	}
	if resp.StatusCode != want {
		return &StatusError{Code: resp.StatusCode, Body: string(answer)}
	}
	if err := json.Unmarshal(answer, result); err != nil {
		return fmt.Errorf("sigstore: decode answer: %w", err)
	}
	return nil
}
