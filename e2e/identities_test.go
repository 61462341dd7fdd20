package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
	"github.com/tlogistry/tlogistry/internal/record"
)

// The identities of these tests beside sigstore.DefaultEmail, which is ours.
const (
	team     = "tlogistry@team.iam.gserviceaccount.com"
	stranger = "tlogistry@stranger.iam.gserviceaccount.com"
)

// as is the environment of an instance of an identity that trusts others.
func as(t testing.TB, s *sigstore.Sigstore, email string, trusted ...string) []string {
	t.Helper()
	host, err := s.OtherMetadata(email)
	if err != nil {
		t.Fatal(err)
	}
	return []string{"GCE_METADATA_HOST=" + host, trusting(s, trusted...)}
}

// trusting is the variable that names these identities of the issuer.
func trusting(s *sigstore.Sigstore, emails ...string) string {
	var pairs []string
	for _, email := range emails {
		pairs = append(pairs, s.IssuerURL+"="+email)
	}
	return "TRUSTED_IDENTITIES=" + strings.Join(pairs, ",")
}

// recordsBy returns how many records of a tag by an identity the log holds.
func (w *rekorWorld) recordsBy(t testing.TB, email, tag, digest string) int {
	t.Helper()
	return w.written(t)[sha256.Sum256(w.recordBy(t, email, tag, digest))]
}

// mustFirst fails the test unless the answer is of the record's own pull.
func (a answer) mustFirst(t testing.TB, digest string) {
	t.Helper()
	a.mustServe(t, digest)
	if a.header.Get("Tlog-First-Seen") != "true" {
		t.Errorf("served by the record %s, and not recorded", a.header.Get("Tlog-Uuid"))
	}
}

// mustObey fails the test unless the answer was decided by an earlier record,
// of this UUID, by this identity, of digest one, and tells of it.
func (a answer) mustObey(t testing.TB, w *rekorWorld, uuid, email, digest string) {
	t.Helper()
	if digest == w.one {
		a.mustServe(t, w.one)
	} else {
		a.mustRefuse(t, w.one, digest)
		var body struct {
			Errors []struct {
				Detail struct{ Identity, Issuer string }
			}
		}
		if err := json.Unmarshal([]byte(a.body), &body); err != nil || len(body.Errors) != 1 {
			t.Fatalf("%v: %s", err, a.body)
		}
		if d := body.Errors[0].Detail; d.Identity != email || d.Issuer != w.IssuerURL {
			t.Errorf("refused by the record of %s of %s, want %s", d.Identity, d.Issuer, email)
		}
	}
	a.mustBeRecord(t, uuid)
	if a.header.Get("Tlog-First-Seen") != "" {
		t.Error("it was recorded anew")
	}
}

// TestTrustedIdentities has instances of two identities pull the same tags. Who
// trusts the other obeys its records, and asks the log for both identities'; the
// record with the lowest index decides, whosever it is.
func TestTrustedIdentities(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	asTeam, asTeamTrusting := as(t, w.Sigstore, team), as(t, w.Sigstore, team, sigstore.DefaultEmail)
	ours, theirs := w.direct(t), w.direct(t, asTeam...)
	for _, tag := range []string{"ours", "ours-before", "theirs-before", "strangers"} {
		w.tag(t, tag, w.one)
	}
	first := ours.get(t, "app", "ours")
	first.mustFirst(t, w.one)
	uuid := first.header.Get("Tlog-Uuid")

	t.Run("the trusted record", func(t *testing.T) {
		svc := w.behind(t, asTeamTrusting...)
		again := svc.get(t, "app", "ours")
		again.mustObey(t, w, uuid, sigstore.DefaultEmail, w.one)
		// Each look is a search for each identity, and there are two while the
		// record is a moment old, which is five seconds.
		at, err := time.Parse(time.RFC3339, again.header.Get("Tlog-Integratedtime"))
		young := err == nil && time.Since(at) < 5*time.Second
		counts := w.rekor.Counts()
		looks := counts["POST "+retrievePath]
		if looks < 1 || looks > 2 || young && looks != 2 || counts["POST "+searchPath] != 2*looks || counts["POST "+createPath] != 0 {
			t.Errorf("the log was asked %v", counts)
		}
		w.rekor.Reset()
		w.tag(t, "ours", w.two)
		svc.get(t, "app", "ours").mustObey(t, w, uuid, sigstore.DefaultEmail, w.two)
		svc.do(t, http.MethodHead, "/v2/app/manifests/ours").mustStatus(t, http.StatusForbidden)
		if n := w.rekor.Count(); n != 0 {
			t.Errorf("the log was asked %d times about a tag that is known", n)
		}
		svc.mustSay(t, `"recordedBy":"`+sigstore.DefaultEmail+`"`)
		if n := w.recordsBy(t, team, "ours", w.one) + w.recordsBy(t, team, "ours", w.two); n != 0 {
			t.Errorf("it was recorded %d times more", n)
		}
	})
	t.Run("without trust", func(t *testing.T) {
		w.tag(t, "ours", w.two)
		theirs.get(t, "app", "ours").mustFirst(t, w.two)
		if n := w.recordsBy(t, team, "ours", w.two); n != 1 {
			t.Errorf("it was recorded %d times", n)
		}
		// Now both have one, and the other's is the lower.
		w.direct(t, asTeamTrusting...).get(t, "app", "ours").mustObey(t, w, uuid, sigstore.DefaultEmail, w.two)
	})
	t.Run("the lowest index", func(t *testing.T) {
		before := theirs.get(t, "app", "theirs-before")
		before.mustFirst(t, w.one)
		w.tag(t, "theirs-before", w.two)
		ours.get(t, "app", "theirs-before").mustFirst(t, w.two)
		for _, env := range [][]string{asTeamTrusting, {trusting(w.Sigstore, sigstore.DefaultEmail, team)}} { // who wrote first, and who second
			w.direct(t, env...).get(t, "app", "theirs-before").mustObey(t, w, before.header.Get("Tlog-Uuid"), team, w.two)
		}
		ours.get(t, "app", "theirs-before").mustServe(t, w.two) // nobody is trusted there
	})
	t.Run("a stranger", func(t *testing.T) {
		w.tag(t, "strangers", w.two)
		w.direct(t, as(t, w.Sigstore, stranger)...).get(t, "app", "strangers").mustFirst(t, w.two)
		w.tag(t, "strangers", w.one)
		svc := w.behind(t, asTeamTrusting...)
		w.rekor.Hook(settling(t, w.Sigstore))
		w.rekor.Reset()
		svc.get(t, "app", "strangers").mustFirst(t, w.one)
		if counts := w.rekor.Counts(); counts["POST "+searchPath] != 4 || counts["POST "+retrievePath] != 0 || counts["POST "+createPath] != 1 {
			t.Errorf("the log was asked %v", counts)
		}
	})
	t.Run("verify", func(t *testing.T) { w.verifyTrusted(t, uuid) })
}

