package keyless

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestTokenIsNotTold: an answer of Fulcio's that repeats the token, or its
// signature alone, is no part of the error.
func TestTokenIsNotTold(t *testing.T) {
	const signature = "c2VjcmV0LXNpZ25hdHVyZQ"
	token := strings.Join(append(strings.Split(lasting(time.Now(), time.Now().Add(time.Hour)), ".")[:2], signature), ".")
	escaped := ""
	for _, c := range []byte(signature) {
		escaped += fmt.Sprintf("%%%02X", c)
	}
	for name, tc := range map[string]struct {
		answer string // to the request's header
		told   bool
	}{
		"all":       {"bad rule; the request was: Bearer " + token, false},
		"signature": {"bad signature " + signature, false},
		"escaped":   {"see /?token=" + url.QueryEscape(token), false},
		"hidden":    {"see /?token=" + escaped, false},
		"other":     {"invalid token 100% bad", true},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, tc.answer, http.StatusBadRequest)
			}))
			t.Cleanup(server.Close)
			s := New(Config{Timeout: time.Minute, FulcioURL: server.URL, Subject: email, Issuer: issuer,
				Tokens: &place{token: func(context.Context, string) (string, error) { return token, nil }}})
			t.Cleanup(s.Close)
			_, err := s.Sign(t.Context(), []byte("x"))
			want := "ask Fulcio for a certificate: it failed, and its answer repeats the identity token"
			if tc.told {
				want = "ask Fulcio for a certificate: Fulcio returned 400: " + tc.answer + "\n"
			}
			if err == nil || err.Error() != want {
				t.Errorf("got %q\nwant %q", err, want)
			}
		})
	}
}
