package e2e

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// TestNoStatements runs the log without the store that statements are kept in.
// A match is proved all the same. A moved tag is refused, but the refusal can
// name the recorded digest only where the process knows it.
func TestNoStatements(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{NoAttestations: true})
	w.withoutStatement(t, func() {})
}

// TestForgottenStatements is the same where the store has lost what it had.
func TestForgottenStatements(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	w.withoutStatement(t, func() {
		if err := w.ForgetAttestations(); err != nil {
			t.Fatal(err)
		}
	})
}

// withoutStatement pulls a tag whose record has lost its statement.
func (w *rekorWorld) withoutStatement(t *testing.T, lose func()) {
	w.tag(t, "lost", w.one)
	svc := w.direct(t)
	first := svc.get(t, "app", "lost")
	first.mustServe(t, w.one)
	uuid := first.header.Get("Tlog-Uuid")
	fetchEntry(t, w.Sigstore, uuid) // the statement is stored by now
	lose()
	if e := fetchEntry(t, w.Sigstore, uuid); e.Attestation != nil {
		t.Fatalf("the statement is still there: %s", e.Attestation.Data)
	}

	other := w.direct(t)
	again := other.get(t, "app", "lost")
	again.mustServe(t, w.one)
	for _, name := range []string{"Tlog-Uuid", "Tlog-Logindex", "Tlog-Integratedtime"} {
		if got, want := again.header.Get(name), first.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if v, ok := again.header["Tlog-First-Seen"]; ok {
		t.Errorf("Tlog-First-Seen is %q", v)
	}

	w.tag(t, "lost", w.two)
	svc.get(t, "app", "lost").mustRefuse(t, w.one, w.two)
	unknowing := w.direct(t)
	for range 2 { // the second time without asking the log again
		refused := unknowing.get(t, "app", "lost")
		refused.mustRefuse(t, "", w.two)
		refused.mustBeRecord(t, uuid)
	}
	head := unknowing.do(t, http.MethodHead, "/v2/app/manifests/lost")
	head.mustStatus(t, http.StatusForbidden)
	head.mustBeRecord(t, uuid)
	w.tag(t, "lost", w.one)
	back := unknowing.get(t, "app", "lost")
	back.mustServe(t, w.one)
	back.mustBeRecord(t, uuid)
	w.tag(t, "lost", w.two)
	unknowing.get(t, "app", "lost").mustRefuse(t, w.one, w.two) // proved by the match before
	if n := w.records(t, "lost", w.one) + w.records(t, "lost", w.two); n != 1 {
		t.Errorf("the log has %d records of the tag, want 1", n)
	}
}

// TestFalseStatements changes the copies of statements that the log hands out,
// for which it does not vouch. A false one is as good as none: it neither
// hides the record nor names another digest.
func TestFalseStatements(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	two := func(tag string) []byte { return w.statement(t, tag, w.two) }
	cases := map[string]func(e object, tag string){
		"other-digest": func(e object, tag string) { e["attestation"] = object{"data": two(tag)} },
		"other-tag":    func(e object, tag string) { e["attestation"] = object{"data": w.statement(t, "v1", w.one)} },
		"flipped":      func(e object, tag string) { bytes64(flipByte, "attestation", "data")(e) },
		"garbage":      func(e object, tag string) { e["attestation"] = object{"data": []byte("no statement")} },
		"empty":        func(e object, tag string) { e["attestation"] = object{"data": ""} },
		"null":         func(e object, tag string) { e["attestation"] = nil },
		"missing":      func(e object, tag string) { delete(e, "attestation") },
	}
	writer := w.direct(t)
	names := slices.Sorted(maps.Keys(cases))
	uuids := make(map[string]string)
	for _, name := range names {
		w.tag(t, name, w.one)
		recorded := writer.get(t, "app", name)
		recorded.mustServe(t, w.one)
		uuids[name] = recorded.header.Get("Tlog-Uuid")
		fetchEntry(t, w.Sigstore, uuids[name])
	}
	same, moved := w.behind(t), w.behind(t)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			w.rekor.Hook(rewriting(retrievePath, http.StatusOK, func(body []byte) []byte {
				return editEntries(t, body, func(e object) { cases[name](e, name) })
			}))
			served := same.get(t, "app", name)
			served.mustServe(t, w.one)
			served.mustBeRecord(t, uuids[name])
			w.tag(t, name, w.two)
			refused := moved.get(t, "app", name)
			refused.mustRefuse(t, "", w.two)
			refused.mustBeRecord(t, uuids[name])
			w.rekor.Hook(nil)
			same.get(t, "app", name).mustRefuse(t, w.one, w.two)
		})
	}
	for _, name := range names {
		if n := w.records(t, name, w.one); n != 1 {
			t.Errorf("%s: the log has %d records of the tag, want 1", name, n)
		}
	}
}

// TestLateStatement: a statement that is stored a moment after its entry is
// waited for, so that the refusal names the recorded digest.
func TestLateStatement(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	w.tag(t, "late", w.one)
	w.direct(t).get(t, "app", "late").mustServe(t, w.one)
	w.tag(t, "late", w.two)
	var left atomic.Int32
	left.Store(3)
	w.rekor.Hook(rewriting(retrievePath, http.StatusOK, func(body []byte) []byte {
		if left.Add(-1) < 0 {
			return body
		}
		return editEntries(t, body, cut("attestation"))
	}))
	w.behind(t).get(t, "app", "late").mustRefuse(t, w.one, w.two)
	if left.Load() >= 0 {
		t.Errorf("%d times more the statement would not have been there", left.Load()+1)
	}
}

