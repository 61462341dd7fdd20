package tilelog_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// A damage is what was done to a log's directory, and what Open says to it
// after "open the log in <dir>: ". HEX stands for a hash.
type damage struct {
	name string
	do   func(t *testing.T, dir string)
	want string
}

func (d damage) check(t *testing.T, dir string) {
	t.Helper()
	d.do(t, dir)
	before := snapshot(t, dir)
	l, err := tilelog.Open(t.Context(), tilelog.Config{Dir: dir})
	if err == nil {
		mustClose(t, l)
		t.Fatal("the log was opened")
	}
	got := strings.ReplaceAll(err.Error(), dir, "DIR")
	for _, r := range []struct{ re, with string }{{`[0-9a-f]{64}`, "HEX"}, {`require \d+ bytes from byte index \d+, but size is \d+`, "require N bytes from byte index N, but size is N"}, {`"\{.*\}"`, "JSON"}} {
		got = regexp.MustCompile(r.re).ReplaceAllString(got, r.with)
	}
	if want := "open the log in DIR: " + d.want; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !errors.Is(err, tilelog.ErrDamaged) {
		t.Error("it is not ErrDamaged")
	}
	checkUntouched(t, dir, before)
	if _, err := tilelog.Open(t.Context(), tilelog.Config{Dir: dir}); errors.Is(err, tilelog.ErrLocked) {
		t.Error("the directory stays locked")
	}
}

// otherRoot is a driver's state of the sample's size with another root hash.
var otherRoot = `{"size":600,"root":"` + strings.Repeat("A", 43) + `="}`

// on makes a change to one file.
func on(file string, change func(t testing.TB, path string)) func(*testing.T, string) {
	return func(t *testing.T, dir string) { change(t, filepath.Join(dir, file)) }
}

func flipAt(at int) func(testing.TB, string) {
	return func(t testing.TB, path string) { flip(t, path, at) }
}

func cutBy(n int) func(testing.TB, string) {
	return func(t testing.TB, path string) { cut(t, path, n) }
}

func become(text string) func(testing.TB, string) {
	return func(t testing.TB, path string) { write(t, path, text) }
}

func replace(old, new string) func(testing.TB, string) {
	return func(t testing.TB, path string) { edit(t, path, old, new) }
}

