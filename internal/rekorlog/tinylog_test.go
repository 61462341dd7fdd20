package rekorlog

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sigstore/rekor/pkg/util"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"github.com/tlogistry/tlogistry/internal/keyless"
)

// A tinyLog answers as Rekor does, with any bodies, and signs what it answers.
// Its index has all of them under everything. It is one tree, number 1.
type tinyLog struct {
	t      testing.TB
	key    *ecdsa.PrivateKey
	signer signature.Signer
	id     string
	url    *url.URL

	mu     sync.Mutex
	tree   *testonly.Tree
	bodies [][]byte
	size   uint64 // of the tree that entries are proved by
	swaps  bool   // the first two log indexes, in what is signed
	origin string // of its checkpoints
	about  any    // answered about the log; nil: its checkpoint
	counts map[string]int
}

func newTinyLog(t testing.TB, bodies ...string) *tinyLog {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := signature.LoadECDSASigner(key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	id := sha256.Sum256(spki)
	l := &tinyLog{t: t, key: key, signer: signer, id: hex.EncodeToString(id[:]), tree: testonly.New(rfc6962.DefaultHasher), origin: "tiny - 1", counts: make(map[string]int)}
	for _, b := range bodies {
		l.append(b)
	}
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	if l.url, err = url.Parse(server.URL); err != nil {
		t.Fatal(err)
	}
	return l
}

// append logs a body, and proves from now on by the tree that has it.
func (l *tinyLog) append(body string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tree.AppendData([]byte(body))
	l.bodies = append(l.bodies, []byte(body))
	l.size = l.tree.Size()
}

// trusted is a trusted root that has the log and nothing else.
func (l *tinyLog) trusted() root.TrustedMaterial {
	tr, err := root.NewTrustedRoot(root.TrustedRootMediaType01, nil, nil, nil, map[string]*root.TransparencyLog{
		l.id: {BaseURL: "x", ID: []byte{1}, ValidityPeriodStart: time.Unix(1, 0), HashFunc: crypto.SHA256, PublicKey: l.key.Public(), SignatureHashFunc: crypto.SHA256},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return tr
}

// open returns a log on it that trusts as load says.
func (l *tinyLog) open(load func(context.Context) (root.TrustedMaterial, error)) *Log {
	log := New(Config{URL: l.url, Timeout: time.Minute, Signer: somebody{}, Issuer: "https://issuer.example", Trust: newTrust(trustAge, load)})
	l.t.Cleanup(log.Close)
	return log
}

// somebody has an identity and signs nothing.
type somebody struct{}

func (somebody) Subject(context.Context) (string, error) { return "somebody@example.com", nil }

func (somebody) Prepare(context.Context) {}

func (somebody) Sign(context.Context, []byte) (keyless.Signature, error) {
	panic("nothing is to be signed")
}

func (l *tinyLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[r.URL.Path]++
	switch r.URL.Path {
	case "/api/v1/index/retrieve":
		ids := []string{}
		for i := range l.size {
			ids = append(ids, l.uuid(i))
		}
		l.answer(w, ids)
	case "/api/v1/log/entries/retrieve":
		var asked struct{ EntryUUIDs []string }
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			l.t.Error(err)
		}
		var list []any
		for _, id := range asked.EntryUUIDs {
			for i := range l.size {
				if l.uuid(i) == id {
					list = append(list, map[string]any{id: l.entry(i)})
				}
			}
		}
		l.answer(w, list)
	case "/api/v1/log":
		if l.about == nil {
			l.answer(w, about(l.checkpoint()))
			return
		}
		l.answer(w, l.about)
	case "/api/v1/log/proof":
		first, _ := strconv.ParseUint(r.URL.Query().Get("firstSize"), 10, 64)
		last, _ := strconv.ParseUint(r.URL.Query().Get("lastSize"), 10, 64)
		hashes, err := l.tree.ConsistencyProof(first, last)
		if err != nil || r.URL.Query().Get("treeID") != "1" {
			l.t.Errorf("%s: %v", r.URL, err)
		}
		l.answer(w, map[string]any{"rootHash": hex.EncodeToString(l.tree.Hash()), "hashes": hexes(hashes)})
	default:
		l.t.Errorf("%s is asked", r.URL)
	}
}

func (l *tinyLog) answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		l.t.Error(err)
	}
}

func (l *tinyLog) uuid(i uint64) string {
	return fmt.Sprintf("%016x%x", 1, rfc6962.DefaultHasher.HashLeaf(l.bodies[i]))
}

func (l *tinyLog) entry(i uint64) any {
	index := i
	if l.swaps && i < 2 {
		index = 1 - i
	}
	// In the order of RFC 8785, which is what is signed.
	vouched := struct {
		Body           string `json:"body"`
		IntegratedTime int64  `json:"integratedTime"`
		LogID          string `json:"logID"`
		LogIndex       uint64 `json:"logIndex"`
	}{base64.StdEncoding.EncodeToString(l.bodies[i]), time.Now().Unix(), l.id, index}
	text, err := json.Marshal(vouched)
	if err != nil {
		l.t.Error(err)
	}
	digest := sha256.Sum256(text)
	set, err := l.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		l.t.Error(err)
	}
	hashes, err := l.tree.InclusionProof(i, l.size)
	if err != nil {
		l.t.Error(err)
	}
	return map[string]any{
		"body": vouched.Body, "integratedTime": vouched.IntegratedTime, "logID": vouched.LogID, "logIndex": index,
		"verification": map[string]any{"signedEntryTimestamp": set, "inclusionProof": map[string]any{
			"checkpoint": l.checkpoint(), "hashes": hexes(hashes), "logIndex": i,
			"rootHash": hex.EncodeToString(l.tree.HashAt(l.size)), "treeSize": l.size,
		}},
	}
}

func (l *tinyLog) checkpoint() string {
	c, err := util.CreateSignedCheckpoint(util.Checkpoint{Origin: l.origin, Size: l.size, Hash: l.tree.HashAt(l.size)})
	if err == nil {
		_, err = c.Sign("tiny", l.signer, options.NoOpOptionImpl{})
	}
	if err != nil {
		l.t.Error(err)
	}
	return c.SignedNote.String()
}

// about is what Rekor answers about a log with a checkpoint, of the tree that it
// writes to, and those of the trees before.
func about(checkpoint string, before ...string) any {
	inactive := []any{}
	for _, text := range before {
		inactive = append(inactive, map[string]any{"signedTreeHead": text, "treeID": "0", "treeSize": 1, "rootHash": leafA})
	}
	return map[string]any{"signedTreeHead": checkpoint, "treeID": "1", "treeSize": 1, "rootHash": leafA, "inactiveShards": inactive}
}

func hexes(hashes [][]byte) []string {
	list := []string{}
	for _, h := range hashes {
		list = append(list, hex.EncodeToString(h))
	}
	return list
}
