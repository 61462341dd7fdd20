package e2e

import (
	"testing"

	"github.com/tlogistry/tlogistry/e2e/conformance"
	"github.com/tlogistry/tlogistry/e2e/registry"
	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// TestConformance runs the read-only part of the OCI distribution
// specification's own suite through the service.
func TestConformance(t *testing.T) {
	s := startSigstore(t, sigstore.Options{})
	r := startRegistry(t, registry.Options{Token: true, Redirect: true, Referrers: true})
	svc := start(t, append(s.Env(), "UPSTREAMS="+r.Upstreams())...)
	seed, err := conformance.Push(t.Context(), r, "conformance/images")
	if err != nil {
		t.Fatal(err)
	}
	res, err := conformance.Run(t.Context(), svc.url, "docker.io/conformance/images", seed)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d tests passed, %d failed, %d skipped", res.Passed, res.Failed, res.Skipped)
	if res.Failed > 0 || res.Passed == 0 {
		t.Errorf("failed: %v", res.Failures)
	}
}
