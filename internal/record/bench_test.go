package record

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkDecide decides by one sighting, as nearly always, and by many.
func BenchmarkDecide(b *testing.B) {
	digest := "sha256:" + strings.Repeat("0", 64)
	for _, n := range []int{1, 10, 1000} {
		var sightings []Sighting
		for i := range n {
			sightings = append(sightings, Sighting{Digest: digest, Index: int64(n - i)})
		}
		b.Run(fmt.Sprintf("sightings=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if outcome, _ := Decide(digest, sightings); outcome != Same {
					b.Fatal(outcome)
				}
			}
		})
	}
}

// BenchmarkEncode makes the bytes of a statement.
func BenchmarkEncode(b *testing.B) {
	s := Statement{
		Identity: Identity{Issuer: "https://accounts.google.com", Subject: "tlogistry@project.iam.gserviceaccount.com"},
		Ref:      "index.docker.io/library/alpine:3.16.0",
		Digest:   "sha256:" + strings.Repeat("0", 64),
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}
