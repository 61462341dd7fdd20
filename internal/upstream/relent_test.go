package upstream

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// A challenge that led nowhere is not kept: a registry that made a mistake, or
// moved its token service, is pulled from again without a restart.
func TestChallengeThatLedNowhereIsNotKept(t *testing.T) {
	for name, challenge := range map[string]string{
		"scheme that is none":  "Basic",
		"no challenge":         "",
		"realm that is none":   `Bearer realm="nowhere"`,
		"realm that has moved": `Bearer realm="URL/old"`,
	} {
		t.Run(name, func(t *testing.T) {
			w, c := mapped(t, Config{})
			var wrong atomic.Bool
			wrong.Store(true)
			w.mux.HandleFunc("/v2/{$}", func(rw http.ResponseWriter, _ *http.Request) {
				if !wrong.Load() {
					return
				}
				if challenge != "" {
					rw.Header().Set("WWW-Authenticate", strings.ReplaceAll(challenge, "URL", w.URL))
				}
				rw.WriteHeader(http.StatusUnauthorized)
			})
			w.serve("/v2/app/manifests/v1", 200, "Content-Type: "+indexType+"\n\n"+indexJSON)
			if _, err := c.Manifest(t.Context(), tag(t)); err == nil {
				t.Error("served")
			}
			wrong.Store(false)
			if _, err := c.Manifest(t.Context(), tag(t)); err != nil {
				t.Error(err)
			}
		})
	}
}
