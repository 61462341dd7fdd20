package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// TestMutableTags moves a tag that the operator exempts: each pull gets what the
// registry has, and the log is asked nothing, not even where it holds a record.
func TestMutableTags(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	for _, tag := range []string{"nightly-1", "v1"} {
		w.tag(t, tag, w.one)
	}
	w.direct(t).get(t, "app", "nightly-1").mustServe(t, w.one) // recorded before it was exempt
	svc := w.behind(t, "MUTABLE_TAGS=docker.io/library/*:nightly-*")
	for _, digest := range []string{w.one, w.two} {
		w.tag(t, "nightly-1", digest)
		for _, path := range []string{"/v2/app/manifests/nightly-1", "/v2/docker.io/library/app/manifests/nightly-1", "/v2/library/app/manifests/nightly-1?ns=docker.io"} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				a := svc.do(t, method, path)
				a.mustServe(t, digest)
				for name := range a.header {
					if strings.HasPrefix(name, "Tlog-") && name != "Tlog-Exempt" {
						t.Errorf("%s %s: %s: %s", method, path, name, a.header.Get(name))
					}
				}
				if a.header.Get("Tlog-Exempt") != "true" {
					t.Errorf("%s %s: Tlog-Exempt is %q", method, path, a.header.Get("Tlog-Exempt"))
				}
			}
		}
	}
	if n := w.rekor.Count(); n != 0 {
		t.Errorf("the log was asked %d times: %v", n, w.rekor.Counts())
	}
	svc.mustSay(t, `"verdict":"exempt"`)
	first := svc.get(t, "app", "v1")
	first.mustFirst(t, w.one)
	if first.header.Get("Tlog-Exempt") != "" {
		t.Error("a tag that is not selected is exempt")
	}
	w.tag(t, "v1", w.two)
	svc.get(t, "app", "v1").mustRefuse(t, w.one, w.two)
	// Without the variable the record counts as ever.
	w.direct(t).get(t, "app", "nightly-1").mustRefuse(t, w.one, w.two)

	out := cli(t, w.env("MUTABLE_TAGS=docker.io/library/app"), "serve")
	out.mustFail(t, 1, `MUTABLE_TAGS="docker.io/library/app": want comma-separated patterns such as docker.io/library/*:latest or ghcr.io/acme/**:nightly-*: pattern "docker.io/library/app" names no tag: want registry/repository:tag`)
}
