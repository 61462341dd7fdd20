package ociref_test

import (
	"testing"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

// BenchmarkParse parses the paths that make up most pulls.
func BenchmarkParse(b *testing.B) {
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for _, bc := range []struct{ name, path string }{
		{"ping", "/v2/"},
		{"tag=hub", "/v2/alpine/manifests/3.16.0"},
		{"tag=other", "/v2/ghcr.io/acme/team/app/manifests/v1.2.3"},
		{"digest", "/v2/library/alpine/manifests/" + digest},
		{"blob", "/v2/library/alpine/blobs/" + digest},
	} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ociref.Parse(bc.path); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
