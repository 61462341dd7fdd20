package tilelog_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/tilelog"
)

func mustReader(t testing.TB, source, vkey string) *tilelog.Reader {
	t.Helper()
	r, err := tilelog.OpenReader(source, vkey)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// files serves a directory as a static web server does.
func files(t testing.TB, dir string) string {
	t.Helper()
	s := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(s.Close)
	return s.URL
}

func TestReader(t *testing.T) {
	s := newSample(t)
	l := mustOpen(t, tilelog.Config{Dir: s.dir})
	defer mustClose(t, l)
	for name, source := range map[string]string{
		"directory":         s.dir,
		"log's directory":   s.dir + "/log",
		"HTTP":              serve(t, l).String(),
		"no slash":          strings.TrimSuffix(serve(t, l).String(), "/"),
		"static web server": files(t, s.dir+"/log"),
	} {
		t.Run(name, func(t *testing.T) {
			r := mustReader(t, source, s.vkey)
			if r.Origin() != l.Origin() {
				t.Errorf("origin is %s", r.Origin())
			}
			cp, err := r.Checkpoint(t.Context())
			if err != nil || cp.Size != 600 || string(cp.Raw) != s.checkpoint[1] {
				t.Fatalf("%+v, %v", cp, err)
			}
			old, err := r.Parse([]byte(s.checkpoint[0]))
			if err != nil || old.Size != 300 {
				t.Fatalf("%+v, %v", old, err)
			}
			// Also of an earlier checkpoint, whose partial files are outgrown.
			for _, cp := range []tilelog.Checkpoint{cp, old} {
				var n int64
				if err := r.Records(t.Context(), cp, func(index int64, entry []byte, rec tilelog.Record, err error) error {
					want := lookup(t, l, rec.Ref)
					if got, _ := rec.Sighting(index); err != nil || index != n || got != want {
						t.Errorf("entry %d is %s, %v", index, entry, err)
					}
					n++
					return nil
				}); err != nil || n != cp.Size {
					t.Errorf("%d entries, %v", n, err)
				}
			}
			empty := tilelog.Checkpoint{}
			for _, pair := range [][2]tilelog.Checkpoint{{old, cp}, {cp, cp}, {old, old}, {empty, cp}, {empty, empty}} {
				if err := r.Consistent(t.Context(), pair[0], pair[1]); err != nil {
					t.Errorf("from %d to %d: %v", pair[0].Size, pair[1].Size, err)
				}
			}
		})
	}
}

func TestReaderEmptyLog(t *testing.T) {
	dir, vkey := newDir(t)
	if n := audit(t, dir, vkey); n != 0 {
		t.Errorf("%d entries", n)
	}
}

func TestOpenReaderErrors(t *testing.T) {
	_, vkey := newDir(t)
	for _, test := range []struct{ source, vkey, want string }{
		{"/", "key", `verifier key "key": malformed verifier id`},
		{"http://", vkey, `address "http://": want one such as https://host/tlog/`},
		{"http://user@host/", vkey, `address "http://user@host/": want one such as https://host/tlog/`},
		{"https://host/?a", vkey, `address "https://host/?a": want one such as https://host/tlog/`},
		{"https://host/#a", vkey, `address "https://host/#a": want one such as https://host/tlog/`},
		{"https://ho st/", vkey, `address "https://ho st/": want one such as https://host/tlog/`},
	} {
		if _, err := tilelog.OpenReader(test.source, test.vkey); err == nil || err.Error() != test.want {
			t.Errorf("%s: got %v, want %s", test.source, err, test.want)
		}
	}
}

// An auditor finds what was changed, in a directory and over HTTP.
func TestReaderFindsDamage(t *testing.T) {
	s := newSample(t)
	tests := []damage{
		{"bundle missing", on("tile/entries/000", remove), "damaged log: tile/entries/000: missing"},
		{"bundle cut", on("tile/entries/002.p/88", become("")), "damaged log: tile/entries/002.p/88: 0 entries, want 88"},
		{"bundle altered", on("tile/entries/001", flipAt(50)), "damaged log: tile/0/001: hash 0 is not that of entry 0 of tile/entries/001"},
		{"bundle longer", on("tile/entries/001", func(t testing.TB, p string) { write(t, p, read(t, p)+"\x00\x00") }), "damaged log: tile/entries/001: 257 entries, want 256"},
		{"leaves missing", on("tile/0/001", remove), "damaged log: tile/0/001: missing"},
		{"leaves altered", on("tile/0/001", flipAt(0)), "damaged log: tile/0/001: hash 0 is not that of entry 0 of tile/entries/001"},
		{"leaves cut", on("tile/0/001", cutBy(32)), "damaged log: tile/0/001: 8160 bytes, want 8192"},
		{"inner altered", on("tile/1/000.p/2", flipAt(0)), "damaged log: tile/1/000.p/2: hash 0 is not that of tile/0/000"},
		{"inner missing", on("tile/1/000.p/2", remove), "damaged log: tile/1/000.p/2: missing"},
		{"checkpoint altered", on("checkpoint", replace("\n600\n", "\n599\n")), "damaged log: not a checkpoint of ORIGIN: failed to verify signatures on checkpoint: invalid signature for key NAME"},
		{"bundle and leaves altered", func(t *testing.T, dir string) {
			flip(t, dir+"/tile/entries/002.p/88", 50)
			h, err := leafHashes([]byte(read(t, dir+"/tile/entries/002.p/88")))
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir+"/tile/0/002.p/88", string(h[0])+read(t, dir+"/tile/0/002.p/88")[32:])
		}, "damaged log: checkpoint: its root hash is HEX, that of its 600 entries is HEX"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := s.copy(t) + "/log"
			test.do(t, dir)
			for _, source := range []string{dir, files(t, dir)} {
				r := mustReader(t, source, s.vkey)
				err := auditAll(t.Context(), r)
				hash := strings.Split(s.vkey, "+")[1]
				want := strings.NewReplacer("ORIGIN", r.Origin()+" by the key "+hash, "NAME", r.Origin()+"+"+hash).Replace(test.want)
				if err == nil || regexp.MustCompile(`[0-9a-f]{64}`).ReplaceAllString(err.Error(), "HEX") != want || !errors.Is(err, tilelog.ErrDamaged) {
					t.Errorf("%s: got  %v\nwant %s", source, err, want)
				}
			}
		})
	}
	t.Run("wrong key", func(t *testing.T) {
		_, vkey := newDir(t)
		r := mustReader(t, s.dir, vkey)
		want := "not a checkpoint of " + r.Origin() + " by the key " + strings.Split(vkey, "+")[1] + ": failed to verify signatures on checkpoint: note has no verifiable signatures"
		if err := auditAll(t.Context(), r); err == nil || err.Error() != want || errors.Is(err, tilelog.ErrDamaged) {
			t.Error(err) // the log is well
		}
	})
	t.Run("nothing there", func(t *testing.T) {
		for _, source := range []string{t.TempDir(), files(t, t.TempDir())} {
			if err := auditAll(t.Context(), mustReader(t, source, s.vkey)); !errors.Is(err, os.ErrNotExist) || errors.Is(err, tilelog.ErrDamaged) {
				t.Error(err)
			}
		}
	})
}

