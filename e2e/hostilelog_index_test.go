package e2e

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/hostilelog"
	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// TestHidden has the index hide the record of a tag that has moved since. A
// process that has seen the record goes by it: it serves what was recorded and
// refuses what was not. One that has not cannot know, and makes a second
// record. That is all that a log gains by hiding: both records are in it, and
// an audit that is not lied to names them.
func TestHidden(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	w.tag(t, "v1", w.one)
	seen := w.behind(t)
	first := seen.get(t, "app", "v1")
	first.mustServe(t, w.one)
	uuid := first.header.Get("Tlog-Uuid")

	w.rekor.Hook(hostilelog.Index(hostilelog.Hidden(uuid)))
	seen.get(t, "app", "v1").mustServe(t, w.one)
	w.tag(t, "v1", w.two)
	refused := seen.get(t, "app", "v1")
	refused.mustRefuse(t, w.one, w.two)
	refused.mustBeRecord(t, uuid)

	unknowing := w.behind(t)
	second := unknowing.get(t, "app", "v1")
	second.mustServe(t, w.two) // what trust on first use cannot notice
	if second.header.Get("Tlog-First-Seen") != "true" {
		t.Errorf("Tlog-First-Seen is %q", second.header.Get("Tlog-First-Seen"))
	}
	seen.get(t, "app", "v1").mustRefuse(t, w.one, w.two)

	w.rekor.Hook(nil)
	got := w.audit(t)
	var r auditReport
	if err := json.Unmarshal([]byte(got.out), &r); err != nil {
		t.Fatalf("%v in %q, %q", err, got.out, got.stderr)
	}
	if got.status != 1 || r.Clean || r.Records != 2 || len(r.Conflicts) != 1 || len(r.Conflicts[0].Records) != 2 ||
		r.Conflicts[0].Records[0].Digest != w.one || r.Conflicts[0].Records[1].Digest != w.two {
		t.Errorf("status %d, %s", got.status, got.out)
	}
	w.behind(t).get(t, "app", "v1").mustRefuse(t, w.one, w.two) // the lowest index decides again
	unknowing.stop(t)
}

// TestIndexLies has the index answer in other ways than it would. The record of
// the tag, which it shows, decides in every one.
func TestIndexLies(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	us, other := w.author(t, sigstore.DefaultEmail), w.author(t, "mallory@example.com")
	old := w.direct(t)
	w.tag(t, "another", w.two)
	another := old.get(t, "app", "another")
	another.mustServe(t, w.two)
	// Under the own subject of v1: somebody else's before and after, ours twice.
	before := w.intoto(t, "v1", other, w.statement(t, "v1", w.two))
	w.tag(t, "v1", w.one)
	uuid := w.intoto(t, "v1", us, w.statement(t, "v1", w.one))
	later := w.intoto(t, "v1", us, w.statement(t, "v1", w.two))
	unrelated := w.writes(t, "somebody@example.com", hashedrekord(t, w.author(t, "somebody@example.com"), []byte("a file"))).uuid

	for name, lie := range map[string]func([]string) []string{
		"nothing":                     func(u []string) []string { return u },
		"others' alone left out":      hostilelog.Hidden(before),
		"a later record left out":     hostilelog.Hidden(later),
		"another tag's record":        hostilelog.Replayed(another.header.Get("Tlog-Uuid")),
		"another identity's, again":   hostilelog.Replayed(before, before),
		"an unrelated entry":          hostilelog.Replayed(unrelated),
		"a later record first":        hostilelog.Replayed(later),
		"the other way around":        hostilelog.Reversed,
		"everything twice":            hostilelog.Doubled,
		"everything a thousand times": func(u []string) []string { return slices.Repeat(u, 1000) },
		"by the leaf alone": func(u []string) []string {
			for i := range u {
				u[i] = u[i][len(u[i])-64:]
			}
			return u
		},
		"by both names": func(u []string) []string {
			for _, id := range slices.Clone(u) {
				u = append(u, id[len(id)-64:])
			}
			return u
		},
	} {
		t.Run(name, func(t *testing.T) {
			w.rekor.Hook(hostilelog.Index(lie))
			svc := w.behind(t)
			served := svc.get(t, "app", "v1")
			served.mustServe(t, w.one)
			if got := served.header.Get("Tlog-Uuid"); got[len(got)-64:] != uuid[len(uuid)-64:] {
				t.Errorf("Tlog-Uuid is %s, want %s", got, uuid)
			}
			w.tag(t, "v1", w.two)
			svc.get(t, "app", "v1").mustRefuse(t, w.one, w.two)
			w.tag(t, "v1", w.one)
		})
	}
	if one, two := w.records(t, "v1", w.one), w.records(t, "v1", w.two); one != 1 || two != 2 {
		t.Errorf("the log has %d and %d entries of the tag, want 1 and 2 as before", one, two)
	}
}

