package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// withOtherCA is the trusted root of w with one certificate authority more.
func withOtherCA(t *testing.T, w *rekorWorld) []byte {
	t.Helper()
	var root map[string]any
	must(t, json.Unmarshal(w.TrustedRoot(), &root))
	authorities := root["certificateAuthorities"].([]any)
	var other map[string]any
	must(t, json.Unmarshal(marshal(t, authorities[0]), &other))
	var chain []any
	for _, der := range w.OtherCA().Chain() {
		chain = append(chain, map[string]any{"rawBytes": der})
	}
	other["certChain"] = map[string]any{"certificates": chain}
	root["certificateAuthorities"] = append(authorities, other)
	return marshal(t, root)
}

// TestTrustNewer: a record by an authority that came after an instance had
// loaded its trusted root, however shortly after, counts for that instance too.
func TestTrustNewer(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	path := filepath.Join(t.TempDir(), "trusted_root.json")
	must(t, os.WriteFile(path, w.TrustedRoot(), 0o600))
	old := w.direct(t, "TRUSTED_ROOT="+path)
	w.tag(t, "warm", w.one)
	old.get(t, "app", "warm").mustServe(t, w.one) // it is loaded
	must(t, os.WriteFile(path, withOtherCA(t, w), 0o600))
	us := forger(t, w.OtherCA(), sigstore.Leaf{Email: sigstore.DefaultEmail, Issuer: w.IssuerURL})
	uuid := w.intoto(t, "v1", us, w.statement(t, "v1", w.one))
	w.tag(t, "v1", w.one)
	served := w.direct(t, "TRUSTED_ROOT="+path).get(t, "app", "v1")
	served.mustServe(t, w.one)
	served.mustBeRecord(t, uuid)
	w.tag(t, "v1", w.two)
	old.get(t, "app", "v1").mustRefuse(t, w.one, w.two)
	if n := w.records(t, "v1", w.two); n != 0 {
		t.Errorf("the tag is recorded %d times more", n)
	}
}

// TestTrustFromCache: a trusted root of the cache, while the repository cannot be
// reached, may be out of date: what it does not trust may be this identity's.
func TestTrustFromCache(t *testing.T) {
	w := newTUFWorld(t)
	dir, later := t.TempDir(), time.Now().Add(time.Hour)
	w.publish(t, w.TrustedRoot(), later)
	w.tag(t, "warm", w.one)
	w.trusting(t, dir).get(t, "app", "warm").mustServe(t, w.one) // it is in the cache
	us := forger(t, w.OtherCA(), sigstore.Leaf{Email: sigstore.DefaultEmail, Issuer: w.IssuerURL})
	w.intoto(t, "v1", us, w.statement(t, "v1", w.one))
	time.Sleep(2 * time.Second) // it is logged before the cache is read
	w.tag(t, "v1", w.two)
	w.proxy.Down()
	cached := w.trusting(t, dir)
	cached.get(t, "app", "warm").mustServe(t, w.one)
	cached.get(t, "app", "v1").mustBeUnavailable(t)
	cached.mustSay(t, "the trusted root may be out of date")
	w.publish(t, withOtherCA(t, w.rekorWorld), later)
	w.proxy.Pass()
	time.Sleep(1100 * time.Millisecond)
	cached.get(t, "app", "v1").mustRefuse(t, w.one, w.two)
	if n := w.records(t, "v1", w.two); n != 0 {
		t.Errorf("the tag is recorded %d times more", n)
	}
}
