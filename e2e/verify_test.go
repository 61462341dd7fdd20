package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/registry"
	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// A recordedWorld has had tags recorded by an instance that runs no more.
type recordedWorld struct {
	*rekorWorld
	want map[string]verdict // by tag
}

// newRecordedWorld records the tags same, kept, moved, pinned and gone. Tag new
// is there and not recorded.
func newRecordedWorld(t *testing.T) *recordedWorld {
	w := &recordedWorld{newRekorWorld(t, sigstore.Options{}), make(map[string]verdict)}
	svc := w.direct(t)
	at := make(map[string]logged)
	for _, tag := range []string{"same", "kept", "moved", "gone"} {
		w.tag(t, tag, w.one)
		at[tag] = pulled(t, svc, tag, w.one)
	}
	svc.stop(t)
	w.settled(t)
	w.tag(t, "new", w.one)
	w.tag(t, "moved", w.two)
	if err := w.registry.Remove("library/app", "gone"); err != nil {
		t.Fatal(err)
	}
	w.want["same"] = at["same"].verdict("same", "same", w.one, w.one)
	w.want["kept"] = at["kept"].verdict("kept", "same", w.one, w.one)
	w.want["moved"] = at["moved"].verdict("moved", "moved", w.one, w.two)
	w.want["gone"] = at["gone"].verdict("gone", "cannot tell", w.one, "")
	gone := w.want["gone"]
	gone.Reason = "index.docker.io/library/app:gone is not known to registry index.docker.io"
	w.want["gone"] = gone
	w.want["new"] = verdict{Reference: refOf("new"), Verdict: "never recorded", Current: w.one}
	w.want["absent"] = verdict{Reference: refOf("absent"), Verdict: "never recorded"}
	w.want["@"+w.two] = verdict{Reference: "index.docker.io/library/app@" + w.two, Verdict: "pinned", Current: w.two}
	w.want["not/ok/"] = verdict{Reference: "app:not/ok/", Verdict: "cannot tell", Reason: `invalid repository name: "app:not"`}
	return w
}

// wants returns the verdicts on references of the repository.
func (w *recordedWorld) wants(refs ...string) []verdict {
	var all []verdict
	for _, ref := range refs {
		all = append(all, w.want[strings.TrimPrefix(strings.TrimPrefix(ref, "app:"), "app")])
	}
	return all
}

// TestVerify asks for every verdict and the exit status of every mix, by flags
// and by the environment that serve has.
func TestVerify(t *testing.T) {
	w := newRecordedWorld(t)
	pinned := "app@" + w.two
	for _, test := range []struct {
		refs   []string
		status int
	}{
		{[]string{"app:same"}, 0},
		{[]string{"app:same", "app:kept", pinned}, 0},
		{[]string{pinned}, 0},
		{[]string{"app:moved"}, 1},
		{[]string{"app:new"}, 2},
		{[]string{"app:absent"}, 2},
		{[]string{"app:gone"}, 3},
		{[]string{"app:not/ok/"}, 3},
		{[]string{"app:not/ok/", "app:same"}, 3},
		{[]string{"app:gone", "app:new", "app:same"}, 2},
		{[]string{"app:same", "app:moved"}, 1},
		{[]string{"app:gone", "app:new", "app:moved", "app:same", pinned}, 1},
	} {
		t.Run(strings.Join(test.refs, " "), func(t *testing.T) {
			want := w.wants(test.refs...)
			w.verify(t, test.refs...).mustPrint(t, test.status, want)
			cli(t, w.env(), append([]string{"verify", "--output=json"}, test.refs...)...).mustPrint(t, test.status, want)
		})
	}
	same, moved := w.want["same"], w.want["moved"]
	w.verify(t, "app:same", "docker.io/library/app:same").mustEnd(t, 0, fmt.Sprintf(`[
  {
    "reference": "index.docker.io/library/app:same",
    "verdict": "same",
    "recorded": "%s",
    "firstSeen": "%s",
    "logIndex": %d,
    "uuid": "%s",
    "current": "%s"
  }
]
`, w.one, same.FirstSeen, *same.LogIndex, same.UUID, w.one))
	got := cli(t, w.env(), "verify", "app:moved", "app:new")
	got.mustEnd(t, 1, fmt.Sprintf(""+
		"REFERENCE                          VERDICT         RECORDED%[1]s  FIRST SEEN            LOG INDEX  CURRENT\n"+
		"index.docker.io/library/app:moved  moved           %[2]s  %[3]s  %-9[4]d  %[5]s\n"+
		"index.docker.io/library/app:new    never recorded  -%[6]s  -                     -          %[2]s\n",
		strings.Repeat(" ", len(w.one)-len("RECORDED")), w.one, moved.FirstSeen, *moved.LogIndex, w.two, strings.Repeat(" ", len(w.one)-1)))
}