func TestOpenDamaged(t *testing.T) {
	s := newSample(t)
	other := newSample(t)
	name, _, _ := strings.Cut(s.vkey, "+")
	hash := strings.Split(s.vkey, "+")[1]
	noCheckpoint := "in log/: checkpoint: damaged log: not a checkpoint of " + name + " by the key " + hash + ": failed to verify signatures on checkpoint: "
	const (
		full, partial   = "log/tile/entries/000", "log/tile/entries/002.p/88"
		leaves, edge    = "log/tile/0/001", "log/tile/0/002.p/88"
		inner           = "log/tile/1/000.p/2"
		state, versions = "log/.state/treeState", "log/.state/version"
	)
	tests := []damage{
		{"bundle missing", on(full, remove), "in log/: damaged log: tile/entries/000: missing"},
		{"bundle empty", on(full, become("")), "in log/: damaged log: tile/entries/000: 0 entries, want 256"},
		{"bundle cut", on(full, cutBy(1)), "in log/: damaged log: tile/entries/000: require N bytes from byte index N, but size is N"},
		{"bundle cut at an entry", on(partial, func(t testing.TB, p string) { cut(t, p, 2+len(lastEntry(t, p))) }),
			"in log/: damaged log: tile/entries/002.p/88: 87 entries, want 88"},
		{"bundle longer", on(partial, func(t testing.TB, p string) { write(t, p, read(t, p)+"\x00\x00") }),
			"in log/: damaged log: tile/entries/002.p/88: 89 entries, want 88"},
		{"bundle altered", on(full, flipAt(50)), "in log/: damaged log: tile/0/000: hash 0 is not that of entry 0 of tile/entries/000"},
		{"bundle altered at its end", on(partial, flipAt(-4)), "in log/: damaged log: tile/0/002.p/88: hash 87 is not that of entry 87 of tile/entries/002.p/88"},
		{"bundle a directory", on(full, func(t testing.TB, p string) { remove(t, p); mkdir(t, p) }),
			"in log/: damaged log: DIR/log/tile/entries/000: not a regular file"},
		{"all entries missing", on("log/tile/entries", remove), "in log/: damaged log: tile/entries/000: missing"},

		{"leaves missing", on(leaves, remove), "in log/: damaged log: tile/0/001: missing"},
		{"leaves cut", on(leaves, cutBy(32)), "in log/: damaged log: tile/0/001: 8160 bytes, want 8192"},
		{"leaves altered", on(leaves, flipAt(-1)), "in log/: damaged log: tile/0/001: hash 255 is not that of entry 255 of tile/entries/001"},
		{"edge missing", on(edge, remove), "in log/: damaged log: tile/0/002.p/88: missing"},
		{"edge longer", on(edge, func(t testing.TB, p string) { write(t, p, read(t, p)+strings.Repeat("x", 32)) }),
			"in log/: damaged log: tile/0/002.p/88: 2848 bytes, want 2816"},
		{"edge altered", on(edge, flipAt(0)), "in log/: damaged log: tile/0/002.p/88: hash 0 is not that of entry 0 of tile/entries/002.p/88"},
		{"inner missing", on(inner, remove), "in log/: damaged log: tile/1/000.p/2: missing"},
		{"inner cut", on(inner, cutBy(1)), "in log/: damaged log: tile/1/000.p/2: 63 bytes, want 64"},
		{"inner altered", on(inner, flipAt(40)), "in log/: damaged log: tile/1/000.p/2: hash 1 is not that of tile/0/001"},
		{"all tiles missing", on("log/tile", remove), "in log/: damaged log: tile/entries/000: missing"},

		{"checkpoint missing", on("log/checkpoint", remove), "in log/: damaged log: checkpoint: missing"},
		{"checkpoint empty", on("log/checkpoint", become("")), noCheckpoint + "malformed note"},
		{"checkpoint garbage", on("log/checkpoint", become("no\nsuch\nthing\n\n— a b\n")), noCheckpoint + "malformed note"},
		{"checkpoint cut", on("log/checkpoint", cutBy(1)), noCheckpoint + "malformed note"},
		{"checkpoint's size altered", on("log/checkpoint", replace("\n600\n", "\n599\n")), noCheckpoint + "invalid signature for key " + name + "+" + hash},
		{"checkpoint of another log", on("log/checkpoint", become(other.checkpoint[1])), noCheckpoint + "note has no verifiable signatures"},
		{"checkpoint too long", on("log/checkpoint", become(strings.Repeat("x", 2<<20))), "in log/: damaged log: DIR/log/checkpoint: more than 1048576 bytes"},

		{"state missing", on(state, remove), "in log/: damaged log: .state/treeState: missing"},
		{"all state missing", on("log/.state", remove), "in log/: damaged log: .state/treeState: missing"},
		{"state empty", on(state, become("")), "in log/: damaged log: .state/treeState: unexpected end of JSON input"},
		{"state smaller", on(state, replace("600", "599")), "in log/: damaged log: .state/treeState: 599 entries, fewer than the 600 of the checkpoint"},
		{"state larger", on(state, replace("600", "601")), "in log/: damaged log: tile/entries/002.p/89: missing"},
		{"state huge", on(state, replace("600", "9223372036854775808")), "in log/: damaged log: .state/treeState: 9223372036854775808 entries"},
		{"state's root altered", on(state, become(otherRoot)), "in log/: damaged log: .state/treeState: its root hash is HEX, that of its 600 entries is HEX"},
		{"state's root short", on(state, become(`{"size":600,"root":"AAAA"}`)), "in log/: damaged log: .state/treeState: a root hash of 3 bytes"},
		{"state of an empty log", on(state, become(`{"size":0,"root":"`+strings.Repeat("A", 43)+`="}`)), "in log/: damaged log: .state/treeState: its root hash is not that of an empty tree"},
		{"state written by others", on(state, replace("size", "Size")), "in log/: damaged log: .state/treeState: not as it was written: JSON"},
		{"version missing", on(versions, remove), "in log/: damaged log: .state/version: missing"},
		{"version 2", on(versions, become("2")), `in log/: damaged log: .state/version: version "2", want "1"`},
		{"garbage collection ahead", on("log/.state/gcState", become(`{"fromSize":601}`)), "in log/: damaged log: .state/gcState: 601 entries, more than the 600 of .state/treeState"},
		{"garbage collection garbage", on("log/.state/gcState", become(`{`)), "in log/: damaged log: .state/gcState: unexpected end of JSON input"},

		{"state and checkpoint missing", func(t *testing.T, dir string) { remove(t, dir+"/"+state); remove(t, dir+"/log/checkpoint") },
			"in log/: damaged log: .state/treeState: missing"},
		{"all public files missing", func(t *testing.T, dir string) { remove(t, dir+"/log/tile"); remove(t, dir+"/log/checkpoint") },
			"in log/: damaged log: checkpoint: missing"},
		{"checkpoint missing, state of an empty log", func(t *testing.T, dir string) {
			write(t, dir+"/"+state, `{"size":0,"root":"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}`)
			remove(t, dir+"/log/checkpoint")
		}, "in log/: damaged log: checkpoint: missing"},

		{"key missing", on("key", remove), "damaged log: key: missing, while there is a log"},
		{"key empty", on("key", become("")), "DIR/key: damaged log: not a private key of a note"},
		{"key cut", on("key", cutBy(3)), "DIR/key: damaged log: not a private key of a note"},
		{"key altered", on("key", flipAt(-10)), "DIR/key: damaged log: not a private key of a note"},
		{"key of another log", on("key", func(t testing.TB, p string) { write(t, p, read(t, other.dir+"/key")) }),
			"in log/: checkpoint: damaged log: not a checkpoint of OTHER: failed to verify signatures on checkpoint: note has no verifiable signatures"},
		{"log of another", func(t *testing.T, dir string) {
			remove(t, dir+"/log")
			if err := os.CopyFS(dir+"/log", os.DirFS(other.dir+"/log")); err != nil {
				t.Fatal(err)
			}
		}, noCheckpoint + "note has no verifiable signatures"},
		{"entries of another", func(t *testing.T, dir string) {
			remove(t, dir+"/log/tile")
			if err := os.CopyFS(dir+"/log/tile", os.DirFS(other.dir+"/log/tile")); err != nil {
				t.Fatal(err)
			}
		}, "in log/: damaged log: checkpoint: its root hash is HEX, that of its 600 entries is HEX"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			otherName, _, _ := strings.Cut(other.vkey, "+")
			test.want = strings.Replace(test.want, "OTHER", otherName+" by the key "+strings.Split(other.vkey, "+")[1], 1)
			test.check(t, s.copy(t))
		})
	}
}

