package registry

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"
)

func TestToken(t *testing.T) {
	r := start(t, Options{Token: true, Redirect: true, TokenLife: time.Hour})
	digest, err := r.Push("library/alpine", "latest", Variant{Name: "one", Single: true})
	if err != nil {
		t.Fatal(err)
	}
	manifest := r.URL() + "/v2/library/alpine/manifests/latest"

	refused := ask(t, http.MethodGet, manifest, "")
	challenge := `Bearer realm="` + r.URL() + `/token",service="registry.test",scope="repository:library/alpine:pull"`
	if got := refused.Header.Get("WWW-Authenticate"); refused.Status != 401 || got != challenge {
		t.Errorf("without a token: %d %s, want 401 %s", refused.Status, got, challenge)
	}
	fresh := func(actions string) string {
		t.Helper()
		answer := ask(t, http.MethodGet, r.URL()+"/token?service=registry.test&scope=repository:library/alpine:"+actions, "")
		var issued struct {
			Token     string `json:"token"`
			ExpiresIn int    `json:"expires_in"`
		}
		if err := json.Unmarshal(answer.Body, &issued); err != nil {
			t.Fatalf("token: %v in %s", err, answer.Body)
		}
		if issued.ExpiresIn != 3600 {
			t.Errorf("expires_in is %d, want 3600", issued.ExpiresIn)
		}
		return "Bearer " + issued.Token
	}
	token := fresh("pull,push")
	if got := ask(t, http.MethodGet, manifest, token); got.Status != 200 || got.Header.Get("Docker-Content-Digest") != digest {
		t.Errorf("with a token: %d %s, want 200 %s", got.Status, got.Header.Get("Docker-Content-Digest"), digest)
	}
	if got := ask(t, http.MethodPost, r.URL()+"/v2/library/alpine/blobs/uploads/", token); got.Status != 401 {
		t.Errorf("an anonymous push: %d, want 401", got.Status)
	}
	if got := ask(t, http.MethodGet, r.URL()+"/v2/library/other/manifests/latest", token); got.Status != 401 {
		t.Errorf("another repository: %d, want 401", got.Status)
	}
	r.ExpireTokens()
	if got := ask(t, http.MethodGet, manifest, token); got.Status != 401 {
		t.Errorf("with an expired token: %d, want 401", got.Status)
	}
	if got := ask(t, http.MethodGet, manifest, fresh("pull")); got.Status != 200 {
		t.Errorf("with a new token: %d, want 200", got.Status)
	}
}

func TestTokenEnds(t *testing.T) {
	tokens, err := newTokens(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	tokens.live["past"] = time.Now().Add(-time.Nanosecond)
	tokens.live["future"] = time.Now().Add(time.Minute)
	for raw, want := range map[string]bool{"past": false, "future": true, "unknown": false} {
		if got := tokens.valid(raw); got != want {
			t.Errorf("valid(%q) = %t, want %t", raw, got, want)
		}
	}
}
