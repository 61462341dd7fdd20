package tilelog_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/tlogistry/tlogistry/internal/flight"
	"github.com/tlogistry/tlogistry/internal/front"
	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/tilelog"
)

var _ front.Log = (*tilelog.Log)(nil)

const alpine = "index.docker.io/library/alpine:3.16.0"

// digest returns a digest made of text.
func digest(text string) string {
	h := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(h[:])
}

func numbered(i int) string { return fmt.Sprintf("registry.example/library/image-%d:v1", i) }

func mustOpen(t testing.TB, cfg tilelog.Config) *tilelog.Log {
	t.Helper()
	l, err := tilelog.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustClose(t testing.TB, l *tilelog.Log) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// fill adds numbered records from one number up to another, all at once.
func fill(t testing.TB, l *tilelog.Log, from, to int) []record.Sighting {
	t.Helper()
	sightings := make([]record.Sighting, to-from)
	var wg sync.WaitGroup
	for i := range sightings {
		wg.Go(func() {
			s, err := add(t.Context(), l, numbered(from+i), digest(numbered(from+i)))
			if err != nil {
				t.Error(err)
			}
			sightings[i] = s
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return sightings
}

func checkLookup(t *testing.T, l *tilelog.Log, ref string, want ...record.Sighting) {
	t.Helper()
	got, err := l.Lookup(t.Context(), ref)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%s: got %+v, %v, want %+v", ref, got, err, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%s: got %+v\nwant %+v", ref, got[i], want[i])
		}
	}
}

func TestAdd(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "log")
	l := mustOpen(t, tilelog.Config{Dir: dir})
	checkLookup(t, l, alpine)
	before := time.Now().UTC().Truncate(time.Second)
	s, err := add(t.Context(), l, alpine, digest("a"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Time.Before(before) || s.Time.After(time.Now()) || s.Time.Location() != time.UTC || s.Time.Nanosecond() != 0 {
		t.Errorf("time is %v", s.Time)
	}
	entry := fmt.Sprintf(`{"version":1,"reference":"%s","digest":"%s","time":"%s"}`, alpine, digest("a"), s.Time.Format(time.RFC3339))
	want := record.Sighting{
		Ref:    alpine,
		Digest: digest("a"),
		Hash:   sha256.Sum256([]byte(entry)),
		UUID:   hex.EncodeToString(rfc6962.DefaultHasher.HashLeaf([]byte(entry))),
		Index:  0,
		Time:   s.Time,
	}
	if s != want {
		t.Errorf("got  %+v\nwant %+v", s, want)
	}
	checkLookup(t, l, alpine, want)
	if r, err := l.Resolve(t.Context(), want, digest("b")); err != nil || r != want {
		t.Errorf("resolved to %+v, %v", r, err)
	}

	// A known reference is not written again, whatever its digest.
	for _, d := range []string{digest("a"), digest("b")} {
		if s, err := add(t.Context(), l, alpine, d); err != nil || s != want {
			t.Errorf("added again: %+v, %v", s, err)
		}
	}
	other := fill(t, l, 1, 2)[0]
	if other.Index != 1 {
		t.Errorf("the second entry has index %d", other.Index)
	}
	origin, vkey := l.Origin(), l.VerifierKey()
	mustClose(t, l)
	checkLookup(t, l, alpine, want)

	l = mustOpen(t, tilelog.Config{Dir: dir})
	defer mustClose(t, l)
	if l.Origin() != origin || l.VerifierKey() != vkey {
		t.Errorf("the log is now %s, %s; it was %s, %s", l.Origin(), l.VerifierKey(), origin, vkey)
	}
	checkLookup(t, l, alpine, want)
	checkLookup(t, l, numbered(1), other)
	checkLookup(t, l, numbered(2))
	if s, err := add(t.Context(), l, alpine, digest("b")); err != nil || s != want {
		t.Errorf("added again: %+v, %v", s, err)
	}
	if s := fill(t, l, 2, 3)[0]; s.Index != 2 {
		t.Errorf("the third entry has index %d", s.Index)
	}
}

func TestNewLogFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	l := mustOpen(t, tilelog.Config{Dir: dir})
	defer mustClose(t, l)
	for path, want := range map[string]os.FileMode{dir: 0o700 | os.ModeDir, filepath.Join(dir, "key"): 0o600, filepath.Join(dir, "lock"): 0o600, filepath.Join(dir, "begun"): 0o600} {
		if st, err := os.Stat(path); err != nil || st.Mode() != want {
			t.Errorf("%s: %v, %v, want %v", path, st.Mode(), err, want)
		}
	}
	name, rest, _ := strings.Cut(l.VerifierKey(), "+")
	if suffix, ok := strings.CutPrefix(name, "tlogistry.local/"); !ok || len(suffix) != 16 || name != l.Origin() || rest == "" {
		t.Errorf("verifier key %s of %s", l.VerifierKey(), l.Origin())
	}
	if got, err := tilelog.VerifierKey(dir); err != nil || got != l.VerifierKey() {
		t.Errorf("the directory's verifier key is %s, %v, want %s", got, err, l.VerifierKey())
	}
}

// Whoever was answered finds the record in the checkpoint on the disk.
func TestAddIsPublished(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, tilelog.Config{Dir: dir})
	defer mustClose(t, l)
	r, err := tilelog.OpenReader(dir, l.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() {
			s, err := add(t.Context(), l, numbered(i), digest(numbered(i)))
			if err != nil {
				t.Error(err)
				return
			}
			cp, err := r.Checkpoint(t.Context())
			if err != nil || cp.Size <= s.Index {
				t.Errorf("record %d was answered under a checkpoint of %d entries, %v", s.Index, cp.Size, err)
			}
			if got, err := l.Lookup(t.Context(), s.Ref); err != nil || len(got) != 1 || got[0] != s {
				t.Errorf("record %d was answered but not found: %+v, %v", s.Index, got, err)
			}
		})
	}
	wg.Wait()
	if n := l.Size(); n != 300 {
		t.Errorf("the log has %d entries", n)
	}
}

