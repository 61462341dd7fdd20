package rekorlog

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/tlogistry/tlogistry/internal/flight"
)

// A broken transport panics where a path ends so.
type broken struct{ end string }

func (b broken) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, b.end) {
		panic("broken")
	}
	return http.DefaultTransport.RoundTrip(r)
}

// TestPanics: a mistake in what reads strangers' entries fails the look-ups that
// read them, and does not end the process.
func TestPanics(t *testing.T) {
	tiny := newTinyLog(t, `{}`)
	for name, tc := range map[string]struct {
		end   string
		trust root.TrustedMaterial
	}{
		"search":  {"/index/retrieve", tiny.trusted()},
		"entries": {"/entries/retrieve", tiny.trusted()},
		"proof":   {"/none", struct{ root.TrustedMaterial }{}}, // without methods
	} {
		t.Run(name, func(t *testing.T) {
			log := New(Config{URL: tiny.url, Timeout: 5 * time.Second, Signer: somebody{}, Issuer: "https://issuer.example",
				Transport: broken{tc.end},
				Trust:     newTrust(trustAge, func(context.Context) (root.TrustedMaterial, error) { return tc.trust, nil })})
			t.Cleanup(log.Close)
			var p *flight.PanicError
			if _, err := log.Lookup(t.Context(), someRef); !errors.As(err, &p) || len(p.Stack) == 0 {
				t.Errorf("got %v, want a panic with its place", err)
			}
		})
	}
}