// verifyTrusted has verify say whose the record of the tag ours is.
func (w *rekorWorld) verifyTrusted(t *testing.T, uuid string) {
	w.settled(t)
	at := w.entryAt(t, uuid)
	w.tag(t, "ours", w.one)
	pair := w.IssuerURL + "=" + sigstore.DefaultEmail
	args := []string{"verify", "--rekor", w.RekorURL, "--trusted-root", w.TrustedRootPath, "--issuer", w.IssuerURL, "--identity", team, "app:ours"}
	want := fmt.Sprintf(`[
  {
    "reference": "%s",
    "verdict": "same",
    "recorded": "%s",
    "firstSeen": "%s",
    "logIndex": %d,
    "uuid": "%s",
    "identity": "%s",
    "issuer": "%s",
    "current": "%s"
  }
]
`, refOf("ours"), w.one, at.time, at.index, uuid, sigstore.DefaultEmail, w.IssuerURL, w.one)
	cli(t, w.upstreams(), append(args, "-o", "json", "--trusted", pair)...).mustEnd(t, 0, want)
	cli(t, append(w.upstreams(), "TRUSTED_IDENTITIES="+pair), append(args, "-o", "json")...).mustEnd(t, 0, want)
	got := cli(t, w.upstreams(), append(args, "--trusted", pair)...)
	if line := strings.Split(got.out, "\n")[1]; got.status != 0 || !strings.HasSuffix(line, "  "+w.one+"  recorded by "+sigstore.DefaultEmail+" of "+w.IssuerURL) {
		t.Errorf("status %d, %s", got.status, got.out)
	}
	// Without trust it is the own record, of the other digest.
	if got := cli(t, w.upstreams(), args...); got.status != 1 || strings.Contains(got.out, "recorded by") {
		t.Errorf("status %d, %s", got.status, got.out)
	}
	cli(t, w.upstreams(), append(args, "--trusted", "x")...).mustFail(t, 3, `TRUSTED_IDENTITIES="x": want issuer=identity`)
	cli(t, w.upstreams(), append(args, "--trusted", pair, "--anyone")...).mustFail(t, 3, "anyone", "trusted")
	cli(t, w.upstreams(), "verify", "--tlog", "/", "--trusted", pair, "app:ours").mustFail(t, 3, "tlog", "trusted")
}

// TestTrustedIdentitiesAreNotMixed writes, before anybody's record, what one
// trusted identity signed about the other's. Each counts for itself alone, also
// where the log keeps no statements and only the signer tells.
func TestTrustedIdentitiesAreNotMixed(t *testing.T) {
	for _, without := range []bool{false, true} {
		t.Run(fmt.Sprint("without statements ", without), func(t *testing.T) {
			newRekorWorld(t, sigstore.Options{NoAttestations: without}).unmixed(t)
		})
	}
}

