package tilelog_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// A witness cosigns every checkpoint it is sent, as in C2SP tlog-witness, but
// for the consistency proof, which it does not look at.
type witness struct {
	url    string
	vkey   string
	signer *fnote.Signer
	down   atomic.Bool
}

func newWitness(t *testing.T) *witness {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, "witness.example")
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{}
	if w.signer, err = fnote.NewSignerForCosignatureV1(skey); err != nil {
		t.Fatal(err)
	}
	if w.vkey, err = fnote.VKeyToCosignatureV1(vkey); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(w)
	t.Cleanup(s.Close)
	w.url = s.URL
	return w
}

// policy returns the path of a policy that asks for the witness.
func (w *witness) policy(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy")
	write(t, path, fmt.Sprintf("witness w %s %s\nquorum w\n", w.vkey, w.url))
	return path
}

func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	_, checkpoint, ok := bytes.Cut(body, []byte("\n\n"))
	text, _, signed := bytes.Cut(checkpoint, []byte("\n\n"))
	if w.down.Load() || err != nil || !ok || !signed || r.URL.Path != "/add-checkpoint" {
		http.Error(rw, "no", http.StatusServiceUnavailable)
		return
	}
	n, err := note.Sign(&note.Note{Text: string(text) + "\n"}, w.signer)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	_, cosignature, _ := bytes.Cut(n, []byte("\n\n"))
	rw.Write(cosignature)
}

// With a policy, no checkpoint is published without its cosignatures.
func TestWitness(t *testing.T) {
	dir := t.TempDir()
	w := newWitness(t)
	policy := w.policy(t)
	w.down.Store(true)
	if _, err := tilelog.Open(t.Context(), tilelog.Config{Dir: dir, WitnessPolicy: policy}); err == nil ||
		!strings.HasSuffix(err.Error(), "newCP: witness policy was not satisfied: got bad status code: 503") {
		t.Fatalf("a new log without its witness: %v", err)
	}
	w.down.Store(false)
	l := mustOpen(t, tilelog.Config{Dir: dir, WitnessPolicy: policy})
	defer mustClose(t, l)
	fill(t, l, 0, 5)
	v, err := fnote.NewVerifierForCosignatureV1(w.vkey)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open([]byte(read(t, dir+"/log/checkpoint")), note.VerifierList(v))
	if err != nil || len(n.Sigs) != 1 || !strings.HasPrefix(n.Text, l.Origin()+"\n5\n") {
		t.Errorf("the checkpoint is %+v, %v", n, err)
	}
}
