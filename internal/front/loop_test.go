package front_test

import (
	"net/http"
	"testing"
)

// A registry that leads the service to itself would have it ask itself for ever.
func TestLoop(t *testing.T) {
	s := newSite(t, setup{})
	for _, path := range []string{"/v2/", "/v2/registry.test/app/manifests/1", "/v2/app/tags/list", "/v2/_catalog"} {
		s.checkBoth(path, wantError(http.StatusBadRequest, "NAME_INVALID", "the registry leads back to this service", ""),
			"CDN-Loop", "cloudflare; loops=1, tlogistry")
	}
	s.untouched()
	if asked := s.origin.asked(); len(asked) != 0 {
		t.Errorf("the registry was asked %q", asked)
	}
	if got := s.do("GET", "/v2/", "CDN-Loop", "cloudflare; loops=1"); got.status != http.StatusOK {
		t.Errorf("through another one: %d", got.status)
	}
}
