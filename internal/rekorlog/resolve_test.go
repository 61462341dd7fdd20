package rekorlog

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"testing"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/tlogistry/tlogistry/internal/record"
)

// TestResolveForeign: an entry that turns out to be no record is forgotten, and
// nothing else: the log may hide afterwards what this process has verified.
func TestResolveForeign(t *testing.T) {
	tiny := newTinyLog(t, bodies[0])
	id := record.Identity{Issuer: "https://issuer.example", Subject: "somebody@example.com"}
	const digest = "sha256:" + leafA
	statement, err := record.Statement{Identity: id, Ref: someRef, Digest: digest}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	unnamed := record.Sighting{Ref: someRef, Hash: sha256.Sum256(statement), UUID: tiny.uuid(0), By: id}
	for name, found := range map[string][]record.Sighting{
		"alone":          nil,
		"before another": {seen(5, "a", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			log := tiny.open(func(context.Context) (root.TrustedMaterial, error) { return tiny.trusted(), nil })
			if err := log.memory.confirmed(someRef, slices.Concat([]record.Sighting{unnamed}, found)); err != nil {
				t.Fatal(err)
			}
			if s, err := log.Resolve(t.Context(), unnamed, digest); !errors.Is(err, record.ErrForeign) {
				t.Fatalf("got %+v, %v, want %v", s, err, record.ErrForeign)
			}
			if got, ok := log.memory.get(someRef); ok != (found != nil) || !slices.Equal(got, found) {
				t.Errorf("remembered are %+v, want %+v", got, found)
			}
		})
	}
}
