package registry

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"testing"
)

// One user pulls, in either way of asking for a password, and nobody else.
func TestPassword(t *testing.T) {
	basic := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	o := Options{User: "ann", Password: "correct-horse"}
	plain := start(t, o)
	o.Token = true
	token := start(t, o)
	for _, r := range []*Registry{plain, token} {
		if _, err := r.Push("library/alpine", "latest", Variant{Name: "one", Single: true}); err != nil {
			t.Fatal(err)
		}
	}
	const manifest, tokenPlace = "/v2/library/alpine/manifests/latest", "/token?service=registry.test&scope=repository:library/alpine:pull"
	for header, want := range map[string]int{
		"":                            401,
		basic("ann", "other"):         401,
		basic("bob", "correct-horse"): 401,
		basic("ann", "correct-horse"): 200,
	} {
		if got := ask(t, http.MethodGet, plain.URL()+manifest, header); got.Status != want {
			t.Errorf("a pull with %q: %d, want %d", header, got.Status, want)
		}
		got := ask(t, http.MethodGet, token.URL()+tokenPlace, header)
		if got.Status != want {
			t.Errorf("a token with %q: %d, want %d", header, got.Status, want)
		}
		if want != 200 {
			continue
		}
		var issued struct{ Token string }
		if err := json.Unmarshal(got.Body, &issued); err != nil {
			t.Fatal(err)
		}
		if got := ask(t, http.MethodGet, token.URL()+manifest, "Bearer "+issued.Token); got.Status != 200 {
			t.Errorf("a pull with the token: %d", got.Status)
		}
	}
	if got := ask(t, http.MethodGet, token.URL()+manifest, basic("ann", "correct-horse")); got.Status != 401 {
		t.Errorf("a pull with a password in place of a token: %d", got.Status)
	}
}
