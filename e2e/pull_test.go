package e2e

import (
	"net/http"
	"testing"

	"github.com/tlogistry/tlogistry/e2e/registry"
	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// TestPull is the promise in short: recorded, checked, refused, served again.
func TestPull(t *testing.T) {
	s := startSigstore(t, sigstore.Options{})
	r := startRegistry(t, registry.Options{Token: true, Redirect: true})
	svc := start(t, append(s.Env(), "UPSTREAMS="+r.Upstreams())...)
	one := push(t, r, "library/alpine", "3.16.0", registry.Variant{Name: "one"})
	two := push(t, r, "library/alpine", "other", registry.Variant{Name: "two"})

	first := svc.get(t, "alpine", "3.16.0")
	first.mustServe(t, one)
	if first.header.Get("Tlog-First-Seen") != "true" {
		t.Errorf("first pull: Tlog-First-Seen is %q", first.header.Get("Tlog-First-Seen"))
	}
	second := svc.get(t, "docker.io/library/alpine", "3.16.0")
	second.mustServe(t, one)
	if v, ok := second.header["Tlog-First-Seen"]; ok {
		t.Errorf("second pull: Tlog-First-Seen is %q", v)
	}
	move(t, r, "library/alpine", "3.16.0", two)
	for _, method := range []string{http.MethodHead, http.MethodGet} {
		refused := svc.do(t, method, "/v2/library/alpine/manifests/3.16.0")
		refused.mustStatus(t, http.StatusForbidden)
		for _, name := range []string{"Tlog-Integratedtime", "Tlog-Logindex", "Tlog-Uuid"} {
			if got, want := refused.header.Get(name), first.header.Get(name); got != want || want == "" {
				t.Errorf("%s of a moved tag: %s is %q, want %q", method, name, got, want)
			}
		}
	}
	move(t, r, "library/alpine", "3.16.0", one)
	svc.get(t, "index.docker.io/library/alpine", "3.16.0").mustServe(t, one)
}
