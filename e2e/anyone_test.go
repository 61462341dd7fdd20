package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// A crowd is what verify --anyone prints of a reference.
type crowd struct {
	Reference string    `json:"reference"`
	Agree     bool      `json:"agree"`
	Records   []witness `json:"records"`
	Reason    string    `json:"reason,omitempty"`
}

type witness struct {
	Identity  string `json:"identity"`
	Issuer    string `json:"issuer"`
	Recorded  string `json:"recorded,omitempty"`
	FirstSeen string `json:"firstSeen"`
	LogIndex  uint64 `json:"logIndex"`
	UUID      string `json:"uuid"`
}

const otherEmail = "another@project.iam.gserviceaccount.com"

// witness is a row for a record by an identity of this issuer's.
func (w *rekorWorld) witness(email, digest string, at logged) witness {
	return witness{email, w.IssuerURL, digest, at.time, at.index, at.uuid}
}

// anyone runs verify --anyone, in the name of nobody.
func (w *rekorWorld) anyone(t testing.TB, args ...string) ending {
	t.Helper()
	w.settled(t) // it searches by another key than the service does
	return cli(t, nil, append([]string{"verify", "--anyone", "--rekor", w.rekor.URL, "--trusted-root", w.TrustedRootPath}, args...)...)
}

// TestVerifyAnyone lists what two instances of different identities recorded.
func TestVerifyAnyone(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	host, err := w.OtherMetadata(otherEmail)
	if err != nil {
		t.Fatal(err)
	}
	us, them := w.direct(t), w.direct(t, "GCE_METADATA_HOST="+host)
	w.tag(t, "agreed", w.one)
	w.tag(t, "argued", w.one)
	w.tag(t, "single", w.one)
	agreed := []logged{pulled(t, us, "agreed", w.one), pulled(t, them, "agreed", w.one)}
	argued := []logged{pulled(t, us, "argued", w.one)}
	single := pulled(t, them, "single", w.one)
	w.tag(t, "argued", w.two)
	argued = append(argued, pulled(t, them, "argued", w.two))

	both := crowd{refOf("agreed"), true, []witness{w.witness(sigstore.DefaultEmail, w.one, agreed[0]), w.witness(otherEmail, w.one, agreed[1])}, ""}
	split := crowd{refOf("argued"), false, []witness{w.witness(sigstore.DefaultEmail, w.one, argued[0]), w.witness(otherEmail, w.two, argued[1])}, ""}
	alone := crowd{refOf("single"), true, []witness{w.witness(otherEmail, w.one, single)}, ""}
	nobody := crowd{refOf("nobody"), true, []witness{}, ""}
	none := crowd{"Upper:1", false, []witness{}, `invalid repository name: "Upper"`}
	for _, test := range []struct {
		refs   string
		status int
		want   []crowd
	}{
		{"app:agreed", 0, []crowd{both}},
		{"app:single app:agreed app@" + w.one, 0, []crowd{alone, both}},
		{"app:argued", 1, []crowd{split}},
		{"app:nobody", 2, []crowd{nobody}},
		{"app:nobody app:agreed app:argued", 1, []crowd{nobody, both, split}},
		{"app:agreed app:nobody", 2, []crowd{both, nobody}},
		// What cannot be told hides nothing of the rest.
		{"Upper:1 app:agreed app:argued", 1, []crowd{none, both, split}},
		{"Upper:1 app:nobody", 2, []crowd{none, nobody}},
		{"app:agreed Upper:1", 3, []crowd{both, none}},
	} {
		w.anyone(t, append(strings.Fields(test.refs), "-o", "json")...).mustPrint(t, test.status, test.want)
	}
	cli(t, w.env(), "verify", "--anyone", "-o", "json", "app:agreed").mustPrint(t, 0, []crowd{both})
	w.anyone(t, "app:argued", "app:nobody").mustEnd(t, 1, fmt.Sprintf(""+
		"REFERENCE                           RECORDED%[1]s  FIRST SEEN            LOG INDEX  IDENTITY                                   ISSUER\n"+
		"index.docker.io/library/app:argued  %[2]s  %[4]s  %-9[5]d  tlogistry@project.iam.gserviceaccount.com  %[8]s\n"+
		"index.docker.io/library/app:argued  %[3]s  %[6]s  %-9[7]d  another@project.iam.gserviceaccount.com    %[8]s\n"+
		"index.docker.io/library/app:argued: identities saw different digests\n"+
		"index.docker.io/library/app:nobody: nobody recorded it\n",
		strings.Repeat(" ", len(w.one)-len("RECORDED")), w.one, w.two, argued[0].time, argued[0].index, argued[1].time, argued[1].index, w.IssuerURL))

	// Statements that the log has lost are known again by their hashes, if they
	// say what another one says.
	w.forget(t, append(agreed, argued...)...)
	const third = "third@example.com"
	for i, c := range []*crowd{&both, &split} {
		tag := []string{"agreed", "argued"}[i]
		digest := []string{w.one, w.two}[i]
		at := w.writes(t, third, proposal(t, w.author(t, third), w.recordBy(t, third, tag, digest)))
		fetchEntry(t, w.Sigstore, at.uuid)
		c.Records = append(c.Records, w.witness(third, digest, at))
	}
	w.anyone(t, "-o", "json", "app:agreed").mustPrint(t, 0, []crowd{both})
	split.Records[0].Recorded = ""
	w.anyone(t, "-o", "json", "app:argued").mustPrint(t, 3, []crowd{split})
}

// TestVerifyAnyoneForged has entries that are nobody's records of the tag under
// the subject that everybody's records of it have.
func TestVerifyAnyoneForged(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	cases := w.forged(t)
	maps.Copy(cases, w.misstated(t))
	// Its certificate is genuine and its statement nowhere: it may be anything.
	delete(cases, "dsse-of-other")
	var refs []string
	var want []crowd
	for _, tag := range slices.Sorted(maps.Keys(cases)) {
		fetchEntry(t, w.Sigstore, w.logged(t, tag, cases[tag](tag)))
		refs = append(refs, "app:"+tag)
		want = append(want, crowd{refOf(tag), true, []witness{}, ""})
	}
	w.anyone(t, append(refs, "-o", "json")...).mustPrint(t, 2, want)

	svc := w.direct(t)
	for i, tag := range slices.Sorted(maps.Keys(cases)) {
		w.tag(t, tag, w.one)
		want[i].Records = []witness{w.witness(sigstore.DefaultEmail, w.one, pulled(t, svc, tag, w.one))}
	}
	w.anyone(t, append(refs, "-o", "json")...).mustPrint(t, 0, want)

	cannotTell := func(reason string) {
		t.Helper()
		got := w.anyone(t, refs[0])
		if tag := strings.TrimPrefix(refs[0], "app:"); got.status != 3 || got.stderr != "" || !strings.Contains(got.out, "\n"+refOf(tag)+": cannot tell: "+reason) {
			t.Errorf("%+v; want status 3 and %q", got, reason)
		}
	}
	_, other := w.anotherEntry(t)
	for name, change := range tampered(other) {
		if !slices.Contains([]string{"set-flipped", "time-later", "index-higher", "body-of-another", "root-flipped", "checkpoint-signature"}, name) {
			continue
		}
		w.rekor.Hook(rewriting(retrievePath, http.StatusOK, func(body []byte) []byte { return editEntries(t, body, change) }))
		cannotTell("the log's answer cannot be verified: entry ")
	}
	w.rekor.Hook(nil)
	w.rekor.Down()
	cannotTell("search Rekor's index: ")
}
