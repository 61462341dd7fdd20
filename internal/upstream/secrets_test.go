package upstream

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

// A registry that repeats what it was told, wherever it can, gets none of it
// into an error or into an address for a client.
func TestSecretsAreNotRepeated(t *testing.T) {
	token := strings.TrimPrefix(ticket, "Bearer ")
	coded := strings.TrimPrefix(basicSecret, "Basic ")
	bearer, password := `Bearer realm="https://reg.example.com/token",service="srv"`, `Basic realm="x"`
	says := func(text string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(rw, `{"errors":[{"code":"DENIED","message":%q}]}`, text)
		}
	}
	sends := func(to string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Location", to)
			rw.WriteHeader(http.StatusTemporaryRedirect)
		}
	}
	answers := func(status int, text string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(status)
			fmt.Fprint(rw, text)
		}
	}
	const manifest, blobPath, tokenPath = "/v2/app/manifests/v1", "/v2/app/blobs/" + blobDigest, "/token"
	for name, test := range map[string]struct {
		challenge, path string
		handler         http.HandlerFunc
	}{
		"token in the registry's words":       {bearer, manifest, says("not with Bearer " + token)},
		"header in the registry's words":      {password, manifest, says("not with Basic " + coded)},
		"password in the registry's words":    {password, manifest, says("not with " + secret)},
		"token in an address":                 {bearer, blobPath, sends("https://cdn.example.com/b?t=" + token)},
		"token in an address, escaped":        {bearer, blobPath, sends("https://cdn.example.com/b?t=" + strings.ReplaceAll(token, "-", "%2D"))},
		"header in an address":                {password, blobPath, sends("https://cdn.example.com/b?t=" + coded)},
		"header in an address, escaped":       {password, blobPath, sends("https://cdn.example.com/b?t=" + url.QueryEscape(coded))},
		"token where a manifest is":           {bearer, manifest, sends("https://gone.example.com/" + token)},
		"header where a manifest is":          {password, manifest, sends("https://gone.example.com/" + coded)},
		"password in a token service's words": {bearer, tokenPath, answers(403, `{"errors":[{"code":"DENIED","message":"not with `+secret+`"}]}`)},
		"password in place of a token":        {bearer, tokenPath, answers(200, secret)},
		"password in a token's answer":        {bearer, tokenPath, answers(200, `{"user":"`+secret+`"}`)},
		"password as a number of the answer":  {bearer, tokenPath, answers(200, `{"token":"t","expires_in":"`+secret+`"}`)},
		"password in a token's redirect":      {bearer, tokenPath, sends("https://reg.example.com/missing/" + secret)},
		"header in a token's redirect":        {bearer, tokenPath, sends("https://reg.example.com/missing/" + coded)},
		"header in a redirect elsewhere":      {bearer, tokenPath, sends("https://gone.example.com/" + coded)},
		"password in a broken redirect":       {bearer, tokenPath, sends("https://" + secret + ":x/")},
	} {
		t.Run(name, func(t *testing.T) {
			hosts, c := newInternet(t, Config{Credentials: logins(t, map[string]string{"reg.example.com": "ann:" + secret})}, "reg.example.com")
			reg := hosts["reg.example.com"]
			reg.challenge(test.challenge)
			reg.mux.HandleFunc(test.path, test.handler)
			if test.path != tokenPath {
				reg.sell("/token")
			}
			err := pullAll(t, c, request(t, "/v2/reg.example.com/app/manifests/v1"), test.path == blobPath)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error is %v", err)
			}
			text := fmt.Sprint(e.Message, " ", e.Err, " ", err, " ", e.Header, " ", e.RetryAfter)
			if plain, err := url.QueryUnescape(text); err == nil {
				text += plain
			}
			for _, s := range []string{secret, coded, token} {
				if strings.Contains(text, s) {
					t.Errorf("%s is in %s", s, text)
				}
			}
		})
	}
}

// pullAll pulls a manifest, or a blob of the same repository.
func pullAll(t *testing.T, c *Client, r ociref.Request, aBlob bool) error {
	t.Helper()
	if !aBlob {
		_, err := c.Manifest(t.Context(), r)
		return err
	}
	b, err := c.Blob(t.Context(), http.MethodGet, blob(t, "reg.example.com"), nil)
	if err == nil {
		t.Errorf("the client is sent to %q", b.Location)
	}
	return err
}