func auditAll(ctx context.Context, r *tilelog.Reader) error {
	cp, err := r.Checkpoint(ctx)
	if err != nil {
		return err
	}
	return r.Records(ctx, cp, func(_ int64, _ []byte, _ tilelog.Record, err error) error { return err })
}

// An entry that is no record is reported where it is, and the rest is read.
func TestReaderBrokenRecord(t *testing.T) {
	dir, vkey := newDir(t)
	craft(t, dir, golden, "no record", strings.Repeat("x", 1<<16-1), golden)
	r := mustReader(t, dir, vkey)
	cp, err := r.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := r.Records(t.Context(), cp, func(index int64, entry []byte, rec tilelog.Record, err error) error {
		got = append(got, fmt.Sprint(index, " ", len(entry), " ", rec.Ref, " ", err, " ", errors.Is(err, record.ErrFormat)))
		return nil
	}); err != nil {
		t.Error(err)
	}
	want := []string{
		fmt.Sprint("0 ", len(golden), " ", alpine, " <nil> false"),
		"1 9  not a valid record: invalid character 'o' in literal null (expecting 'u') true",
		"2 65535  not a valid record: 65535 bytes, more than 8192 true",
		fmt.Sprint("3 ", len(golden), " ", alpine, " <nil> false"),
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	stop := errors.New("enough")
	if err := r.Records(t.Context(), cp, func(int64, []byte, tilelog.Record, error) error { return stop }); err != stop {
		t.Errorf("the caller's error became %v", err)
	}
}

// A log that went two ways from one checkpoint is found out.
func TestConsistentForked(t *testing.T) {
	s := newSample(t)
	dir := s.copy(t)
	remove(t, dir+"/log")
	remove(t, dir+"/begun")
	l := mustOpen(t, tilelog.Config{Dir: dir}) // the same key, other records
	fill(t, l, 1000, 1400)
	mustClose(t, l)
	ours, theirs := mustReader(t, s.dir, s.vkey), mustReader(t, dir, s.vkey)
	small, err := ours.Parse([]byte(s.checkpoint[0]))
	if err != nil {
		t.Fatal(err)
	}
	fork, err := theirs.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other := fork
	other.Size = small.Size
	large, err := ours.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		old, new tilelog.Checkpoint
		want     string
	}{
		"another tree":      {small, fork, "forked log: the 300 entries of an earlier checkpoint are not the first of these 400: "},
		"entries taken":     {large, fork, "forked log: the checkpoint covers 400 entries, an earlier one 600"},
		"another root hash": {small, other, "forked log: two checkpoints of 300 entries have the root hashes "},
	} {
		t.Run(name, func(t *testing.T) {
			err := theirs.Consistent(t.Context(), test.old, test.new)
			if err == nil || !strings.HasPrefix(err.Error(), test.want) || !errors.Is(err, tilelog.ErrForked) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
	for name, do := range map[string]func(testing.TB, string){"missing": remove, "40 bytes, want 64": cutBy(24)} {
		dir := s.copy(t)
		do(t, dir+"/log/tile/1/000.p/2")
		err := mustReader(t, dir, s.vkey).Consistent(t.Context(), small, large)
		if err == nil || err.Error() != "damaged log: tile/1/000.p/2: "+name || !errors.Is(err, tilelog.ErrDamaged) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
