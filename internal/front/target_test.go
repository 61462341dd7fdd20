package front

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/ociref"
	"github.com/tlogistry/tlogistry/internal/record"
)

// What is remembered of a request is of that one alone: the same path may be
// another target, or none, by another host or query.
func TestTargetsDoNotMix(t *testing.T) {
	h := New(Options{})
	ask := func(host, uri string) (string, string, error) {
		r := httptest.NewRequest("GET", uri, nil)
		r.Host = host
		var tr trace
		query, err := h.read(r, &tr)
		return tr.name, query, err
	}
	const path = "/v2/acme/app/manifests/1.0"
	for range 2 { // the second time from memory
		for _, tt := range []struct {
			host, uri, name, query string
			err                    error
		}{
			{"front.test", path, "index.docker.io/acme/app:1.0", "", nil},
			{"front.test", path + "?ns=ghcr.io", "ghcr.io/acme/app:1.0", "", nil},
			{"front.test", path + "?ns=quay.io", "quay.io/acme/app:1.0", "", nil},
			{"front.test", path + "?n=1", "index.docker.io/acme/app:1.0", "n=1", nil},
			{"front.test", "/v2/ghcr.io/acme/app/manifests/1.0", "ghcr.io/acme/app:1.0", "", nil},
			{"ghcr.io", "/v2/ghcr.io/acme/app/manifests/1.0", "ghcr.io/acme/app:1.0", "", errSelf},
			{"front.test", "/v2/acme/app/manifests/1%2e0", "", "", ociref.ErrName},
		} {
			name, query, err := ask(tt.host, tt.uri)
			if name != tt.name || query != tt.query || !errors.Is(err, tt.err) {
				t.Errorf("%s%s: %q, %q, %v; want %q, %q, %v", tt.host, tt.uri, name, query, err, tt.name, tt.query, tt.err)
			}
		}
	}
	if _, _, err := ask("front.test", path+"?ns="+strings.Repeat("%67", 200)+".io"); err != nil {
		t.Error(err)
	}
	if _, _, err := ask(strings.Repeat("h", 1000), path); err != nil {
		t.Error(err)
	}
	if n := h.targets.byAddress.Len(); n != 4 {
		t.Errorf("%d targets remembered, want those that were permitted, with a short host and a short query that is all ns: 4", n)
	}
}

// A recalling log has what it is asked for in memory.
type recalling struct {
	Log
	sightings []record.Sighting
}

func (l recalling) Recall(context.Context, string) ([]record.Sighting, bool) {
	return l.sightings, l.sightings != nil
}

func TestRecallerIsFound(t *testing.T) {
	if h := New(Options{Log: recalling{}}); h.recaller == nil {
		t.Error("the log can recall, and is not asked to")
	}
	if h := New(Options{}); h.recaller != nil {
		t.Error("no log recalls")
	}
}
