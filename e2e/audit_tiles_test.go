package e2e

import (
	"bytes"
	"crypto/rand"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/tlogistry/tlogistry/e2e/registry"
	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// A tileWorld is a service with an embedded log of three records, and a proxy
// in front of it.
type tileWorld struct {
	registry *registry.Registry
	svc      *service
	dir, key string
	proxy    *sigstore.Proxy
	one, two string // digests
	want     []verdict
}

func newTileWorld(t *testing.T) *tileWorld {
	w := &tileWorld{registry: startRegistry(t, registry.Options{}), dir: filepath.Join(t.TempDir(), "tlogistry")}
	w.one = push(t, w.registry, "library/app", "one", registry.Variant{Name: "one", Single: true})
	w.two = push(t, w.registry, "library/app", "two", registry.Variant{Name: "two", Single: true})
	w.svc = w.serve(t, w.dir)
	w.proxy = proxied(t, w.svc.url)
	w.key = strings.TrimSpace(w.svc.do(t, http.MethodGet, "/tlog/key").body)
	for _, tag := range []string{"v0", "v1", "v2"} {
		w.want = append(w.want, w.pulled(t, w.svc, tag, w.one).verdict(tag, "same", w.one, w.one))
	}
	return w
}

// serve starts a service with the log in dir.
func (w *tileWorld) serve(t testing.TB, dir string) *service {
	t.Helper()
	return start(t, "TLOG_DIR="+dir, "UPSTREAMS="+w.registry.Upstreams())
}

// pulled pulls a tag for the first time.
func (w *tileWorld) pulled(t testing.TB, s *service, tag, digest string) logged {
	t.Helper()
	move(t, w.registry, "library/app", tag, digest)
	return pulled(t, s, tag, digest)
}

// cli runs a command on the log behind the proxy, by flags alone.
func (w *tileWorld) cli(t testing.TB, args ...string) ending {
	t.Helper()
	return cli(t, []string{"UPSTREAMS=" + w.registry.Upstreams()}, append(args, "--tlog", w.proxy.URL+"/tlog/", "--key", w.key)...)
}

// report is a clean audit's report of n records, each of a tag of its own.
func (w *tileWorld) report(n int) auditReport {
	origin, _, _ := strings.Cut(w.key, "+")
	return auditReport{Log: origin, Size: n, Entries: n, Records: n, Tags: n, Conflicts: []auditConflict{}, Broken: []string{}, Clean: true}
}

// TestTiles verifies and audits the embedded log from afar, and in its
// directory while the service runs.
func TestTiles(t *testing.T) {
	w := newTileWorld(t)
	refs := []string{"verify", "-o", "json", "app:v0", "app:v1", "app:v2"}
	w.cli(t, refs...).mustPrint(t, 0, w.want)
	local := []string{"TLOG_DIR=" + w.dir, "UPSTREAMS=" + w.registry.Upstreams()}
	cli(t, local, refs...).mustPrint(t, 0, w.want)
	move(t, w.registry, "library/app", "v1", w.two)
	w.want[1].Verdict, w.want[1].Current = "moved", w.two
	w.cli(t, refs...).mustPrint(t, 1, w.want)
	w.cli(t, "verify", "-o", "json", "app:one").mustPrint(t, 2, []verdict{{Reference: refOf("one"), Verdict: "never recorded", Current: w.one}})
	w.cli(t, "verify", "--anyone", "app:v0").mustFail(t, 3, "--anyone asks Rekor")
	w.cli(t, "audit", "-o", "json").mustPrint(t, 0, w.report(3))
	cli(t, local, "audit", "-o", "json").mustPrint(t, 0, w.report(3))
}

// TestTilesTampered changes what the log serves on the way. An audit says that
// the log contradicts itself, or that it could not be read; nothing is told of
// a tag by either.
func TestTilesTampered(t *testing.T) {
	w := newTileWorld(t)
	const (
		checkpoint = "/tlog/checkpoint"
		hashes     = "/tlog/tile/0/000.p/3"
		entries    = "/tlog/tile/entries/000.p/3"
	)
	bytesOf := func(path string, change func([]byte) []byte) sigstore.Hook { return changing(path, change) }
	replaced := func(path, old, new string) sigstore.Hook {
		return changing(path, func(b []byte) []byte {
			if !bytes.Contains(b, []byte(old)) {
				t.Errorf("no %q in %q", old, b)
			}
			return bytes.Replace(b, []byte(old), []byte(new), 1)
		})
	}
	gone := func(path string) sigstore.Hook { return on(path, failing(http.StatusNotFound)) }
	_, stranger, err := note.GenerateKey(rand.Reader, strings.Split(w.key, "+")[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		hook   sigstore.Hook
		key    string
		status int // of the audit
		text   string
	}{
		{"entry-digest", replaced(entries, w.one, w.two), "", 1, "damaged log: tile/0/000.p/3: hash 0 is not that of entry 0 of tile/entries/000.p/3"},
		{"entry-reference", replaced(entries, "app:v1", "app:v9"), "", 1, "damaged log: tile/0/000.p/3: hash 1 "},
		{"entry-flipped", bytesOf(entries, flipByte), "", 1, "damaged log: "},
		{"entries-shorter", bytesOf(entries, func(b []byte) []byte { return b[:len(b)-1] }), "", 1, "damaged log: tile/entries/000.p/3: "},
		{"entries-longer", bytesOf(entries, func(b []byte) []byte { return append(b, 0, 1, 'x') }), "", 1, "damaged log: tile/entries/000.p/3: "},
		{"entries-empty", bytesOf(entries, func([]byte) []byte { return nil }), "", 1, "damaged log: tile/entries/000.p/3: "},
		{"entries-gone", gone(entries), "", 1, "damaged log: tile/entries/000.p/3: missing"},
		{"entries-500", on(entries, failing(500)), "", 3, "read tile/entries/000.p/3: "},
		{"entries-cut-off", on(entries, unreachable), "", 3, "read tile/entries/000.p/3: "},
		{"hash-flipped", bytesOf(hashes, flipByte), "", 1, "damaged log: tile/0/000.p/3: hash 1 "},
		{"hashes-shorter", bytesOf(hashes, func(b []byte) []byte { return b[32:] }), "", 1, "damaged log: tile/0/000.p/3: 64 bytes, want 96"},
		{"hashes-gone", gone(hashes), "", 1, "damaged log: tile/0/000.p/3: missing"},
		{"checkpoint-size", replaced(checkpoint, "\n3\n", "\n2\n"), "", 1, "damaged log: not a checkpoint of "},
		{"checkpoint-origin", replaced(checkpoint, "tlogistry.local/", "tlogistry.other/"), "", 1, "damaged log: not a checkpoint of "},
		{"checkpoint-signature", bytesOf(checkpoint, func(b []byte) []byte { return []byte(flipSignature(string(b))) }), "", 1, "damaged log: not a checkpoint of "},
		{"checkpoint-empty", bytesOf(checkpoint, func([]byte) []byte { return nil }), "", 3, "tlogistry: not a checkpoint of "},
		{"checkpoint-welcome", on(checkpoint, welcome), "", 3, "tlogistry: not a checkpoint of "},
		{"checkpoint-gone", gone(checkpoint), "", 3, "read the checkpoint: "},
		{"checkpoint-500", on(checkpoint, failing(500)), "", 3, "read the checkpoint: "},
		{"unreachable", unreachable, "", 3, "read the checkpoint: "},
		{"wrong-key", nil, stranger, 3, "tlogistry: not a checkpoint of "},
	} {
		t.Run(test.name, func(t *testing.T) {
			w.proxy.Hook(test.hook)
			var flags []string
			if test.key != "" {
				flags = []string{"--key", test.key}
			}
			run := func(args ...string) ending {
				return cli(t, nil, append(append(args, "--tlog", w.proxy.URL+"/tlog/", "--key", w.key), flags...)...)
			}
			state := filepath.Join(t.TempDir(), "state")
			run("audit", "--state", state).mustFail(t, test.status, test.text)
			if _, err := os.Stat(state); err == nil {
				t.Error("a checkpoint was kept")
			}
			run("verify", "app:v0").mustFail(t, 3, test.text)
		})
	}
	w.proxy.Hook(nil)
	w.cli(t, "audit", "-o", "json").mustPrint(t, 0, w.report(3))
	w.proxy.Down()
	w.cli(t, "audit").mustFail(t, 3, "read the checkpoint: ")
	w.cli(t, "verify", "app:v0").mustFail(t, 3, "read the checkpoint: ")
}

// TestTilesForked has one key sign two histories. An audit that goes on from
// the one finds out about the other, whether that is shorter, as long or longer.
func TestTilesForked(t *testing.T) {
	w := newTileWorld(t)
	state := filepath.Join(t.TempDir(), "state")
	w.cli(t, "audit", "-o", "json", "--state", state).mustPrint(t, 0, w.report(3))
	kept := readFile(t, state)
	if !bytes.Equal(kept, readFile(t, filepath.Join(w.dir, "log", "checkpoint"))) {
		t.Errorf("the state is %q", kept)
	}

	dir := filepath.Join(t.TempDir(), "tlogistry")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "key"), readFile(t, filepath.Join(w.dir, "key")), 0o600); err != nil {
		t.Fatal(err)
	}
	fork := w.serve(t, dir)
	flags := []string{"-o", "json", "--tlog", fork.url + "/tlog/", "--key", w.key}
	audit := func(more ...string) ending {
		return cli(t, nil, append(append([]string{"audit"}, more...), flags...)...)
	}
	const forked = "forked log: "
	for i, texts := range [][]string{
		{forked + "the checkpoint covers 1 entries, an earlier one 3"},
		{forked + "the checkpoint covers 2 entries, an earlier one 3"},
		{forked + "two checkpoints of 3 entries have the root hashes "},
		{forked + "the 3 entries of an earlier checkpoint are not the first of these 4: "},
	} {
		tag := []string{"w0", "v0", "v1", "v2"}[i]
		w.pulled(t, fork, tag, w.two)
		audit().mustPrint(t, 0, w.report(i+1)) // by itself it is in order
		audit("--state", state).mustFail(t, 1, texts...)
		if got := readFile(t, state); !bytes.Equal(got, kept) {
			t.Fatalf("the state was %q and is %q", kept, got)
		}
	}
	// The log itself goes on.
	w.pulled(t, w.svc, "v3", w.one)
	grown := []string{"audit", "-o", "json", "--state", state, "--tlog", w.dir, "--key", w.key}
	cli(t, nil, grown...).mustPrint(t, 0, w.report(4))
	cli(t, nil, grown...).mustPrint(t, 0, w.report(4))
	// And must not go back: an old checkpoint is as signed as a new one.
	w.proxy.Hook(changing("/tlog/checkpoint", func([]byte) []byte { return kept }))
	w.cli(t, "audit", "--state", state).mustFail(t, 1, forked+"the checkpoint covers 3 entries, an earlier one 4")
	// Nor is a checkpoint believed that another log has signed.
	private, _, err := note.GenerateKey(rand.Reader, w.report(0).Log)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := bytes.Cut(kept, []byte("\n\n"))
	forged, err := note.Sign(&note.Note{Text: string(text) + "\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(state, forged, 0o600); err != nil {
		t.Fatal(err)
	}
	w.proxy.Hook(nil)
	w.cli(t, "audit", "--state", state).mustFail(t, 3, "the checkpoint kept from before: not a checkpoint of ")
	if got := readFile(t, state); !bytes.Equal(got, forged) {
		t.Errorf("the state was %q and is %q", forged, got)
	}
}