// Calls for one reference at once write one record.
func TestAddOneReferenceAtOnce(t *testing.T) {
	l := mustOpen(t, tilelog.Config{Dir: t.TempDir()})
	defer mustClose(t, l)
	got := make([]record.Sighting, 64)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			var err error
			if got[i], err = add(t.Context(), l, alpine, digest(fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, s := range got {
		if s != got[0] {
			t.Fatalf("got both %+v and %+v", s, got[0])
		}
	}
	if n := l.Size(); n != 1 {
		t.Errorf("the log has %d entries", n)
	}
}

// A batch of references costs about as much as one.
func TestAddBatches(t *testing.T) {
	l := mustOpen(t, tilelog.Config{Dir: t.TempDir()})
	defer mustClose(t, l)
	seen := map[int64]bool{}
	for _, s := range fill(t, l, 0, 1000) {
		seen[s.Index] = true
		checkLookup(t, l, s.Ref, s)
	}
	for i := range int64(1000) {
		if !seen[i] {
			t.Errorf("no record has index %d", i)
		}
	}
}

func TestAddErrors(t *testing.T) {
	l := mustOpen(t, tilelog.Config{Dir: t.TempDir()})
	tests := []struct{ name, ref, digest, want string }{
		{"no tag", "index.docker.io/library/alpine", digest("a"),
			`add a record of index.docker.io/library/alpine to the tile log: not a valid record: reference "index.docker.io/library/alpine" is not a fully qualified tag`},
		{"no digest", alpine, "", `add a record of ` + alpine + ` to the tile log: not a valid record: digest "" is not sha256 and 64 lower-case hex digits`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := add(t.Context(), l, test.ref, test.digest)
			if err == nil || err.Error() != test.want || s != (record.Sighting{}) || !errors.Is(err, record.ErrFormat) {
				t.Errorf("got  %+v, %v\nwant %s", s, err, test.want)
			}
		})
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := add(gone, l, alpine, digest("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("the caller is gone: %v", err)
	}
	mustClose(t, l) // waits for what that caller left to itself
	if got, err := l.Lookup(t.Context(), alpine); err != nil || len(got) != 1 {
		t.Errorf("after the close: %+v, %v", got, err)
	}
	if _, err := add(t.Context(), l, numbered(1), digest("b")); !errors.Is(err, flight.ErrClosed) {
		t.Errorf("added to a closed log: %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write(t, file, "quorum some\n")
	tests := []struct {
		name string
		cfg  tilelog.Config
		want string
	}{
		{"a file", tilelog.Config{Dir: file}, "make the log's directory: " + file + ": not a directory"},
		{"under a file", tilelog.Config{Dir: file + "/log"}, "make the log's directory: stat " + file + "/log: not a directory"},
		{"no policy", tilelog.Config{Dir: dir + "/a", WitnessPolicy: dir + "/policy"},
			"bad witness policy: open " + dir + "/policy: no such file or directory"},
		{"bad policy", tilelog.Config{Dir: dir + "/a", WitnessPolicy: file},
			"bad witness policy: " + file + `: quorum component "some" not found`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if _, err := tilelog.Open(t.Context(), test.cfg); err == nil || err.Error() != test.want || errors.Is(err, tilelog.ErrPolicy) != (test.cfg.WitnessPolicy != "") {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
	if _, err := os.Stat(dir + "/a"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory was made: %v", err)
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
