package upstream

import (
	"net/http"
	"testing"
)

// A service like this one that is asked as a registry, or led to, knows by
// CDN-Loop that it is asked by one. One that an operator mapped is not told
// until the registry leads elsewhere.
func TestLoopHeader(t *testing.T) {
	w, c := unmapped(t, Config{})
	w.gate("https://auth.example.com/token", `{"token":"good"}`)
	w.mux.Handle("reg.example.com/v2/app/manifests/v1", http.RedirectHandler("/own", http.StatusFound))
	w.mux.Handle("reg.example.com/own", http.RedirectHandler("https://cdn.example.com/m", http.StatusFound))
	w.serve("cdn.example.com/m", 200, "Content-Type: "+indexType+"\n\n"+indexJSON)
	if _, err := c.Manifest(t.Context(), request(t, "/v2/reg.example.com/app/manifests/v1")); err != nil {
		t.Fatal(err)
	}
	for _, r := range w.take() {
		if !Looped(r.Header) {
			t.Errorf("%s%s does not say so", r.Host, r.URL)
		}
	}
	w, c = mapped(t, Config{})
	w.gate(w.URL+"/token", `{"token":"good"}`)
	w.serve("/v2/app/", 200, "Content-Type: "+indexType+"\n\n"+indexJSON)
	if _, err := c.Manifest(t.Context(), request(t, "/v2/reg.example/app/manifests/v1")); err != nil {
		t.Fatal(err)
	}
	for _, r := range w.take() {
		if Looped(r.Header) {
			t.Errorf("%s says so to a mapped registry", r.URL)
		}
	}
}

func TestLooped(t *testing.T) {
	for value, want := range map[string]bool{
		"": false, "tlogistry": true, "TLOGISTRY": true, "cloudflare; loops=1, tlogistry": true, "a, tlogistry;v=1 , b": true,
		"cloudflare; x=tlogistry": false, "tlogistry2": false,
	} {
		if got := Looped(http.Header{"Cdn-Loop": {"other", value}}); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
}