// TestVerifyFiles reads references from files and from standard input.
func TestVerifyFiles(t *testing.T) {
	w := newRecordedWorld(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	docker := write("Dockerfile", "ARG V=same\nFROM app:${V} AS build\nFROM scratch\nCOPY --from=build /a /a\nCOPY --from=docker.io/library/app:kept /b /b\n")
	moved := write("Dockerfile.moved", "ARG V\nFROM app:moved\nFROM app@"+w.two+"\n")
	pod := write("pod.yaml", "apiVersion: v1\nkind: Pod\nspec:\n  initContainers: [{image: 'app:kept'}]\n  containers:\n  - image: app:new\n  - image: docker.io/app:kept\n")
	w.verify(t, "-f", docker).mustPrint(t, 0, w.wants("app:same", "app:kept"))
	w.verify(t, "-f", moved, "-f", docker, "app:kept").mustPrint(t, 1, w.wants("app:kept", "app:moved", "app@"+w.two, "app:same"))
	w.verify(t, "--file", pod).mustPrint(t, 2, w.wants("app:kept", "app:new"))
	cliReading(t, "app:same\n\napp:new\n", w.env(), "verify", "-o", "json").mustPrint(t, 2, w.wants("app:same", "app:new"))
	cliReading(t, "FROM app:moved\n", w.env(), "verify", "-o", "json", "-f", "-", "app:same").mustPrint(t, 1, w.wants("app:same", "app:moved"))
	w.verify(t, "-f", filepath.Join(dir, "none"), "app:moved").mustFail(t, 3, "none: no such file or directory")
	cliReading(t, "", w.env(), "verify").mustFail(t, 3, "no references")
}

// TestVerifyWhose asks for other identities, whose records these are not.
func TestVerifyWhose(t *testing.T) {
	w := newRecordedWorld(t)
	none := []verdict{{Reference: refOf("same"), Verdict: "never recorded", Current: w.one}}
	for _, flag := range [][]string{
		{"--identity", "tlogistry@other.iam.gserviceaccount.com"},
		{"--identity", "Tlogistry@project.iam.gserviceaccount.com"},
		{"--issuer", "https://accounts.google.com"},
		{"--issuer", w.IssuerURL + "/"},
	} {
		w.verify(t, append(flag, "app:same")...).mustPrint(t, 0, w.wants("app:same")) // the later flag wins
		args := append(w.flags("verify", "-o", "json", "app:same"), flag...)
		cli(t, w.upstreams(), args...).mustPrint(t, 2, none)
	}
	other, err := w.OtherMetadata("other@project.iam.gserviceaccount.com")
	if err != nil {
		t.Fatal(err)
	}
	cli(t, w.env("GCE_METADATA_HOST="+other), "verify", "-o", "json", "app:same").mustPrint(t, 2, none)
	cli(t, w.env("GCE_METADATA_HOST="+other), "verify", "-o", "json", "--identity", sigstore.DefaultEmail, "app:same").mustPrint(t, 0, w.wants("app:same"))
	cli(t, w.env("IDENTITY="+sigstore.DefaultEmail, "GCE_METADATA_HOST=127.0.0.1:1"), "verify", "-o", "json", "app:same").mustPrint(t, 0, w.wants("app:same"))
}

// TestVerifyFailures puts failures between the command and the log: nothing is
// told then, and nothing that was answered is shown.
func TestVerifyFailures(t *testing.T) {
	w := newRecordedWorld(t)
	_, other := w.anotherEntry(t)
	cases := tampered(other)
	env := append(w.upstreams(), "REKOR_TIMEOUT=1s")
	untold := func(t *testing.T, reason string) {
		t.Helper()
		for tag, current := range map[string]string{"same": w.one, "moved": w.two} {
			want := []verdict{{Reference: refOf(tag), Verdict: "cannot tell", Current: current, Reason: reason}}
			cli(t, env, w.flags("verify", "-o", "json", "app:"+tag)...).mustPrint(t, 3, want)
		}
	}
	for _, name := range []string{
		"set-flipped", "set-missing", "time-of-old", "index-lower", "log-flipped", "body-flipped", "body-of-another", "proof-of-another",
		"hash-flipped", "hashes-none", "root-flipped", "size-one-less", "position-one-more", "checkpoint-root", "checkpoint-signature",
	} {
		t.Run(name, func(t *testing.T) {
			w.rekor.Hook(rewriting(retrievePath, http.StatusOK, func(body []byte) []byte { return editEntries(t, body, cases[name]) }))
			untold(t, "the log's answer cannot be verified: entry ")
		})
	}
	for name, change := range misanswered("00", nil) {
		if name == "none" || name == "id-leaf-flipped" || name == "one-more" {
			t.Run(name, func(t *testing.T) {
				w.rekor.Hook(rewriting(retrievePath, http.StatusOK, func(body []byte) []byte { return editAnswer(t, body, change) }))
				untold(t, "the log's answer cannot be verified: 1 entries were asked for")
			})
		}
	}
	t.Run("index-null", func(t *testing.T) {
		w.rekor.Hook(rewriting(searchPath, http.StatusOK, func([]byte) []byte { return []byte("null") }))
		untold(t, "the log's answer cannot be verified: the index answered no list")
	})
	t.Run("welcome", func(t *testing.T) { w.rekor.Hook(welcome); untold(t, "search Rekor's index: ") })
	w.rekor.Hook(nil)
	for name, fail := range map[string]func(){
		"down": w.rekor.Down,
		"slow": func() { w.rekor.Slow(time.Minute) },
		"500":  func() { w.rekor.Fail(http.StatusInternalServerError) },
		"404":  func() { w.rekor.Fail(http.StatusNotFound) },
	} {
		t.Run(name, func(t *testing.T) { fail(); untold(t, "search Rekor's index: ") })
	}
	w.rekor.Pass()
	w.verify(t, "app:same").mustPrint(t, 0, w.wants("app:same"))

	hub := proxied(t, w.registry.URL())
	hub.Down()
	same := w.want["same"]
	same.Verdict, same.Current, same.Reason = "cannot tell", "", "index.docker.io"
	unseen := verdict{Reference: refOf("new"), Verdict: "never recorded"}
	args := w.flags("verify", "-o", "json", "app:same")
	cli(t, []string{"UPSTREAMS=docker.io=" + hub.URL}, args...).mustPrint(t, 3, []verdict{same})
	cli(t, []string{"UPSTREAMS=docker.io=" + hub.URL}, append(args, "app:new")...).mustPrint(t, 2, []verdict{same, unseen})
}

// TestVerifyForgotten asks for records whose statements the log has lost.
func TestVerifyForgotten(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	w.tag(t, "lost", w.one)
	svc := w.direct(t)
	at := pulled(t, svc, "lost", w.one)
	w.forget(t, at)
	w.verify(t, "app:lost").mustPrint(t, 0, []verdict{at.verdict("lost", "same", w.one, w.one)})
	w.tag(t, "lost", w.two)
	w.verify(t, "app:lost").mustPrint(t, 1, []verdict{at.verdict("lost", "moved", "", w.two)})
	cli(t, w.env(), "verify", "app:lost").mustEnd(t, 1, fmt.Sprintf(""+
		"REFERENCE                         VERDICT  RECORDED  FIRST SEEN            LOG INDEX  CURRENT\n"+
		"index.docker.io/library/app:lost  moved    -         %s  %-9d  %s\n", at.time, at.index, w.two))
	// A statement that is handed out and is not the logged one is as good as none.
	w.rekor.Hook(rewriting(retrievePath, http.StatusOK, func(body []byte) []byte {
		return editEntries(t, body, func(e object) { e["attestation"] = object{"data": w.statement(t, "lost", w.two)} })
	}))
	w.verify(t, "app:lost").mustPrint(t, 1, []verdict{at.verdict("lost", "moved", "", w.two)})
}

// TestVerifyForeign has entries of every kind under the tags' own subjects that
// are no records of them.
func TestVerifyForeign(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	cases := w.forged(t)
	maps.Copy(cases, w.misstated(t))
	tags := slices.Sorted(maps.Keys(cases))
	var refs []string
	var want []verdict
	for _, tag := range tags {
		w.tag(t, tag, w.two) // which the foreign entries are about
		fetchEntry(t, w.Sigstore, w.logged(t, tag, cases[tag](tag)))
		refs = append(refs, "app:"+tag)
		want = append(want, verdict{Reference: refOf(tag), Verdict: "never recorded", Current: w.two})
	}
	w.verify(t, refs...).mustPrint(t, 2, want)
	svc := w.direct(t)
	for i, tag := range tags {
		w.tag(t, tag, w.one)
		want[i] = pulled(t, svc, tag, w.one).verdict(tag, "same", w.one, w.one)
	}
	w.verify(t, refs...).mustPrint(t, 0, want)
	for i, tag := range tags {
		w.tag(t, tag, w.two)
		want[i].Verdict, want[i].Current = "moved", w.two
	}
	w.verify(t, refs...).mustPrint(t, 1, want)
}

// TestVerifyMany measures how long twenty references take.
func TestVerifyMany(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	svc := w.direct(t)
	var refs []string
	var want []verdict
	for i := range 20 {
		tag := fmt.Sprint("v", i)
		digest := push(t, w.registry, "library/app", tag, registry.Variant{Name: tag, Single: true})
		want = append(want, pulled(t, svc, tag, digest).verdict(tag, "same", digest, digest))
		refs = append(refs, "app:"+tag)
	}
	start := time.Now()
	got := w.verify(t, refs...)
	t.Logf("verify of %d references: %v", len(refs), time.Since(start).Round(time.Millisecond))
	got.mustPrint(t, 0, want)
}
