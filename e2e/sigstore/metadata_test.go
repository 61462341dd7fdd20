package sigstore_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

func TestMetadata(t *testing.T) {
	s := start(t, sigstore.Options{Email: "one@example.com"})
	other, err := s.OtherMetadata("two@example.com")
	if err != nil {
		t.Fatal(err)
	}
	const account = "/computeMetadata/v1/instance/service-accounts/default/"
	for _, tt := range []struct {
		name, host, path string
		flavor           bool
		status           int
		body             string
		claims           []string // names of the claims, if a token is expected
	}{
		{"root", s.MetadataHost, "/", false, 200, "computeMetadata/\n", nil},
		{"email", s.MetadataHost, account + "email", true, 200, "one@example.com", nil},
		{"other email", other, account + "email", true, 200, "two@example.com", nil},
		{"no flavor", s.MetadataHost, account + "email", false, 403, "missing Metadata-Flavor:Google header\n", nil},
		{"no audience", s.MetadataHost, account + "identity", true, 400, "non-empty audience parameter required\n", nil},
		{"unknown", s.MetadataHost, "/computeMetadata/v1/nothing", true, 404, "404 page not found\n", nil},
		{"token", s.MetadataHost, account + "identity?audience=a", true, 200, "",
			[]string{"aud", "azp", "exp", "iat", "iss", "sub"}},
		{"full token", s.MetadataHost, account + "identity?audience=a&format=full", true, 200, "",
			[]string{"aud", "azp", "email", "email_verified", "exp", "iat", "iss", "sub"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+tt.host+tt.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if tt.flavor {
				req.Header.Set("Metadata-Flavor", "Google")
			}
			status, header, body := do(t, req)
			if status != tt.status {
				t.Errorf("status is %d, want %d", status, tt.status)
			}
			if got := header.Get("Metadata-Flavor"); got != "Google" {
				t.Errorf("Metadata-Flavor is %q, want Google", got)
			}
			if tt.claims == nil {
				if body != tt.body {
					t.Errorf("body is %q, want %q", body, tt.body)
				}
			} else if got := claimNames(t, body); !slices.Equal(got, tt.claims) {
				t.Errorf("claims are %v, want %v", got, tt.claims)
			}
		})
	}
}

// claimNames returns the sorted names of the claims of a token.
func claimNames(t *testing.T, token string) []string {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no token", token)
	}
	var claims map[string]any
	if err := json.Unmarshal(unb64(t, parts[1]), &claims); err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range claims {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