func (w *rekorWorld) unmixed(t *testing.T) {
	us, them := w.author(t, sigstore.DefaultEmail), w.author(t, team)
	for _, tag := range []string{"mixed", "whole"} {
		w.tag(t, tag, w.one)
		// Our words signed by them show under our subject, and theirs signed by
		// us under theirs.
		w.intoto(t, tag, them, w.statement(t, tag, w.two))
		w.intotoOf(t, team, tag, us, w.recordBy(t, team, tag, w.two))
	}
	// Their words signed by them that show under our subject.
	words := string(w.recordBy(t, team, "mixed", w.two))
	hex := func(subject string) string { return strings.TrimPrefix(subject, "sha256:") }
	w.intoto(t, "mixed", them, []byte(strings.Replace(words, hex(w.subjectOf(team, "mixed")), hex(w.ownSubject("mixed")), 1)))
	genuine := w.intotoOf(t, team, "whole", them, w.recordBy(t, team, "whole", w.one))
	svc := w.direct(t, trusting(w.Sigstore, team))
	svc.get(t, "app", "mixed").mustFirst(t, w.one)
	svc.get(t, "app", "whole").mustObey(t, w, genuine, team, w.one)
	w.tag(t, "whole", w.two)
	svc.get(t, "app", "whole").mustObey(t, w, genuine, team, w.two)
}

// intotoOf is intoto for what shows under another identity's subject.
func (w *rekorWorld) intotoOf(t testing.TB, email, tag string, a *sigstore.Author, statement []byte) string {
	t.Helper()
	return w.loggedUnder(t, w.subjectOf(email, tag), proposal(t, a, statement))
}

// subjectOf is the key under which the index has an identity's records of a tag.
func (w *rekorWorld) subjectOf(email, tag string) string {
	own := record.Identity{Issuer: w.IssuerURL, Subject: email}.OwnSubject(refOf(tag))
	return "sha256:" + hex.EncodeToString(own[:])
}

// loggedUnder logs a proposal, and returns its UUID once it shows.
func (w *rekorWorld) loggedUnder(t testing.TB, subject string, proposal []byte) string {
	t.Helper()
	uuid, _, err := w.Create(t.Context(), proposal)
	if err != nil {
		t.Fatal(err)
	}
	within(t, "entry "+uuid+" in the index", func() bool {
		uuids, err := w.Search(t.Context(), subject)
		return err == nil && strings.Contains(strings.Join(uuids, " "), uuid)
	})
	return uuid
}

// TestTrustedIdentitiesWithoutStatements has the log keep no statements: the
// trusted identity's is rebuilt with its own name.
func TestTrustedIdentitiesWithoutStatements(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{NoAttestations: true})
	w.tag(t, "v1", w.one)
	first := w.direct(t).get(t, "app", "v1")
	first.mustFirst(t, w.one)
	svc := w.direct(t, as(t, w.Sigstore, team, sigstore.DefaultEmail)...)
	svc.get(t, "app", "v1").mustObey(t, w, first.header.Get("Tlog-Uuid"), sigstore.DefaultEmail, w.one)
	w.tag(t, "v1", w.two)
	svc.get(t, "app", "v1").mustObey(t, w, first.header.Get("Tlog-Uuid"), sigstore.DefaultEmail, w.two)
	refused := w.direct(t, as(t, w.Sigstore, team, sigstore.DefaultEmail)...).get(t, "app", "v1")
	refused.mustRefuse(t, "", w.two)
	refused.mustBeRecord(t, first.header.Get("Tlog-Uuid"))
}

// TestTrustedIdentityUnreachable fails the search for one identity alone, own or
// trusted: nothing is served, and nothing is written.
func TestTrustedIdentityUnreachable(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	w.tag(t, "v1", w.one)
	svc := w.behind(t, "REKOR_TIMEOUT=1s", trusting(w.Sigstore, team))
	for _, email := range []string{sigstore.DefaultEmail, team} {
		subject := w.subjectOf(email, "v1")
		w.rekor.Hook(on(searchPath, func(rw http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			body, err := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			if err != nil || !bytes.Contains(body, []byte(subject)) {
				return false
			}
			rw.WriteHeader(http.StatusInternalServerError)
			return true
		}))
		svc.get(t, "app", "v1").mustBeUnavailable(t)
	}
	w.rekor.Hook(nil)
	if n := w.rekor.Counts()["POST "+createPath]; n != 0 {
		t.Errorf("%d records were written", n)
	}
	svc.get(t, "app", "v1").mustFirst(t, w.one)
}

// TestRaceOfIdentities races instances of two identities that trust each other:
// the index has their records under two subjects.
func TestRaceOfIdentities(t *testing.T) {
	const lag = 200 * time.Millisecond
	s := startSigstore(t, sigstore.Options{})
	const settle = "REKOR_SETTLE=250ms"
	race := raceOf(t, s, [2][]string{
		append(as(t, s, sigstore.DefaultEmail, team), settle),
		append(as(t, s, team, sigstore.DefaultEmail), settle),
	})
	race.tags = 48
	for _, test := range []struct {
		name string
		hook sigstore.Hook
	}{{"unmodified", nil}, {"lagging", sigstore.LaggingIndex(1, lag)}} {
		race.rekor.Hook(test.hook)
		if broken := race.round(t, test.name); len(broken) > 0 {
			t.Errorf("%s index: %d of %d tags were served with two digests: %v", test.name, len(broken), race.tags, broken)
		}
	}
}
