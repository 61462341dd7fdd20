package rekorlog

import (
	"crypto/elliptic"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/sigstore/rekor/pkg/generated/models"
)

// TestProve changes one thing of an entry that the log can have given. It is no
// longer proved.
func TestProve(t *testing.T) {
	tiny := newTinyLog(t, `{}`, `[]`, `1`, `2`, `3`)
	older := newTinyLog(t, `{}`, `[]`, `1`)
	older.key, older.signer, older.id = tiny.key, tiny.signer, tiny.id
	stranger := newTinyLog(t, `{}`, `[]`, `1`, `2`, `3`)
	const index = 2
	entry := func(t *testing.T, l *tinyLog) *models.LogEntryAnon {
		b, err := json.Marshal(l.entry(index))
		if err != nil {
			t.Fatal(err)
		}
		var e models.LogEntryAnon
		if err := json.Unmarshal(b, &e); err != nil {
			t.Fatal(err)
		}
		return &e
	}
	flip := func(s *string) {
		i := len(*s) / 2
		digit := byte('0')
		if (*s)[i] == digit {
			digit = '1'
		}
		*s = (*s)[:i] + string(digit) + (*s)[i+1:]
	}
	proof := func(e *models.LogEntryAnon) *models.InclusionProof { return e.Verification.InclusionProof }
	for name, change := range map[string]func(e *models.LogEntryAnon){
		"body":            func(e *models.LogEntryAnon) { e.Body = base64.StdEncoding.EncodeToString([]byte("4")) },
		"body of another": func(e *models.LogEntryAnon) { e.Body = base64.StdEncoding.EncodeToString([]byte("2")) },
		"integrated time": func(e *models.LogEntryAnon) { *e.IntegratedTime++ },
		"log index":       func(e *models.LogEntryAnon) { *e.LogIndex++ },
		"log ID":          func(e *models.LogEntryAnon) { flip(e.LogID) },
		"SET":             func(e *models.LogEntryAnon) { e.Verification.SignedEntryTimestamp[9] ^= 1 },
		"no SET":          func(e *models.LogEntryAnon) { e.Verification.SignedEntryTimestamp = nil },
		"SET of a stranger": func(e *models.LogEntryAnon) {
			e.Verification.SignedEntryTimestamp = entry(t, stranger).Verification.SignedEntryTimestamp
		},
		"position":         func(e *models.LogEntryAnon) { *proof(e).LogIndex-- },
		"first hash":       func(e *models.LogEntryAnon) { flip(&proof(e).Hashes[0]) },
		"second hash":      func(e *models.LogEntryAnon) { flip(&proof(e).Hashes[1]) },
		"last hash":        func(e *models.LogEntryAnon) { flip(&proof(e).Hashes[len(proof(e).Hashes)-1]) },
		"one hash less":    func(e *models.LogEntryAnon) { proof(e).Hashes = proof(e).Hashes[1:] },
		"one hash more":    func(e *models.LogEntryAnon) { proof(e).Hashes = append(proof(e).Hashes, leafA) },
		"root hash":        func(e *models.LogEntryAnon) { flip(proof(e).RootHash) },
		"tree size":        func(e *models.LogEntryAnon) { *proof(e).TreeSize++ },
		"older checkpoint": func(e *models.LogEntryAnon) { *proof(e).Checkpoint = older.checkpoint() },
		"checkpoint's name": func(e *models.LogEntryAnon) {
			*proof(e).Checkpoint = strings.Replace(*proof(e).Checkpoint, "tiny - 1", "tiny - 2", 1)
		},
		"checkpoint's size": func(e *models.LogEntryAnon) {
			*proof(e).Checkpoint = strings.Replace(*proof(e).Checkpoint, "\n5\n", "\n6\n", 1)
		},
		"checkpoint's text": func(e *models.LogEntryAnon) {
			*proof(e).Checkpoint = strings.Replace(*proof(e).Checkpoint, "\n\n", "\nmore\n\n", 1)
		},
		"of a stranger": func(e *models.LogEntryAnon) { *proof(e).Checkpoint = stranger.checkpoint() },
		"proof of a smaller": func(e *models.LogEntryAnon) {
			e.Verification.InclusionProof = proof(entry(t, older))
			*proof(e).TreeSize = 5
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := entry(t, tiny)
			if _, err := prove(t.Context(), tiny.uuid(index), e, tiny.trusted()); err != nil {
				t.Fatal(err)
			}
			change(e)
			if _, err := prove(t.Context(), tiny.uuid(index), e, tiny.trusted()); !errors.Is(err, ErrLog) {
				t.Errorf("got %v, want %v", err, ErrLog)
			}
		})
	}
	// Older, and whole: that is what a replica gives.
	if p, err := prove(t.Context(), tiny.uuid(index), entry(t, older), tiny.trusted()); err != nil || p.head.size != 3 {
		t.Errorf("got %+v, %v", p, err)
	}
	// The same leaf in another tree is another entry.
	if _, err := prove(t.Context(), tree2+leafOf(tiny.uuid(index)), entry(t, tiny), tiny.trusted()); !errors.Is(err, ErrLog) {
		t.Errorf("got %v, want %v", err, ErrLog)
	}
}

