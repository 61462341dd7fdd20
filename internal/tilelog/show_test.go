package tilelog_test

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// What proves a sighting agrees with the log's checkpoint, and the path of its
// entry leads to it, in a tree of more than one tile too.
func TestProof(t *testing.T) {
	l := mustOpen(t, tilelog.Config{Dir: t.TempDir()})
	defer mustClose(t, l)
	sightings := fill(t, l, 0, 300)
	slices.SortFunc(sightings, func(a, b record.Sighting) int { return cmp.Compare(a.Index, b.Index) })
	for _, s := range []record.Sighting{sightings[0], sightings[299]} {
		p, err := l.Proof(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		origin, _, _ := strings.Cut(l.VerifierKey(), "+")
		if p.Origin != origin || p.Position != s.Index || p.Certificate != nil || p.Size != 300 {
			t.Errorf("%+v", p)
		}
		if got := body(t, ask(t, l, http.MethodGet, "/tlog/checkpoint")); got != p.Checkpoint {
			t.Errorf("checkpoint %q, want %q", p.Checkpoint, got)
		}
		at := tilelog.EntryPath(s.Index, p.Size)
		if resp := ask(t, l, http.MethodGet, "/tlog"+at); !strings.Contains(body(t, resp), `"reference":"`+s.Ref+`"`) {
			t.Errorf("entry %d is not at %s: %s", s.Index, at, resp.Status)
		}
	}
}

// Nothing is said to be proved that is not.
func TestProofOfNothing(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, tilelog.Config{Dir: dir})
	defer mustClose(t, l)
	list := fill(t, l, 0, 3)
	for name, change := range map[string]func(*record.Sighting){
		"no ID":         func(s *record.Sighting) { s.UUID = "entry" },
		"negative":      func(s *record.Sighting) { s.Index = -1 },
		"another ID":    func(s *record.Sighting) { s.UUID = strings.Repeat("00", 32) },
		"another index": func(s *record.Sighting) { s.Index++ },
		"not yet there": func(s *record.Sighting) { s.Index = 3 },
	} {
		t.Run(name, func(t *testing.T) {
			s := list[0]
			change(&s)
			if p, err := l.Proof(t.Context(), s); err == nil {
				t.Errorf("proved by %+v", p)
			}
		})
	}
	if err := filepath.WalkDir(filepath.Join(dir, "log", "tile", "0"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, bytes.Repeat([]byte{1}, len(b)), 0o644)
	}); err != nil {
		t.Fatal(err)
	}
	if p, err := l.Proof(t.Context(), list[0]); !errors.Is(err, tilelog.ErrDamaged) {
		t.Errorf("damaged tiles prove %+v, %v", p, err)
	}
}
