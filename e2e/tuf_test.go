package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// A tufWorld is a Sigstore whose trusted root is served by a TUF repository,
// as the public one's is.
type tufWorld struct {
	*rekorWorld
	repository *sigstore.TUF
	proxy      *sigstore.Proxy // in front of the repository
	root       string          // path of the initial root.json
}

func newTUFWorld(t *testing.T) *tufWorld {
	t.Helper()
	w := &tufWorld{rekorWorld: newRekorWorld(t, sigstore.Options{}), root: filepath.Join(t.TempDir(), "root.json")}
	var err error
	if w.repository, err = w.TUFRepository(); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(w.repository)
	t.Cleanup(server.Close)
	w.proxy = proxied(t, server.URL)
	if err := os.WriteFile(w.root, w.repository.Root(), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// trusting starts a service that trusts through TUF and keeps its cache in dir.
func (w *tufWorld) trusting(t *testing.T, dir string, env ...string) *service {
	t.Helper()
	return w.direct(t, append([]string{"TRUSTED_ROOT=", "TUF_URL=" + w.proxy.URL, "TUF_ROOT=" + w.root, "XDG_CACHE_HOME=" + dir}, env...)...)
}

func (w *tufWorld) publish(t *testing.T, trustedRoot []byte, expires time.Time) {
	t.Helper()
	if err := w.repository.Publish(trustedRoot, expires); err != nil {
		t.Fatal(err)
	}
}

// TestTrust takes the trusted root from a TUF repository: fetched when it is
// needed, kept for when the repository cannot be reached.
func TestTrust(t *testing.T) {
	w := newTUFWorld(t)
	w.tag(t, "v1", w.one)
	w.tag(t, "v2", w.two)
	dir := t.TempDir()

	first := w.trusting(t, dir)
	first.get(t, "app", "v1").mustServe(t, w.one)
	asked := w.proxy.Count()
	first.get(t, "app", "v2").mustServe(t, w.two)
	if n := w.proxy.Count(); asked == 0 || n != asked {
		t.Errorf("the repository was asked %d times at first, %d times in all", asked, n)
	}
	cached, err := filepath.Glob(filepath.Join(dir, "tlogistry", "tuf", "*", "timestamp.json"))
	if err != nil || len(cached) != 1 {
		t.Errorf("in the cache: %v, %v; want one timestamp.json", cached, err)
	}

	w.proxy.Down()
	again := w.trusting(t, dir)
	again.get(t, "app", "v1").mustServe(t, w.one)
	w.tag(t, "v3", w.one)
	again.get(t, "app", "v3").mustServe(t, w.one)

	// Without a cache there is nobody to trust, until the repository is back.
	w.tag(t, "v4", w.one)
	without := w.trusting(t, t.TempDir())
	without.get(t, "app", "v1").mustBeUnavailable(t)
	without.get(t, "app", "v4").mustBeUnavailable(t)
	without.mustSay(t, "load the trusted root: ")
	if n := w.records(t, "v4", w.one); n != 0 {
		t.Errorf("the log has %d records that could not be verified", n)
	}
	w.proxy.Pass()
	without.get(t, "app", "v1").mustServe(t, w.one)
	without.get(t, "app", "v4").mustServe(t, w.one)
	w.proxy.Down()
	w.tag(t, "v5", w.one) // what was fetched serves on
	without.get(t, "app", "v5").mustServe(t, w.one)
}

// TestTrustHome: without XDG_CACHE_HOME the cache is in HOME.
func TestTrustHome(t *testing.T) {
	w := newTUFWorld(t)
	w.tag(t, "v1", w.one)
	home := t.TempDir()
	w.trusting(t, "", "HOME="+home).get(t, "app", "v1").mustServe(t, w.one)
	w.proxy.Down()
	w.trusting(t, "", "HOME="+home).get(t, "app", "v1").mustServe(t, w.one)
}

// TestTrustCache: a cache that cannot be used is done without.
func TestTrustCache(t *testing.T) {
	w := newTUFWorld(t)
	w.tag(t, "v1", w.one)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := t.TempDir()
	w.trusting(t, damaged).get(t, "app", "v1").mustServe(t, w.one)
	err := filepath.WalkDir(damaged, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.WriteFile(path, []byte("{"), 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, env := range map[string][]string{
		"a file":    {"XDG_CACHE_HOME=" + file},
		"under it":  {"XDG_CACHE_HOME=" + file + "/cache"},
		"none":      {"XDG_CACHE_HOME=", "HOME="},
		"damaged":   {"XDG_CACHE_HOME=" + damaged},
		"no parent": {"XDG_CACHE_HOME=" + filepath.Join(t.TempDir(), "a", "b")},
	} {
		t.Run(name, func(t *testing.T) {
			w.trusting(t, "", env...).get(t, "app", "v1").mustServe(t, w.one)
		})
	}
}

// TestTrustExpired: metadata that has expired is not believed, neither the
// repository's nor the cache's.
func TestTrustExpired(t *testing.T) {
	w := newTUFWorld(t)
	w.tag(t, "v1", w.one)
	dir := t.TempDir()
	w.publish(t, w.TrustedRoot(), time.Now().Add(time.Hour))
	w.trusting(t, dir).get(t, "app", "v1").mustServe(t, w.one)
	soon, expires := w.shortLived(t)

	w.publish(t, w.TrustedRoot(), time.Now().Add(-time.Minute))
	svc := w.trusting(t, t.TempDir())
	svc.get(t, "app", "v1").mustBeUnavailable(t)
	svc.mustSay(t, "timestamp.json is expired")
	// The cache still is of use.
	w.trusting(t, dir).get(t, "app", "v1").mustServe(t, w.one)
	time.Sleep(time.Until(expires) + 1100*time.Millisecond) // TUF's times are whole seconds
	cached := w.trusting(t, soon)
	cached.get(t, "app", "v1").mustBeUnavailable(t)
	w.proxy.Down()
	cached.get(t, "app", "v1").mustBeUnavailable(t)
	w.proxy.Pass()

	w.publish(t, w.TrustedRoot(), time.Now().Add(time.Hour))
	svc.get(t, "app", "v1").mustServe(t, w.one)
	cached.get(t, "app", "v1").mustServe(t, w.one)
}

// shortLived returns a cache whose metadata soon expires, and when. It has been
// used before that, however long that takes here.
func (w *tufWorld) shortLived(t *testing.T) (dir string, expires time.Time) {
	t.Helper()
	for life := 3 * time.Second; life < patience; life *= 2 {
		dir, expires = t.TempDir(), time.Now().Add(life)
		w.publish(t, w.TrustedRoot(), expires)
		if w.trusting(t, dir).get(t, "app", "v1").status == http.StatusOK {
			return dir, expires
		}
	}
	t.Fatal("no metadata was used before it expired")
	return "", time.Time{}
}

// TestTrustRefused: a repository that is not the one that root.json names, or
// that is in between changed, is not believed.
func TestTrustRefused(t *testing.T) {
	w := newTUFWorld(t)
	w.tag(t, "v1", w.one)
	w.direct(t).get(t, "app", "v1").mustServe(t, w.one)
	other, err := w.repository.OtherRoot()
	if err != nil {
		t.Fatal(err)
	}
	otherRoot := filepath.Join(t.TempDir(), "root.json")
	garbage := filepath.Join(t.TempDir(), "root.json")
	for path, b := range map[string][]byte{otherRoot: other, garbage: []byte("{}")} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	changed := func(part string) sigstore.Hook {
		return func(rw http.ResponseWriter, r *http.Request, next http.Handler) bool {
			if !strings.Contains(r.URL.Path, part) {
				return false
			}
			answer := httptest.NewRecorder()
			next.ServeHTTP(answer, r)
			rw.Write(bytes.Replace(answer.Body.Bytes(), []byte(`1`), []byte(`2`), 1))
			return true
		}
	}
	cases := map[string]struct {
		root string
		hook sigstore.Hook
		fail int
		says string
	}{
		"other root":       {root: otherRoot, says: "load the trusted root: "},
		"garbage root":     {root: garbage, says: "load the trusted root: "},
		"timestamp":        {hook: changed("timestamp.json"), says: "load the trusted root: "},
		"snapshot":         {hook: changed("snapshot.json"), says: "load the trusted root: "},
		"targets metadata": {hook: changed("targets.json"), says: "load the trusted root: "},
		"target":           {hook: changed("trusted_root.json"), says: "load the trusted root: "},
		"answering HTML":   {hook: welcome, says: "load the trusted root: "},
		"answering 500":    {fail: 500, says: "load the trusted root: "},
		"not there":        {fail: 404, says: "load the trusted root: "},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var env []string
			if tc.root != "" {
				env = append(env, "TUF_ROOT="+tc.root)
			}
			svc := w.trusting(t, t.TempDir(), env...)
			w.proxy.Hook(tc.hook)
			if tc.fail != 0 {
				w.proxy.Fail(tc.fail)
			}
			svc.get(t, "app", "v1").mustBeUnavailable(t)
			svc.mustSay(t, tc.says)
			w.proxy.Hook(nil)
			w.proxy.Pass()
			if tc.root == "" {
				svc.get(t, "app", "v1").mustServe(t, w.one)
			} else {
				svc.get(t, "app", "v1").mustBeUnavailable(t)
			}
		})
	}
}

// TestTrustRenewed publishes trusted roots that lack one of those who are to be
// trusted. Nothing is served or written by them; a process that starts after
// the next one is published goes by that, whatever its cache has.
func TestTrustRenewed(t *testing.T) {
	for _, member := range []string{"certificateAuthorities", "ctlogs", "tlogs"} {
		t.Run(member, func(t *testing.T) {
			w := newTUFWorld(t)
			w.tag(t, "known", w.one)
			w.tag(t, "new", w.one)
			w.direct(t).get(t, "app", "known").mustServe(t, w.one)
			var trusted map[string]any
			if err := json.Unmarshal(w.TrustedRoot(), &trusted); err != nil {
				t.Fatal(err)
			}
			trusted[member] = []any{}
			dir, later := t.TempDir(), time.Now().Add(time.Hour)
			w.publish(t, marshal(t, trusted), later)
			old := w.trusting(t, dir)
			old.get(t, "app", "known").mustBeUnavailable(t)
			old.get(t, "app", "new").mustBeUnavailable(t)
			if member != "tlogs" { // the log's own trust shows in its answer alone
				if n := w.records(t, "new", w.one) + w.records(t, "known", w.one); n != 1 {
					t.Errorf("the log has %d records, want 1", n)
				}
			}
			w.publish(t, w.TrustedRoot(), later)
			renewed := w.trusting(t, dir)
			renewed.get(t, "app", "known").mustServe(t, w.one)
			renewed.get(t, "app", "new").mustServe(t, w.one)
		})
	}
}
