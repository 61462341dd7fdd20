package registry

import (
	"net/http"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestReferrers(t *testing.T) {
	r := start(t, Options{Referrers: true})
	digest, err := r.Push("library/alpine", "latest", Variant{Name: "one", Single: true})
	if err != nil {
		t.Fatal(err)
	}
	tag, err := r.Sign("library/alpine", digest, "by nobody")
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(digest, ":", "-", 1) + ".sig"; tag != want {
		t.Errorf("signed at %s, want %s", tag, want)
	}
	if got := ask(t, http.MethodHead, r.URL()+"/v2/library/alpine/manifests/"+tag, ""); got.Status != 200 {
		t.Errorf("HEAD %s: %d, want 200", tag, got.Status)
	}
	sbom, err := r.Attach("library/alpine", digest, "application/vnd.test.sbom")
	if err != nil {
		t.Fatal(err)
	}
	other, err := r.Attach("library/alpine", digest, "application/vnd.test.other")
	if err != nil {
		t.Fatal(err)
	}
	path := "/v2/library/alpine/referrers/"
	for _, tt := range []struct {
		name, uri string
		status    int
		want      []string
	}{
		{"all", path + digest, 200, []string{sbom, other}},
		{"one type", path + digest + "?artifactType=application/vnd.test.sbom", 200, []string{sbom}},
		{"none", path + "sha256:" + strings.Repeat("0", 64), 200, nil},
		{"bad digest", path + "sha256:0", 400, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer := ask(t, http.MethodGet, r.URL()+tt.uri, "")
			if answer.Status != tt.status {
				t.Fatalf("status %d, want %d", answer.Status, tt.status)
			}
			if tt.status != 200 {
				return
			}
			index, err := v1.ParseIndexManifest(strings.NewReader(string(answer.Body)))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range index.Manifests {
				got = append(got, d.Digest.String())
			}
			if strings.Join(got, " ") != strings.Join(tt.want, " ") {
				t.Errorf("referrers %v, want %v", got, tt.want)
			}
		})
	}
}