// A process may be killed between the integration of a batch and the
// publication of its checkpoint. What it had integrated shows later.
func TestOpenAhead(t *testing.T) {
	s := newSample(t)
	ahead := func(t *testing.T) string {
		dir := s.copy(t)
		write(t, dir+"/log/checkpoint", s.checkpoint[0])
		return dir
	}
	t.Run("whole", func(t *testing.T) {
		dir := ahead(t)
		// What else a killed process leaves.
		write(t, dir+"/key.new", "PRIVATE+KEY+")
		write(t, dir+"/log/checkpoint1234", "half a check")
		write(t, dir+"/log/.state/treeState99", `{"si`)
		write(t, dir+"/log/tile/entries/002.p/90", "a batch that never was")
		write(t, dir+"/log/tile/0/002", "a batch that never was")
		l := mustOpen(t, tilelog.Config{Dir: dir})
		defer mustClose(t, l)
		// A reference that is in the tree is not written again.
		for _, i := range []int{599, 0, 300} {
			sighting, err := add(t.Context(), l, numbered(i), digest("another"))
			if err != nil || sighting.Digest != digest(numbered(i)) {
				t.Errorf("record %d: %+v, %v", i, sighting, err)
			}
		}
		if n := l.Size(); n != 600 {
			t.Errorf("the log has %d entries", n)
		}
		if s := fill(t, l, 600, 601)[0]; s.Index != 600 {
			t.Errorf("the next record has index %d", s.Index)
		}
		if refs, dups := l.Counts(); refs != 601 || dups != 0 {
			t.Errorf("%d references, %d later records", refs, dups)
		}
	})
	for _, test := range []damage{
		{"checkpoint's edge missing", on("log/tile/0/001.p/44", remove), "in log/: damaged log: tile/0/001.p/44: missing"},
		{"checkpoint's edge altered", on("log/tile/0/001.p/44", flipAt(0)), "in log/: damaged log: tile/0/001.p/44: hash 0 is not that of entry 0 of tile/entries/001.p/44"},
		{"checkpoint's inner edge altered", on("log/tile/1/000.p/1", flipAt(0)), "in log/: damaged log: tile/1/000.p/1: hash 0 is not that of tile/0/000"},
		{"checkpoint's bundle missing", on("log/tile/entries/001.p/44", remove), "in log/: damaged log: tile/entries/001.p/44: missing"},
		{"checkpoint's bundle altered", on("log/tile/entries/001.p/44", flipAt(-4)), "in log/: damaged log: tile/entries/001.p/44: entry 43 is not that of the larger bundle"},
		{"entries beyond it altered", on("log/tile/entries/002.p/88", flipAt(50)), "in log/: damaged log: tile/0/002.p/88: hash 0 is not that of entry 0 of tile/entries/002.p/88"},
		{"state's root altered", on("log/.state/treeState", become(otherRoot)), "in log/: damaged log: .state/treeState: its root hash is HEX, that of its 600 entries is HEX"},
	} {
		t.Run(test.name, func(t *testing.T) { test.check(t, ahead(t)) })
	}
}

