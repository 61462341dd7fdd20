package rekorlog

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"testing"

	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/tlogistry/tlogistry/internal/record"
)

// bodies are what Rekor logs, and what it should not, without signatures that
// hold: how they are read does not depend on that.
var bodies = []string{
	`{"apiVersion":"0.0.2","kind":"intoto","spec":{"content":{"envelope":{"payloadType":"application/vnd.in-toto+json","signatures":[{"publicKey":"LS0tLS1CRUdJTg==","sig":"TUVV"}]},"hash":{"algorithm":"sha256","value":"` + leafA + `"},"payloadHash":{"algorithm":"sha256","value":"` + leafB + `"}}}}`,
	`{"apiVersion":"0.0.2","kind":"intoto","spec":{"content":{"envelope":{"payloadType":"x","signatures":[]}}}}`,
	`{"apiVersion":"0.0.2","kind":"intoto","spec":{"content":{"envelope":{"payloadType":"x","signatures":[null]}}}}`,
	`{"apiVersion":"0.0.2","kind":"intoto","spec":{"content":{}}}`,
	`{"apiVersion":"0.0.2","kind":"intoto","spec":{}}`,
	`{"apiVersion":"0.0.2","kind":"intoto"}`,
	`{"apiVersion":"0.0.1","kind":"intoto","spec":{"content":{"hash":{"algorithm":"sha256","value":"` + leafA + `"}},"publicKey":"LS0t"}}`,
	`{"apiVersion":"0.0.1","kind":"dsse","spec":{"envelopeHash":{"algorithm":"sha256","value":"` + leafA + `"},"payloadHash":{"algorithm":"sha256","value":"` + leafB + `"},"signatures":[{"signature":"TUVV","verifier":"LS0t"}]}}`,
	`{"apiVersion":"0.0.1","kind":"dsse","spec":{"envelopeHash":{"algorithm":"sha256","value":"` + leafA + `"},"payloadHash":{"algorithm":"sha256","value":"` + leafB + `"},"signatures":[{}]}}`,
	`{"apiVersion":"0.0.1","kind":"dsse","spec":{"payloadHash":null,"signatures":[null]}}`,
	`{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":"` + leafA + `"}},"signature":{"content":"TUVV","publicKey":{"content":"LS0t"}}}}`,
	`{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{}}}`,
	`{"kind":"rpm"}`, `{}`, `[]`, `null`, ``, `{`,
}

// FuzzIdentify reads log entries with any body. None that nobody has signed is
// a record, and none ends the process.
func FuzzIdentify(f *testing.F) {
	for _, b := range bodies {
		f.Add([]byte(b), []byte(`{"_type":"https://in-toto.io/Statement/v1"}`))
	}
	id := record.Identity{Issuer: "https://accounts.example.com", Subject: "somebody@example.com"}
	f.Fuzz(func(t *testing.T, body, statement []byte) {
		e := &models.LogEntryAnon{
			Body:           base64.StdEncoding.EncodeToString(body),
			IntegratedTime: new(int64(1)),
			LogID:          new(leafA),
			LogIndex:       new(int64(1)),
			Verification: &models.LogEntryAnonVerification{
				SignedEntryTimestamp: []byte{1},
				InclusionProof: &models.InclusionProof{
					Checkpoint: new("log - 1\n1\nAAAA\n\n— log AAAAAAA=\n"),
					Hashes:     []string{leafB},
					LogIndex:   new(int64(0)),
					RootHash:   new(leafA),
					TreeSize:   new(int64(1)),
				},
			},
		}
		l, err := parseEntry(hex.EncodeToString(rfc6962.DefaultHasher.HashLeaf(body)), e)
		if err != nil {
			return // the entry's form, not the body's
		}
		l.statement = statement
		s, err := identify(l, &root.BaseTrustedMaterial{}, id, "index.docker.io/library/app:v1")
		if !errors.Is(err, record.ErrForeign) {
			t.Errorf("got %v, %v; want %v", s, err, record.ErrForeign)
		}
	})
}

// FuzzProve reads any entry as JSON. None that no trusted log has signed is
// proved.
func FuzzProve(f *testing.F) {
	f.Add(tree1+leafA, []byte(`{"body":"e30=","integratedTime":1,"logID":"`+leafA+`","logIndex":0,"verification":{"inclusionProof":{"checkpoint":"log - 1\n1\nAAAA\n\n— log AAAAAAA=\n","hashes":["`+leafB+`"],"logIndex":0,"rootHash":"`+leafA+`","treeSize":1},"signedEntryTimestamp":"AAAA"}}`))
	f.Add(leafA, []byte(`{}`))
	f.Add("", []byte(`{"body":1,"verification":null}`))
	f.Fuzz(func(t *testing.T, id string, entry []byte) {
		var e models.LogEntryAnon
		if json.Unmarshal(entry, &e) != nil {
			return
		}
		if text, ok := e.Body.(string); ok {
			if body, err := base64.StdEncoding.DecodeString(text); err == nil {
				id = tree1 + hex.EncodeToString(rfc6962.DefaultHasher.HashLeaf(body))
			}
		}
		if _, err := prove(t.Context(), id, &e, &root.BaseTrustedMaterial{}); !errors.Is(err, ErrLog) {
			t.Errorf("got %v, want %v", err, ErrLog)
		}
	})
}
