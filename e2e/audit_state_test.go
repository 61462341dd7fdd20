package e2e

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sigstore/rekor/pkg/util"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// The paths of Rekor's that only an audit asks.
const (
	logPath   = "/api/v1/log"
	proofPath = "/api/v1/log/proof"
)

// An auditedWorld has three records, and a checkpoint of the first two that an
// audit has kept.
type auditedWorld struct {
	*rekorWorld
	state    string // path
	kept     []byte // what is in it
	treeID   string
	head     util.SignedCheckpoint // the log's newest
	logKey   signature.Signer
	otherKey signature.Signer
}

func newAuditedWorld(t *testing.T) *auditedWorld {
	w := &auditedWorld{rekorWorld: newRekorWorld(t, sigstore.Options{}), state: filepath.Join(t.TempDir(), "state")}
	svc := w.direct(t)
	for _, tag := range []string{"v1", "v2"} {
		w.tag(t, tag, w.one)
		pulled(t, svc, tag, w.one)
	}
	w.audit(t, "--state", w.state).mustPrint(t, 0, w.report(2))
	w.kept = readFile(t, w.state)
	if _, head := w.headNow(t); string(w.kept[:bytes.Index(w.kept, []byte("\n\n"))+1]) != head.Note {
		t.Fatalf("the state is %q, the log's checkpoint %q", w.kept, head.Note)
	}
	w.tag(t, "v3", w.one)
	pulled(t, svc, "v3", w.one)
	w.settled(t)
	w.treeID, w.head = w.headNow(t)
	w.logKey = ecdsaSigner(t, readFile(t, filepath.Join(filepath.Dir(w.TrustedRootPath), "rekor.pem")))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if w.otherKey, err = signature.LoadECDSASigner(key, crypto.SHA256); err != nil {
		t.Fatal(err)
	}
	return w
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ecdsaSigner(t testing.TB, key []byte) signature.Signer {
	t.Helper()
	private, err := cryptoutils.UnmarshalPEMToPrivateKey(key, cryptoutils.SkipPassword)
	if err != nil {
		t.Fatal(err)
	}
	s, err := signature.LoadECDSASigner(private.(*ecdsa.PrivateKey), crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// headNow returns the log's newest checkpoint and the ID of its tree.
func (w *rekorWorld) headNow(t testing.TB) (treeID string, head util.SignedCheckpoint) {
	t.Helper()
	var log struct{ TreeID, SignedTreeHead string }
	getJSON(t, w.RekorURL+logPath, &log)
	if err := head.UnmarshalText([]byte(log.SignedTreeHead)); err != nil {
		t.Fatal(err)
	}
	return log.TreeID, head
}

// signed is a checkpoint that differs from the log's newest one and is signed.
func (w *auditedWorld) signed(t testing.TB, key signature.Signer, change func(*util.Checkpoint)) string {
	t.Helper()
	c := w.head.Checkpoint
	c.Hash = bytes.Clone(c.Hash)
	change(&c)
	s, err := util.CreateSignedCheckpoint(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sign("127.0.0.1", key, options.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	return s.SignedNote.String()
}

// edited is a hook that changes the object that a path answers.
func edited(t testing.TB, path string, change func(object)) sigstore.Hook {
	return changing(path, func(body []byte) []byte {
		var o object
		if err := json.Unmarshal(body, &o); err != nil {
			t.Errorf("%s answered %q: %v", path, body, err)
			return body
		}
		change(o)
		return marshal(t, o)
	})
}

// newTree is a hook by which the log has begun a new tree after old, the
// checkpoint at which the tree before ended.
func (w *auditedWorld) newTree(t testing.TB, old string) sigstore.Hook {
	next := w.signed(t, w.logKey, func(c *util.Checkpoint) { c.Origin, c.Size = "127.0.0.1 - 7", 1 })
	return edited(t, logPath, func(o object) {
		o["inactiveShards"] = []object{
			{"treeID": "6", "signedTreeHead": next, "rootHash": o["rootHash"], "treeSize": 1},
			{"treeID": w.treeID, "signedTreeHead": old, "rootHash": o["rootHash"], "treeSize": o["treeSize"]},
		}
		o["treeID"], o["signedTreeHead"] = "7", next
	})
}

// TestAuditState goes on from a kept checkpoint.
func TestAuditState(t *testing.T) {
	w := newAuditedWorld(t)
	w.rekor.Hook(w.newTree(t, w.head.SignedNote.String()))
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.WriteFile(moved, w.kept, 0o600); err != nil {
		t.Fatal(err)
	}
	w.audit(t, "--state", moved).mustPrint(t, 0, w.report(3))
	if got := readFile(t, moved); !bytes.HasPrefix(got, []byte("127.0.0.1 - 7\n1\n")) {
		t.Errorf("after a new tree the state is %q", got)
	}
	w.rekor.Hook(nil)

	w.rekor.Reset()
	w.audit(t, "--state", w.state).mustPrint(t, 0, w.report(3))
	if n := w.rekor.Counts()["GET "+proofPath]; n != 1 {
		t.Errorf("%d consistency proofs were asked for, want 1", n)
	}
	var now util.SignedCheckpoint
	if err := now.UnmarshalText(readFile(t, w.state)); err != nil || now.Note != w.head.Note {
		t.Errorf("the state is %q, %v; want %q", now.Note, err, w.head.Note)
	}
	w.audit(t, "--state", w.state).mustPrint(t, 0, w.report(3)) // nothing new
	if n := w.rekor.Counts()["GET "+proofPath]; n != 1 {
		t.Errorf("%d consistency proofs were asked for, want 1 still", n)
	}
}

// TestAuditStateFails has an audit fail in every way. What it kept before, it
// keeps, unless the log's checkpoint was proved to go on from that.
func TestAuditStateFails(t *testing.T) {
	w := newAuditedWorld(t)
	const (
		unproved = "the log's answer cannot be verified: "
		unsigned = unproved + "checkpoint: it is not signed by a trusted log"
		unkept   = "the checkpoint kept from before is not this log's: "
		forked   = "the log's checkpoints contradict each other: "
		denied   = forked + "the checkpoint kept from before is "
		growth   = forked + "from size 2 to 3: "
	)
	head := func(text string) sigstore.Hook {
		return edited(t, logPath, func(o object) { o["signedTreeHead"] = text })
	}
	asIs := func(*util.Checkpoint) {}
	proof := func(change func([]any) []any) sigstore.Hook {
		return edited(t, proofPath, func(o object) { o["hashes"] = change(o["hashes"].([]any)) })
	}
	flipped := func(c *util.Checkpoint) { c.Hash = flipByte(c.Hash) }
	for _, test := range []struct {
		name   string
		hook   sigstore.Hook
		state  string // in the place of what was kept
		status int
		text   string
	}{
		{"proof-flipped", proof(func(h []any) []any { h[0] = flipDigit(h[0].(string)); return h }), "", 1, growth},
		{"proof-longer", proof(func(h []any) []any { return append(h, h[0]) }), "", 1, growth},
		{"proof-shorter", proof(func(h []any) []any { return h[:len(h)-1] }), "", 1, ""},
		{"proof-no-hex", proof(func(h []any) []any { h[0] = "x"; return h }), "", 1, unproved + "consistency proof: "},
		{"proof-null", changing(proofPath, func([]byte) []byte { return []byte("null") }), "", 1, unproved + "consistency proof: "},
		{"proof-empty", changing(proofPath, func([]byte) []byte { return nil }), "", 1, unproved + "consistency proof: "},
		{"proof-unreachable", on(proofPath, unreachable), "", 3, "ask Rekor for a consistency proof: "},
		{"proof-500", on(proofPath, failing(500)), "", 3, "ask Rekor for a consistency proof: "},
		{"proof-400", on(proofPath, failing(400)), "", 3, "ask Rekor for a consistency proof: "},
		{"proof-welcome", on(proofPath, welcome), "", 3, "ask Rekor for a consistency proof: "},
		{"proof-hanging", on(proofPath, hanging), "", 3, "ask Rekor for a consistency proof: "},

		{"head-signature", head(flipSignature(w.head.SignedNote.String())), "", 3, unsigned},
		{"head-size", head(strings.Replace(w.head.SignedNote.String(), "\n3\n", "\n4\n", 1)), "", 3, unsigned},
		{"head-other-key", head(w.signed(t, w.otherKey, asIs)), "", 3, unsigned},
		{"head-unsigned", head(w.head.Note), "", 3, unsigned + ": "},
		{"head-missing", edited(t, logPath, func(o object) { delete(o, "signedTreeHead") }), "", 3, unsigned + ": there is none"},
		{"head-empty", changing(logPath, func([]byte) []byte { return nil }), "", 3, unsigned + ": there is none"},
		{"head-of-another", head(w.signed(t, w.logKey, func(c *util.Checkpoint) { c.Origin = "another - 7" })), "", 1,
			denied + `of "` + w.head.Origin + `", the log's is of "another - 7"`},
		{"fork-same-size", head(w.signed(t, w.logKey, func(c *util.Checkpoint) { c.Size, c.Hash = 2, flipByte(c.Hash) })), "", 1, forked + "two root hashes at size 2"},
		{"fork-smaller", head(w.signed(t, w.logKey, func(c *util.Checkpoint) { c.Size = 1 })), "", 1, forked + "its size was 2 and is 1"},
		{"fork-larger", head(w.signed(t, w.logKey, flipped)), "", 1, growth},
		{"fork-before-a-new-tree", w.newTree(t, w.signed(t, w.logKey, flipped)), "", 1, growth},
		{"new-tree-hides-the-old", w.newTree(t, w.signed(t, w.otherKey, asIs)), "", 1, denied + "of "},
		{"log-500", on(logPath, failing(500)), "", 3, "ask Rekor for its checkpoint: "},
		{"log-404", on(logPath, failing(404)), "", 3, "ask Rekor for its checkpoint: "},
		{"log-welcome", on(logPath, welcome), "", 3, "ask Rekor for its checkpoint: "},
		{"unreachable", unreachable, "", 3, "ask Rekor for its checkpoint: "},
		{"hanging", hanging, "", 3, "ask Rekor for its checkpoint: "},
		{"search-unreachable", on(searchPath, unreachable), "", 3, "search Rekor's index: "},
		{"search-null", on(searchPath, answering(searchPath, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte("null"))
		})), "", 1, unproved + "the index answered no list"},
		{"entries-500", on(retrievePath, failing(500)), "", 3, "fetch 3 entries of Rekor: "},
		{"entry-root", rewriting(retrievePath, http.StatusOK, func(b []byte) []byte {
			return editEntries(t, b, flip("verification", "inclusionProof", "rootHash"))
		}), "", 1, unproved + "entry "},
		{"entry-time", rewriting(retrievePath, http.StatusOK, func(b []byte) []byte { return editEntries(t, b, plus(1, "integratedTime")) }), "", 1, unproved + "entry "},
		{"entries-fewer", rewriting(retrievePath, http.StatusOK, func([]byte) []byte { return []byte("[]") }), "", 1, unproved + "3 entries were asked for"},

		{"state-signature", nil, flipSignature(string(w.kept)), 3, unkept + "it is not signed by a trusted log"},
		{"state-other-key", nil, w.signed(t, w.otherKey, asIs), 3, unkept + "it is not signed by a trusted log"},
		{"state-of-another", nil, w.signed(t, w.logKey, func(c *util.Checkpoint) { c.Origin = "another - 7" }), 1, denied + `of "another - 7"`},
		{"state-fork", nil, w.signed(t, w.logKey, func(c *util.Checkpoint) { c.Size = 1 }), 1, forked + "from size 1 to 3: "},
		{"state-same-size", nil, w.signed(t, w.logKey, flipped), 1, forked + "two root hashes at size 3"},
		{"state-larger", nil, w.signed(t, w.logKey, func(c *util.Checkpoint) { c.Size = 4 }), 1, forked + "its size was 4 and is 3"},
		{"state-garbage", nil, "garbage\n", 3, "is no checkpoint"},
	} {
		t.Run(test.name, func(t *testing.T) {
			state := w.kept
			if test.state != "" {
				state = []byte(test.state)
			}
			if err := os.WriteFile(w.state, state, 0o600); err != nil {
				t.Fatal(err)
			}
			w.rekor.Hook(test.hook)
			cli(t, []string{"REKOR_TIMEOUT=1s"}, w.flags("audit", "--state", w.state)...).mustFail(t, test.status, test.text)
			if slices.Contains([]string{"search-unreachable", "search-null", "entries-500", "entry-root", "entry-time", "entries-fewer"}, test.name) {
				w.mustKeep(t, w.head.Note)
			} else if got := readFile(t, w.state); !bytes.Equal(got, state) {
				t.Errorf("the state was %q and is %q", state, got)
			}
		})
	}
}

// mustKeep fails the test unless the state is a signed checkpoint of this text.
func (w *auditedWorld) mustKeep(t testing.TB, note string) {
	t.Helper()
	var kept util.SignedCheckpoint
	if err := kept.UnmarshalText(readFile(t, w.state)); err != nil || kept.Note != note {
		t.Errorf("the state is of %q, %v; want %q", kept.Note, err, note)
	}
}

// TestAuditStateFindings keeps the checkpoint of an audit that finds something, or
// that is not told everything: what it has seen cannot be taken back.
func TestAuditStateFindings(t *testing.T) {
	w := newAuditedWorld(t)
	w.writes(t, sigstore.DefaultEmail, proposal(t, w.author(t, sigstore.DefaultEmail), w.statement(t, "v1", w.two)))
	_, head := w.headNow(t)
	if got := w.audit(t, "--state", w.state); got.status != 1 || got.stderr != "" {
		t.Errorf("a conflict: %+v", got)
	}
	w.mustKeep(t, head.Note)
	if err := os.WriteFile(w.state, w.kept, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.ForgetAttestations(); err != nil {
		t.Fatal(err)
	}
	if got := w.audit(t, "--state", w.state); got.status != 3 || got.stderr != "" {
		t.Errorf("without statements: %+v", got)
	}
	w.mustKeep(t, head.Note)
}

// flipSignature changes the signature of a checkpoint, and not its form.
func flipSignature(text string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	last := lines[len(lines)-1]
	lines[len(lines)-1] = last[:len(last)-12] + strings.Map(func(r rune) rune {
		if r == 'A' {
			return 'B'
		}
		return 'A'
	}, last[len(last)-12:len(last)-8]) + last[len(last)-8:]
	return strings.Join(lines, "\n") + "\n"
}
