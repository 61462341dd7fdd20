package registry

import (
	"net/http"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func TestRedirect(t *testing.T) {
	r := start(t, Options{Redirect: true})
	if _, err := r.Push("library/alpine", "latest", Variant{Name: "one", Single: true}); err != nil {
		t.Fatal(err)
	}
	answer, err := r.Get(t.Context(), "/v2/library/alpine/manifests/latest", string(types.OCIManifestSchema1))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := v1.ParseManifest(strings.NewReader(string(answer.Body)))
	if err != nil {
		t.Fatal(err)
	}
	path := "/v2/library/alpine/blobs/" + manifest.Config.Digest.String()
	blob, err := r.Get(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		got := ask(t, method, r.URL()+path, "")
		location := got.Header.Get("Location")
		if got.Status != 307 || !strings.HasPrefix(location, r.StoreURL()+"/docker/registry/v2/blobs/sha256/") {
			t.Fatalf("%s blob: %d %s, want 307 to %s", method, got.Status, location, r.StoreURL())
		}
		stored := ask(t, method, location, "")
		want := string(blob.Body)
		if method == http.MethodHead {
			want = ""
		}
		if stored.Status != 200 || string(stored.Body) != want {
			t.Errorf("%s %s: %d %q, want 200 %q", method, location, stored.Status, stored.Body, want)
		}
		if got := ask(t, method, location, "Bearer leaked"); got.Status != 400 {
			t.Errorf("%s %s with a token: %d, want 400", method, location, got.Status)
		}
	}
	for _, path := range []string{"/", "/docker/registry/v2/repositories/", "/docker/registry/v2/blobs/sha256/"} {
		if got := ask(t, http.MethodGet, r.StoreURL()+path, ""); got.Status != 404 {
			t.Errorf("GET %s at the store: %d, want 404", path, got.Status)
		}
	}
}
