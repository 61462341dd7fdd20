package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// trustedRoot trusts nobody.
const trustedRoot = `{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`

// Nothing answers for Rekor: what verify and audit say then.
func TestRekorUnreached(t *testing.T) {
	verifySample(t)
	root := filepath.Join(t.TempDir(), "trusted_root.json")
	write(t, root, trustedRoot)
	t.Setenv("REKOR_TIMEOUT", "1s")
	flags := []string{"--rekor", "http://127.0.0.1:1", "--trusted-root", root, "--identity", "a@example.com"}
	with := func(args ...string) []string { return append(args, flags...) }

	r := command(t, with("verify", "-o", "json", "same:1", "same@"+digest(t, "a"))...)
	v := verdictsOf(t, r)
	if r.status != 3 || r.stderr != "" || len(v) != 2 || v[0].Verdict != unknown || v[0].Recorded != "" || v[0].Current != digest(t, "a") ||
		!strings.Contains(v[0].Reason, "127.0.0.1:1: connect: connection refused") || v[1].Verdict != pinned {
		t.Errorf("%+v", r)
	}
	checkUnreached(t, command(t, with("audit")...))
	// One reference that cannot be told is no reason not to tell the others.
	got := command(t, with("verify", "--anyone", "same:1", "Upper:1", "same@"+digest(t, "a"), "no\x1bimage")...)
	lines := strings.Split(got.out, "\n")
	if got.status != 3 || got.stderr != "" || len(lines) != 5 || lines[0] != "REFERENCE  RECORDED  FIRST SEEN  LOG INDEX  IDENTITY  ISSUER" ||
		!strings.HasPrefix(lines[1], hub+"same:1: cannot tell: search Rekor's index: ") || !strings.HasSuffix(lines[1], "127.0.0.1:1: connect: connection refused") ||
		lines[2] != `Upper:1: cannot tell: invalid repository name: "Upper"` || lines[3] != `"no\x1bimage": cannot tell: invalid repository name: "no\x1bimage"` {
		t.Errorf("%+v", got)
	}
	// A pinned reference needs no log, and its list is empty, not null.
	command(t, with("verify", "--anyone", "-o", "json", "same@"+digest(t, "a"))...).is(t, 0, "[]\n", "")
	command(t, with("verify", "--anyone", "-o", "json", "Upper:1")...).is(t, 3,
		indented(t, `[{"reference":"Upper:1","agree":false,"records":[],"reason":"invalid repository name: \"Upper\""}]`), "")
	command(t, with("verify", "--anyone", "--key", signerVkey, "same:1")...).fails(t, 3, "--key is of a tile log: set --tlog or TLOG=local")
	command(t, with("audit", "--key", signerVkey)...).fails(t, 3, "--key is of a tile log: set --tlog or TLOG=local")
}

// Everybody's records are Rekor's: it is asked unless another log is named.
func TestAnyoneNeedsRekor(t *testing.T) {
	pinned := "same@" + digest(t, "a") // so that nobody is asked
	command(t, "verify", "--anyone", "-o", "json", pinned).is(t, 0, "[]\n", "")
	const want = "--anyone asks Rekor: set --rekor or REKOR_URL"
	command(t, "verify", "--anyone", "--tlog", "http://127.0.0.1:1", "--key", signerVkey, pinned).fails(t, 3, want)
	t.Run("TLOG_DIR", func(t *testing.T) {
		t.Setenv("TLOG_DIR", newLog(t, signerKey))
		command(t, "verify", "--anyone", pinned).fails(t, 3, want)
	})
	t.Run("TLOG", func(t *testing.T) {
		t.Setenv("TLOG", "local")
		command(t, "verify", "--anyone", pinned).fails(t, 3, want)
	})
}

func TestNoIdentity(t *testing.T) {
	root := filepath.Join(t.TempDir(), "trusted_root.json")
	write(t, root, trustedRoot)
	t.Setenv("GCE_METADATA_HOST", "127.0.0.1:1")
	r := command(t, "audit", "--rekor", "http://127.0.0.1:1", "--trusted-root", root)
	if r.status != 3 || strings.Count(r.stderr, "\n") != 1 || !strings.HasPrefix(r.stderr, "tlogistry: ") || !strings.Contains(r.stderr, "no --identity, and none of a metadata server: ") {
		t.Errorf("%+v", r)
	}
}

func TestTrustedRootMissing(t *testing.T) {
	command(t, "audit", "--trusted-root", "/nowhere/root.json").fails(t, 3, `TRUSTED_ROOT="/nowhere/root.json": want the path of a file that can be read`)
}
