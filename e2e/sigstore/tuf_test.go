package sigstore_test

import (
	"bytes"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/tuf"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// TestTUF asks the repository through the client that production uses.
func TestTUF(t *testing.T) {
	s := start(t, sigstore.Options{})
	repository, err := s.TUFRepository()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(repository)
	defer server.Close()
	p, err := sigstore.NewProxy(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()

	fetch := func(cache string, root []byte, force bool) ([]byte, error) {
		o := tuf.DefaultOptions().WithRoot(root).WithRepositoryBaseURL(p.URL).WithCachePath(cache)
		o.ForceCache = force
		c, err := tuf.New(o)
		if err != nil {
			return nil, err
		}
		return c.GetTarget(sigstore.TrustedRootTarget)
	}
	want := func(name, cache string, force bool, content []byte) {
		t.Helper()
		got, err := fetch(cache, repository.Root(), force)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %q, %v; want %q", name, got, err, content)
		}
	}
	wantError := func(name, cache string, root []byte, text string) {
		t.Helper()
		if got, err := fetch(cache, root, false); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %q, %v; want an error with %q", name, got, err, text)
		}
	}

	cache := t.TempDir()
	want("first fetch", cache, false, s.TrustedRoot())
	byHash := func(path string) bool {
		return strings.HasPrefix(path, "GET /targets/") && strings.HasSuffix(path, "."+sigstore.TrustedRootTarget)
	}
	if !slices.ContainsFunc(slices.Collect(maps.Keys(p.Counts())), byHash) {
		t.Errorf("no target was asked for by its hash: %v", p.Counts())
	}

	p.Down()
	want("from the cache while down", cache, true, s.TrustedRoot())
	wantError("nothing cached while down", t.TempDir(), repository.Root(), "tuf refresh failed")
	p.Pass()

	other, err := repository.OtherRoot()
	if err != nil {
		t.Fatal(err)
	}
	wantError("other root", t.TempDir(), other, "tuf refresh failed")

	if err := repository.Publish([]byte("{}"), time.Now().AddDate(0, 0, 1)); err != nil {
		t.Fatal(err)
	}
	want("new version", cache, false, []byte("{}"))

	if err := repository.Publish(s.TrustedRoot(), time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	wantError("expired", cache, repository.Root(), "timestamp.json is expired")
	if err := repository.Publish(s.TrustedRoot(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	want("renewed", cache, false, s.TrustedRoot())
}
