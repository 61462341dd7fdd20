package registry

import (
	"net/http"
	"testing"
)

func TestCounts(t *testing.T) {
	r := start(t, Options{Redirect: true})
	digest, err := r.Push("library/alpine", "latest", Variant{Name: "one", Single: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, uri := range []string{"/v2/", "/v2/library/alpine/manifests/latest", "/v2/library/alpine/blobs/" + digest,
		"/v2/library/alpine/tags/list?n=1", "/v2/library/alpine/referrers/" + digest, "/"} {
		ask(t, http.MethodGet, r.URL()+uri, "")
		ask(t, http.MethodHead, r.URL()+uri, "")
	}
	want := "ping 2, manifest HEAD 1, manifest GET 1, blob HEAD 1, blob GET 1, tag list 2, referrers 2, other 2"
	if got := r.Counts(); got.String() != want || got.Total() != 12 {
		t.Errorf("counted %v, %d in all; want %s, 12 in all", got, got.Total(), want)
	}
	requests := r.Requests()
	if len(requests) != 12 || requests[6].URI != "/v2/library/alpine/tags/list?n=1" || requests[6].Host != r.Host() {
		t.Errorf("recorded %d requests, the seventh %+v", len(requests), requests[6])
	}
	r.Reset()
	if got := r.Counts(); got.String() != "none" || len(r.Requests()) != 0 {
		t.Errorf("after Reset: %v", got)
	}
}
