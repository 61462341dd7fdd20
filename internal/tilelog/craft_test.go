package tilelog_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"

	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// craft adds entries to the log in dir, which is not open, with its own key but
// past all that this package checks.
func craft(t *testing.T, dir string, entries ...string) {
	t.Helper()
	signer, err := note.NewSigner(strings.TrimSpace(read(t, filepath.Join(dir, "key"))))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	driver, err := posix.New(ctx, posix.Config{Path: filepath.Join(dir, "log")})
	if err != nil {
		t.Fatal(err)
	}
	appender, shutdown, _, err := tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().
		WithCheckpointSigner(signer).WithCheckpointInterval(100*time.Millisecond).WithBatching(256, 10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries { // one by one, for the order
		if _, err := appender.Add(ctx, tessera.NewEntry([]byte(e)))(); err != nil {
			t.Fatal(err)
		}
	}
	if err := shutdown(ctx); err != nil {
		t.Fatal(err)
	}
}

// newDir returns the directory of a log without entries, and its verifier key.
func newDir(t *testing.T) (dir, vkey string) {
	t.Helper()
	dir = t.TempDir()
	l := mustOpen(t, tilelog.Config{Dir: dir})
	defer mustClose(t, l)
	return dir, l.VerifierKey()
}

func encode(t *testing.T, ref, digest string, at time.Time) string {
	t.Helper()
	b, err := tilelog.Record{Ref: ref, Digest: digest, Time: at}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The first record of a reference decides, whatever time later ones claim.
func TestLaterRecords(t *testing.T) {
	dir, _ := newDir(t)
	at := goldenRecord.Time
	craft(t, dir,
		encode(t, numbered(1), digest("x"), at),
		encode(t, alpine, digest("a"), at),
		encode(t, alpine, digest("b"), at.Add(-time.Hour)),
		encode(t, numbered(1), digest("x"), at),
		encode(t, alpine, digest("a"), at.Add(time.Hour)))
	l := mustOpen(t, tilelog.Config{Dir: dir})
	defer mustClose(t, l)
	got, err := l.Lookup(t.Context(), alpine)
	if err != nil || len(got) != 1 || got[0].Index != 1 || got[0].Digest != digest("a") || !got[0].Time.Equal(at) {
		t.Errorf("got %+v, %v", got, err)
	}
	if s, err := add(t.Context(), l, alpine, digest("b")); err != nil || s != got[0] {
		t.Errorf("added again: %+v, %v", s, err)
	}
	if refs, dups := l.Counts(); refs != 2 || dups != 3 {
		t.Errorf("%d references, %d later records", refs, dups)
	}
}

// An entry that is no record stops the start: it was written by others.
func TestOpenNoRecord(t *testing.T) {
	dir, _ := newDir(t)
	craft(t, dir, golden, strings.Replace(golden, "{", "{ ", 1))
	damage{"", func(*testing.T, string) {}, "in log/: damaged log: tile/entries/000.p/2: entry 1: not a valid record: it does not encode back to the same bytes"}.check(t, dir)
}

// A log that turns out to be damaged while it is open takes no more records,
// and goes on with what it has verified before.
func TestDamagedWhileOpen(t *testing.T) {
	for name, do := range map[string]func(t *testing.T, dir string){
		"entry altered":      on("log/tile/entries/000.p/3", flipAt(50)),
		"hash altered":       on("log/tile/0/000.p/3", flipAt(0)),
		"checkpoint garbage": on("log/checkpoint", become("a\nb\nc\n")),
		"state rolled back":  on("log/.state/treeState", become(`{"size":0,"root":"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}`)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits
			dir := t.TempDir()
			l := mustOpen(t, tilelog.Config{Dir: dir, Timeout: 8 * time.Second})
			known := fill(t, l, 0, 3)[2]
			do(t, dir)
			if s, err := add(t.Context(), l, numbered(3), digest("x")); err == nil {
				t.Errorf("added: %+v", s)
			} else if !errors.Is(err, tilelog.ErrDamaged) && !errors.Is(err, context.DeadlineExceeded) && name != "checkpoint garbage" {
				t.Error(err)
			}
			checkLookup(t, l, numbered(3))
			checkLookup(t, l, numbered(2), known)
			if s, err := add(t.Context(), l, numbered(2), digest("x")); err != nil || s != known {
				t.Errorf("a known reference: %+v, %v", s, err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if err := l.Close(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) && name != "checkpoint garbage" {
				t.Error(err)
			}
		})
	}
}

// What failed may show later: it is then the record, and is not written twice.
func TestAddAgainAfterFailure(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWitness(t)
	l := mustOpen(t, tilelog.Config{Dir: dir, WitnessPolicy: w.policy(t), Timeout: 8 * time.Second})
	defer mustClose(t, l)
	w.down.Store(true)
	for _, d := range []string{digest("a"), digest("b")} {
		if s, err := add(t.Context(), l, alpine, d); !errors.Is(err, context.DeadlineExceeded) || s != (record.Sighting{}) {
			t.Fatalf("without its witness: %+v, %v", s, err)
		}
		checkLookup(t, l, alpine)
	}
	w.down.Store(false)
	s, err := add(t.Context(), l, alpine, digest("c"))
	if err != nil || s.Index != 0 || s.Digest != digest("a") {
		t.Fatalf("with its witness: %+v, %v", s, err)
	}
	checkLookup(t, l, alpine, s)
	if n := l.Size(); n != 1 {
		t.Errorf("the log has %d entries", n)
	}
}