// TestLowestIndex: of several records by this identity, as two instances may
// make that see a tag at the same moment, the one with the lowest log index
// decides.
func TestLowestIndex(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	us := w.author(t, sigstore.DefaultEmail)
	later := w.author(t, sigstore.DefaultEmail)
	w.tag(t, "twice", w.one)
	first := w.intoto(t, "twice", us, w.statement(t, "twice", w.one))
	w.intoto(t, "twice", later, w.statement(t, "twice", w.two))
	w.intoto(t, "twice", us, w.statement(t, "twice", w.two))

	// The index has no order. Whatever it answers, the first entry decides.
	orders := map[string]func([]any) []any{
		"as it is": func(ids []any) []any { return ids },
		"sorted":   func(ids []any) []any { slices.SortFunc(ids, compareText); return ids },
		"reversed": func(ids []any) []any { slices.SortFunc(ids, compareText); slices.Reverse(ids); return ids },
		"twice":    func(ids []any) []any { return append(ids, ids...) },
	}
	for name, order := range orders {
		t.Run(name, func(t *testing.T) {
			w.rekor.Hook(rewriting(searchPath, http.StatusOK, func(body []byte) []byte {
				return editAnswer(t, body, func(v any) any { return order(v.([]any)) })
			}))
			svc := w.behind(t)
			w.tag(t, "twice", w.two)
			refused := svc.get(t, "app", "twice")
			refused.mustRefuse(t, w.one, w.two)
			refused.mustBeRecord(t, first)
			w.tag(t, "twice", w.one)
			served := svc.get(t, "app", "twice")
			served.mustServe(t, w.one)
			served.mustBeRecord(t, first)
		})
	}
}

// TestLateLowest: the index shows the second of two records first. Both are
// young, so a look-up gives the one before time to show, and goes by that.
func TestLateLowest(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	us, svc := w.author(t, sigstore.DefaultEmail), w.behind(t) // young is less than five seconds
	w.tag(t, "late", w.two)
	first := w.intoto(t, "late", us, w.statement(t, "late", w.one))
	w.intoto(t, "late", us, w.statement(t, "late", w.two))
	w.rekor.Hook(times(1, rewriting(searchPath, http.StatusOK, func(body []byte) []byte {
		return editAnswer(t, body, func(v any) any {
			return slices.DeleteFunc(v.([]any), func(id any) bool { return id == first })
		})
	})))
	refused := svc.get(t, "app", "late")
	refused.mustRefuse(t, w.one, w.two)
	refused.mustBeRecord(t, first)
}

func compareText(a, b any) int {
	return strings.Compare(a.(string), b.(string))
}

// TestMisdirected: an index that also names our record of another tag, which
// comes earlier and has another digest, changes nothing.
func TestMisdirected(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	w.tag(t, "another", w.two)
	elsewhere := w.direct(t).get(t, "app", "another")
	elsewhere.mustServe(t, w.two)
	w.rekor.Hook(rewriting(searchPath, http.StatusOK, func(body []byte) []byte {
		return editAnswer(t, body, func(v any) any { return append(v.([]any), elsewhere.header.Get("Tlog-Uuid")) })
	}))
	w.tag(t, "v1", w.one)
	first := w.behind(t).get(t, "app", "v1")
	first.mustServe(t, w.one)
	again := w.behind(t).get(t, "app", "v1")
	again.mustServe(t, w.one)
	again.mustBeRecord(t, first.header.Get("Tlog-Uuid"))
}

// TestMisdirectedLate: nor where the statement that tells comes a moment later. The
// other tag's record of the same digest is none of this tag's.
func TestMisdirectedLate(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	for name, digest := range map[string]string{"same": w.one, "other": w.two} {
		t.Run(name, func(t *testing.T) {
			w.rekor.Hook(nil)
			w.tag(t, name+"-else", digest)
			elsewhere := w.direct(t).get(t, "app", name+"-else").header.Get("Tlog-Uuid")
			var left atomic.Int32
			left.Store(2)
			search := rewriting(searchPath, http.StatusOK, func(body []byte) []byte {
				return editAnswer(t, body, func(v any) any { return append(v.([]any), elsewhere) })
			})
			late := rewriting(retrievePath, http.StatusOK, func(body []byte) []byte {
				if left.Add(-1) < 0 {
					return body
				}
				return editEntries(t, body, cut("attestation"))
			})
			w.rekor.Hook(func(rw http.ResponseWriter, r *http.Request, next http.Handler) bool {
				return search(rw, r, next) || late(rw, r, next)
			})
			w.tag(t, name, w.one)
			first := w.behind(t).get(t, "app", name)
			first.mustServe(t, w.one)
			if uuid := first.header.Get("Tlog-Uuid"); uuid == elsewhere || uuid == "" || left.Load() >= 0 {
				t.Errorf("served by the record %s, want one of its own; %d", uuid, left.Load())
			}
			if n := w.records(t, name, w.one); n != 1 {
				t.Errorf("the log has %d records of the tag, want 1", n)
			}
		})
	}
}

// TestExpiredSince: a record counts for as long as the log has it, although its
// certificate lived for minutes only.
func TestExpiredSince(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	const life = 10 * time.Minute
	w.tag(t, "old", w.one)
	expires := time.Now().Truncate(time.Second).Add(6 * time.Second) // it is logged before
	us := forger(t, w.CA(), sigstore.Leaf{Email: sigstore.DefaultEmail, Issuer: w.IssuerURL, NotBefore: expires.Add(-life)})
	uuid := w.intoto(t, "old", us, w.statement(t, "old", w.one))
	time.Sleep(time.Until(expires) + time.Second)
	svc := w.direct(t)
	served := svc.get(t, "app", "old")
	served.mustServe(t, w.one)
	served.mustBeRecord(t, uuid)
	w.tag(t, "old", w.two)
	w.direct(t).get(t, "app", "old").mustRefuse(t, w.one, w.two)
}
