package rekorlog

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	"github.com/tlogistry/tlogistry/internal/record"
)

// TestStatementsOf: a record without a statement is known again by its hash if it
// is of one of the first digests that others name. However many there are, it is
// compared with no more.
func TestStatementsOf(t *testing.T) {
	id := record.Identity{Issuer: "https://issuer.example", Subject: "somebody@example.com"}
	digest := func(i int) string { return fmt.Sprintf("sha256:%064x", i) }
	named := func(i int) record.Witness {
		return record.Witness{Identity: id, Sighting: record.Sighting{Ref: someRef, Digest: digest(i), UUID: fmt.Sprint("named ", i), Index: int64(i)}}
	}
	unnamed := func(i int, ref string) record.Witness {
		b, err := record.Statement{Identity: id, Ref: ref, Digest: digest(i)}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return record.Witness{Identity: id, Sighting: record.Sighting{Ref: someRef, Hash: sha256.Sum256(b), UUID: "unnamed", Index: 1 << 20}}
	}
	var many []record.Witness
	for i := range maxNames + 1 {
		many = append(many, named(i), named(i)) // one digest counts once
	}
	for name, tc := range map[string]struct {
		found []record.Witness
		want  string // the digest in the statement; empty: none is found
	}{
		"nobody":             {nil, ""},
		"alone":              {[]record.Witness{unnamed(1, someRef)}, ""},
		"as another":         {[]record.Witness{named(1), unnamed(1, someRef)}, digest(1)},
		"before another":     {[]record.Witness{unnamed(1, someRef), named(2), named(1)}, digest(1)},
		"of another digest":  {[]record.Witness{named(2), unnamed(1, someRef)}, ""},
		"of another tag":     {[]record.Witness{named(1), unnamed(1, someRef+"x")}, ""},
		"as the last of all": {append([]record.Witness{unnamed(maxNames-1, someRef)}, many...), digest(maxNames - 1)},
		"as one too many":    {append([]record.Witness{unnamed(maxNames, someRef)}, many...), ""},
	} {
		t.Run(name, func(t *testing.T) {
			statements, err := statementsOf(t.Context(), tc.found)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for uuid, b := range statements {
				st, err := record.Decode(b)
				if err != nil || uuid != "unnamed" {
					t.Fatalf("%s: %v", uuid, err)
				}
				got = st.Digest
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := statementsOf(ended, []record.Witness{unnamed(1, someRef)}); !errors.Is(err, context.Canceled) {
		t.Errorf("after its end: %v", err)
	}
}
