package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// report is a clean audit's report of n records, each of a tag of its own.
func (w *rekorWorld) report(n int) auditReport {
	return auditReport{
		Log: w.rekor.URL, Identity: sigstore.DefaultEmail, Issuer: w.IssuerURL,
		Entries: n, Records: n, Tags: n, Conflicts: []auditConflict{}, Broken: []string{}, Clean: true,
	}
}

// TestAudit audits what an identity has in Rekor, as it grows worse.
func TestAudit(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	want := w.report(0)
	w.audit(t).mustPrint(t, 0, want)
	svc := w.direct(t)
	first := make(map[string]logged)
	for i := range 12 { // more than Rekor answers at once
		tag := fmt.Sprint("v", i)
		w.tag(t, tag, w.one)
		first[tag] = pulled(t, svc, tag, w.one)
	}
	want = w.report(12)
	w.audit(t).mustPrint(t, 0, want)
	direct := want
	direct.Log = w.RekorURL
	cli(t, w.env(), "audit", "--output", "json").mustPrint(t, 0, direct)
	cli(t, nil, w.flags("audit")...).mustEnd(t, 0, fmt.Sprintf(`log                             %s
identity                        %s
issuer                          %s
entries                         12
records                         12
tags                            12
tags with more than one digest  0
broken records                  0
entries without a statement     0
entries ignored                 0
`, w.rekor.URL, sigstore.DefaultEmail, w.IssuerURL))
	other := w.report(0)
	other.Identity = "other@example.com"
	cli(t, nil, append(w.flags("audit", "-o", "json"), "--identity", other.Identity)...).mustPrint(t, 0, other)

	// What others write in our name, and what else we sign, are no records.
	us := w.author(t, sigstore.DefaultEmail)
	ignored := func(proposal []byte, why string) {
		t.Helper()
		at := w.writes(t, sigstore.DefaultEmail, proposal)
		want.Entries++
		want.Ignored = append(want.Ignored, "entry "+at.uuid+": "+why)
	}
	leaf := sigstore.Leaf{Email: sigstore.DefaultEmail, Issuer: w.IssuerURL}
	conflicting := w.statement(t, "v0", w.two)
	ignored(proposal(t, forger(t, w.OtherCA(), leaf), conflicting), "its certificate is not trusted")
	leaf.Issuer = "https://accounts.example.com"
	ignored(proposal(t, forger(t, w.CA(), leaf), conflicting), "it is signed by")
	ignored(hashedrekord(t, us, []byte("a file")), "it is no DSSE envelope")
	ignored(proposal(t, us, []byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"a","digest":{"sha256":"00"}}],"predicateType":"https://slsa.dev/provenance/v1"}`)), "not a valid record")
	ignored(proposal(t, us, w.recordBy(t, "mallory@example.com", "v0", w.two)), "its statement is made by mallory@example.com")
	w.mustReport(t, 0, want)

	// A second record of the same digest is none of another.
	w.writes(t, sigstore.DefaultEmail, proposal(t, us, w.statement(t, "v1", w.one)))
	want.Entries, want.Records = want.Entries+1, want.Records+1
	w.mustReport(t, 0, want)

	// Records that contradict each other, and one that is broken.
	second := w.writes(t, sigstore.DefaultEmail, proposal(t, us, conflicting))
	third := w.writes(t, sigstore.DefaultEmail, proposal(t, us, w.statement(t, "v0", w.one)))
	want.Entries, want.Records, want.Clean = want.Entries+2, want.Records+2, false
	want.Conflicts = []auditConflict{{refOf("v0"), []auditRow{first["v0"].row(w.one), second.row(w.two), third.row(w.one)}}}
	w.mustReport(t, 1, want)
	broken := w.writes(t, sigstore.DefaultEmail, proposal(t, us, append(w.statement(t, "v2", w.one), '\n')))
	want.Entries++
	want.Broken = []string{"broken record: entry " + broken.uuid + ": not a valid record"}
	w.mustReport(t, 1, want)
	text := cli(t, nil, w.flags("audit")...)
	for _, line := range []string{
		"conflict  " + refOf("v0") + "  " + w.one, "conflict  " + refOf("v0") + "  " + w.two, "broken records                  1\n", "broken    broken record: entry " + broken.uuid,
	} {
		if text.status != 1 || !strings.Contains(text.out, line) {
			t.Errorf("status %d, want 1 and %q in\n%s", text.status, line, text.out)
		}
	}

	// A statement that is not the logged one accuses nobody, and hides nothing.
	w.rekor.Hook(rewriting(retrievePath, http.StatusOK, func(body []byte) []byte {
		return editEntries(t, body, func(e object) { e["attestation"] = object{"data": append(w.statement(t, "v3", w.two), '\n')} })
	}))
	w.mustLackStatements(t, want)
	w.rekor.Hook(nil)
	if err := w.ForgetAttestations(); err != nil {
		t.Fatal(err)
	}
	w.mustLackStatements(t, want)
}

// TestAuditByAnotherRoot audits with a trusted root that has the log and not the
// authority of the identity's certificates. Then nothing is believed, and that
// is no clean audit.
func TestAuditByAnotherRoot(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	svc := w.direct(t)
	w.tag(t, "v1", w.one)
	at := pulled(t, svc, "v1", w.one)
	var trusted map[string]any
	must(t, json.Unmarshal(w.TrustedRoot(), &trusted))
	trusted["certificateAuthorities"] = []any{}
	path := filepath.Join(t.TempDir(), "trusted_root.json")
	must(t, os.WriteFile(path, marshal(t, trusted), 0o600))
	got := cli(t, nil, append(w.flags("audit"), "--trusted-root", path)...)
	want := "warning  none of the 1 entries that name the identity is believed: is the trusted root this log's? The first: "
	if got.status != 3 || got.stderr != "" || !strings.Contains(got.out, "\nrecords                         0\n") || !strings.Contains(got.out, want) || !strings.Contains(got.out, at.uuid) {
		t.Errorf("%+v\nwant status 3 and %s", got, want)
	}
	w.audit(t).mustPrint(t, 0, w.report(1))
}

// mustReport audits and compares.
func (w *rekorWorld) mustReport(t *testing.T, status int, want auditReport) {
	t.Helper()
	got := w.audit(t)
	var r auditReport
	if err := json.Unmarshal([]byte(got.out), &r); err != nil {
		t.Fatalf("%v in %q, %q", err, got.out, got.stderr)
	}
	r.Ignored, r.Broken = explained(r.Ignored, want.Ignored), explained(r.Broken, want.Broken)
	if got.status != status || got.stderr != "" || !reflect.DeepEqual(r, want) {
		t.Errorf("status %d, stderr %q\ngot  %s\nwant status %d\n     %s", got.status, got.stderr, marshal(t, r), status, marshal(t, want))
	}
}

// explained returns want if got says the same in any order: each text names
// the entry as one of want does, and has that one's last words in it.
func explained(got, want []string) []string {
	if len(got) != len(want) {
		return got
	}
	for _, text := range want {
		entry, why := text[:strings.LastIndex(text, ": ")], text[strings.LastIndex(text, ": "):]
		if !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, entry) && strings.Contains(s, why[2:]) }) {
			return got
		}
	}
	return want
}

// mustLackStatements audits a log that has the entries and not their statements.
func (w *rekorWorld) mustLackStatements(t *testing.T, whole auditReport) {
	t.Helper()
	got := w.audit(t)
	var r auditReport
	if err := json.Unmarshal([]byte(got.out), &r); err != nil {
		t.Fatalf("%v in %q, %q", err, got.out, got.stderr)
	}
	const untrusted, other = 2, 1 // certificates of others, and the entry that is no envelope
	if got.status != 3 || r.Clean {
		t.Errorf("status %d, clean %v: what is not known may contradict", got.status, r.Clean)
	}
	if unnamed := whole.Entries - untrusted - other; r.Entries != whole.Entries || r.Records != 0 || len(r.Unnamed) != unnamed || len(r.Broken) != 0 || len(r.Conflicts) != 0 {
		t.Errorf("%s\nwant %d entries, %d without a statement", got.out, whole.Entries, unnamed)
	}
}
