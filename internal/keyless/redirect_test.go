package keyless

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestFulcioRedirects: the identity token, which is as good as the identity
// itself, goes where it is configured to go. net/http would send it on to
// another port of the same host, and without TLS.
func TestFulcioRedirects(t *testing.T) {
	for _, status := range []int{http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				t.Errorf("%s is asked, with Authorization %.10q", r.URL, r.Header.Get("Authorization"))
			}))
			t.Cleanup(elsewhere.Close)
			fulcio := httptest.NewServer(http.RedirectHandler(elsewhere.URL, status))
			t.Cleanup(fulcio.Close)
			token := lasting(time.Now(), time.Now().Add(time.Hour))
			s := New(Config{Timeout: time.Minute, FulcioURL: fulcio.URL, Subject: email, Issuer: issuer,
				Tokens: &place{token: func(context.Context, string) (string, error) { return token, nil }}})
			t.Cleanup(s.Close)
			want := fmt.Sprintf("it answered %d %s", status, http.StatusText(status))
			if _, err := s.Sign(t.Context(), []byte("x")); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}