// TestProveEncoding: of the encodings of one signature there is one that bundles
// are verified by. An entry that comes with another one is not proved, lest it be
// ignored as no record by those.
func TestProveEncoding(t *testing.T) {
	for _, body := range []string{bodies[0], bodies[7]} { // intoto, dsse
		tiny := newTinyLog(t, body)
		b, err := json.Marshal(tiny.entry(0))
		if err != nil {
			t.Fatal(err)
		}
		var e models.LogEntryAnon
		if err := json.Unmarshal(b, &e); err != nil {
			t.Fatal(err)
		}
		p, err := prove(t.Context(), tiny.uuid(0), &e, tiny.trusted())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseKind(p); err != nil {
			t.Fatalf("no record could have this body: %v", err)
		}
		// A mirrored signature, which anyone can make, is in the right encoding.
		var sig struct{ R, S *big.Int }
		if _, err := asn1.Unmarshal(e.Verification.SignedEntryTimestamp, &sig); err != nil {
			t.Fatal(err)
		}
		mirrored := sig
		mirrored.S = new(big.Int).Sub(elliptic.P256().Params().N, sig.S)
		if e.Verification.SignedEntryTimestamp, err = asn1.Marshal(mirrored); err != nil {
			t.Fatal(err)
		}
		if _, err := prove(t.Context(), tiny.uuid(0), &e, tiny.trusted()); err != nil {
			t.Errorf("mirrored: %v", err)
		}
		raw := make([]byte, 64) // as IEEE P1363 has it
		sig.R.FillBytes(raw[:32])
		sig.S.FillBytes(raw[32:])
		e.Verification.SignedEntryTimestamp = raw
		if _, err := prove(t.Context(), tiny.uuid(0), &e, tiny.trusted()); !errors.Is(err, ErrLog) {
			t.Errorf("raw: got %v, want %v", err, ErrLog)
		}
	}
}

// TestProveOrigin: a checkpoint whose origin names no tree would be Rekor v2's to
// what verifies bundles, and a record by it none. It is not proved by it either.
func TestProveOrigin(t *testing.T) {
	tiny := newTinyLog(t, bodies[0])
	for origin, want := range map[string]error{"tiny - 1": nil, "tiny": ErrLog, "tiny - 1x": ErrLog} {
		tiny.origin = origin
		b, err := json.Marshal(tiny.entry(0))
		if err != nil {
			t.Fatal(err)
		}
		var e models.LogEntryAnon
		if err := json.Unmarshal(b, &e); err != nil {
			t.Fatal(err)
		}
		if _, err := prove(t.Context(), leafOf(tiny.uuid(0)), &e, tiny.trusted()); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", origin, err, want)
		}
	}
}