// A first start may be cut short anywhere.
func TestOpenCutShort(t *testing.T) {
	empty := t.TempDir()
	l := mustOpen(t, tilelog.Config{Dir: empty})
	vkey := l.VerifierKey()
	mustClose(t, l)
	for name, rest := range map[string][]string{
		"directory alone":         {},
		"lock alone":              {"lock"},
		"half a key":              {"lock", "key.new"},
		"key alone":               {"lock", "key"},
		"log directory":           {"lock", "key", "log/.state/"},
		"version":                 {"lock", "key", "log/.state/version"},
		"state":                   {"lock", "key", "log/.state/version", "log/.state/treeState"},
		"state and its temporary": {"lock", "key", "log/.state/version", "log/.state/treeState17"},
		"checkpoint":              {"lock", "key", "log/.state/version", "log/.state/treeState", "log/checkpoint"},
		"half a mark":             {"lock", "key", "log/.state/version", "log/.state/treeState", "log/checkpoint", "begun.new"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "log")
			mkdir(t, dir)
			for _, file := range rest {
				path := filepath.Join(dir, file)
				mkdir(t, filepath.Dir(path))
				switch b, err := os.ReadFile(filepath.Join(empty, file)); {
				case err == nil:
					write(t, path, string(b))
				case errors.Is(err, fs.ErrNotExist):
					write(t, path, "half a ")
				default: // a directory
					mkdir(t, path)
				}
			}
			l := mustOpen(t, tilelog.Config{Dir: dir})
			defer mustClose(t, l)
			if kept := len(rest) > 1 && rest[1] == "key"; (l.VerifierKey() == vkey) != kept {
				t.Errorf("verifier key %s, the old one was %s", l.VerifierKey(), vkey)
			}
			if s := fill(t, l, 0, 1)[0]; s.Index != 0 {
				t.Errorf("the first record has index %d", s.Index)
			}
		})
	}
}

func mkdir(t testing.TB, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
}