// TestIndexShowsLess has the index show fewer and fewer of an instance's own
// records of a tag, to an instance that has not seen them. What is shown
// decides; that is wrong only where the record itself is hidden, see
// [TestHidden].
func TestIndexShowsLess(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	us, other := w.author(t, sigstore.DefaultEmail), w.author(t, "mallory@example.com")
	w.tag(t, "v1", w.one)
	uuid := w.intoto(t, "v1", us, w.statement(t, "v1", w.one))
	for range 30 {
		w.intoto(t, "v1", other, w.statement(t, "v1", w.two))
	}
	for _, n := range []int{31, 11, 10, 1} {
		w.rekor.Hook(hostilelog.Index(func(u []string) []string {
			slices.SortFunc(u, func(a, b string) int {
				switch uuid {
				case a:
					return -1
				case b:
					return 1
				}
				return 0
			})
			return hostilelog.Truncated(n)(u)
		}))
		svc := w.behind(t)
		served := svc.get(t, "app", "v1")
		served.mustServe(t, w.one)
		served.mustBeRecord(t, uuid)
	}
	if n := w.records(t, "v1", w.one); n != 1 {
		t.Errorf("the log has %d records of the tag, want 1", n)
	}
}

// TestSlow has each of the calls take half of the time that it may, and longer.
func TestSlow(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	writer := w.direct(t)
	w.tag(t, "known", w.one)
	writer.get(t, "app", "known").mustServe(t, w.one)
	for call, path := range map[string]string{"search": searchPath, "retrieve": retrievePath, "create": createPath, "proof": proofPath} {
		for slow, delay := range map[string]time.Duration{"inside": longLimit / 2, "past": longLimit * 12 / 10} {
			t.Run(call+" "+slow, func(t *testing.T) {
				t.Parallel()
				p := proxied(t, w.RekorURL)
				svc := w.direct(t, "REKOR_URL="+p.URL, "REKOR_TIMEOUT="+longLimit.String())
				svc.get(t, "app", "known").mustServe(t, w.one)
				recorded, fresh := "recorded-"+call+"-"+slow, "fresh-"+call+"-"+slow
				w.tag(t, recorded, w.one)
				w.tag(t, fresh, w.one)
				writer.get(t, "app", recorded).mustServe(t, w.one)
				p.Hook(hostilelog.Delayed(path, delay))
				for _, tag := range []string{recorded, fresh} {
					began := time.Now()
					a := svc.get(t, "app", tag)
					// A recorded tag needs no create, and a fresh one no entries: its own it has from the create.
					if slow == "inside" || tag == recorded && call == "create" || tag == fresh && call == "retrieve" {
						a.mustServe(t, w.one)
					} else {
						a.mustBeUnavailable(t)
					}
					if took := time.Since(began); took > 5*longLimit {
						t.Errorf("%s: the answer took %v", tag, took)
					}
				}
				svc.get(t, "app", "known").mustServe(t, w.one)
				p.Hook(nil)
				svc.get(t, "app", recorded).mustServe(t, w.one)
				svc.get(t, "app", fresh).mustServe(t, w.one)
				w.mustHoldOnce(t, recorded, fresh)
			})
		}
	}
}
