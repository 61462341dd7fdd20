package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/hostilelog"
	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// contradiction is what the service logs of a fork.
const contradiction = `"severity":"ERROR","message":"the log's checkpoints contradict each other"`

func view(t testing.TB, v *hostilelog.View, err error) *hostilelog.View {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// grow makes the log one entry larger, which has nothing to do with a tag.
func (w *rekorWorld) grow(t testing.TB) {
	t.Helper()
	if _, _, err := w.Create(t.Context(), proposal(t, w.author(t, "somebody@example.com"), w.statement(t, "nothing", w.two))); err != nil {
		t.Fatal(err)
	}
}

// TestFork has the log show an instance another history, signed with its own
// key, after it has shown it the true one. Whatever is proved by that is not
// believed: nothing is served, and nothing recorded twice, until the log is
// back. What the instance knows it serves meanwhile.
func TestFork(t *testing.T) {
	answers := func(h http.HandlerFunc) func(*hostilelog.View) sigstore.Hook {
		return func(*hostilelog.View) sigstore.Hook { return hostilelog.At(hostilelog.ProofPath, h) }
	}
	for name, test := range map[string]struct {
		proofs func(*hostilelog.View) sigstore.Hook // nil: the true log's
		same   bool                                 // as many entries as the instance has seen
		text   string                               // in the service's log
	}{
		"the true log's proofs": {nil, false, contradiction},
		"the fork's own proofs": {(*hostilelog.View).Proofs, false, contradiction},
		"no proofs":             {answers(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", 500) }), false, "ask Rekor for a consistency proof: "},
		"no hashes":             {answers(jsonOf(`{"hashes":[],"rootHash":"` + strings.Repeat("0", 64) + `"}`)), false, contradiction},
		"too many hashes":       {answers(jsonOf(`{"hashes":["` + strings.Repeat(strings.Repeat("0", 64)+`","`, 1000) + strings.Repeat("0", 64) + `"],"rootHash":"` + strings.Repeat("0", 64) + `"}`)), false, contradiction},
		"at the same size":      {nil, true, contradiction},
	} {
		t.Run(name, func(t *testing.T) {
			w := newRekorWorld(t, sigstore.Options{})
			w.grow(t) // a fork has another entry there
			for _, tag := range []string{"known", "other", "new"} {
				w.tag(t, tag, w.one)
			}
			svc := w.behind(t, "REKOR_TIMEOUT="+limit.String())
			others := w.direct(t).get(t, "app", "other")
			others.mustServe(t, w.one)
			svc.get(t, "app", "known").mustServe(t, w.one)
			if !test.same {
				w.grow(t)
			}

			fork, err := hostilelog.Fork(w.Sigstore)
			hooks := []sigstore.Hook{view(t, fork, err).Entries()}
			if test.proofs != nil {
				hooks = append(hooks, test.proofs(fork))
			}
			w.rekor.Hook(hostilelog.First(hooks...))
			svc.get(t, "app", "other").mustBeUnavailable(t)
			svc.mustSay(t, test.text)
			if n := w.rekor.Counts()["GET "+proofPath]; test.same && n != 0 {
				t.Errorf("%d proofs were asked for, for two roots of one size", n)
			}
			w.tag(t, "other", w.two)
			svc.get(t, "app", "other").mustBeUnavailable(t)
			w.tag(t, "other", w.one)
			svc.get(t, "app", "new").mustBeUnavailable(t) // written, and not believed to be
			w.shown(t, "new")
			svc.get(t, "app", "new").mustBeUnavailable(t)
			svc.get(t, "app", "known").mustServe(t, w.one)
			w.tag(t, "known", w.two)
			svc.get(t, "app", "known").mustRefuse(t, w.one, w.two)

			w.rekor.Hook(nil)
			again := svc.get(t, "app", "other")
			again.mustServe(t, w.one)
			again.mustBeRecord(t, others.header.Get("Tlog-Uuid"))
			svc.get(t, "app", "new").mustServe(t, w.one)
			w.mustHoldOnce(t, "known", "other", "new")
		})
	}
}

// mustHoldOnce fails the test unless the log holds one record of each tag, of
// the first image.
func (w *rekorWorld) mustHoldOnce(t testing.TB, tags ...string) {
	t.Helper()
	for _, tag := range tags {
		if one, two := w.records(t, tag, w.one), w.records(t, tag, w.two); one != 1 || two != 0 {
			t.Errorf("%s: the log has %d records of the tag and %d of another digest, want 1 and 0", tag, one, two)
		}
	}
}

func jsonOf(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(body))
	}
}

// TestForkFromTheStart: an instance that is shown another history from its
// first request on cannot know, and believes it; when it is shown the true one
// it does not take both. An auditor who has kept a checkpoint tells which.
func TestForkFromTheStart(t *testing.T) {
	w := newAuditedWorld(t)
	fork, err := hostilelog.Fork(w.Sigstore)
	forked := hostilelog.First(view(t, fork, err).Entries(), fork.Head(), fork.Proofs())
	w.rekor.Hook(forked)
	svc := w.behind(t, "REKOR_TIMEOUT="+limit.String())
	svc.get(t, "app", "v2").mustServe(t, w.one)
	w.grow(t)
	svc.get(t, "app", "v3").mustServe(t, w.one)
	w.settled(t)
	cli(t, nil, w.flags("audit", "--state", w.state)...).mustFail(t, 1, "the log's checkpoints contradict each other: from size 2 to 4: ")

	w.rekor.Hook(nil)
	svc.get(t, "app", "v1").mustBeUnavailable(t)
	svc.mustSay(t, contradiction)
	svc.get(t, "app", "v2").mustServe(t, w.one)
	w.behind(t).get(t, "app", "v1").mustServe(t, w.one)
	w.audit(t, "--state", w.state).mustPrint(t, 0, w.report(3))
}

// TestForkInAnAudit: an audit and a verify check the entries that they read
// against each other and against the log's checkpoint.
func TestForkInAnAudit(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	w.grow(t) // a fork has another entry there
	svc := w.direct(t)
	for i := range 12 { // more than are answered at once
		tag := fmt.Sprint("v", i)
		w.tag(t, tag, w.one)
		svc.get(t, "app", tag).mustServe(t, w.one)
	}
	w.settled(t)
	fork, err := hostilelog.Fork(w.Sigstore)
	w.rekor.Hook(view(t, fork, err).Entries())
	cli(t, nil, w.flags("audit")...).mustFail(t, 1, "the log's checkpoints contradict each other: two root hashes at size 13: ")

	var answers atomic.Int32
	entries := fork.Entries()
	w.rekor.Hook(func(rw http.ResponseWriter, r *http.Request, next http.Handler) bool {
		return r.URL.Path == retrievePath && answers.Add(1) > 1 && entries(rw, r, next)
	})
	cli(t, nil, w.flags("audit")...).mustFail(t, 1, "the log's checkpoints contradict each other: two root hashes at size 13: ")
}

// TestReplica: an older checkpoint is fine, if it is one of the same history:
// replicas lag. It costs one proof, and so does each new checkpoint; none is
// asked for twice, and none for what is known.
func TestReplica(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	writer := w.direct(t)
	for _, tag := range []string{"a", "b", "c", "d", "e", "f"} {
		w.tag(t, tag, w.one)
		writer.get(t, "app", tag).mustServe(t, w.one)
	}
	svc := w.behind(t)
	step := func(what, tag string, hook sigstore.Hook, proofs int) {
		t.Helper()
		w.rekor.Reset()
		w.rekor.Hook(hook)
		svc.get(t, "app", tag).mustServe(t, w.one)
		if n := w.rekor.Counts()["GET "+proofPath]; n != proofs {
			t.Errorf("%s: %d proofs were asked for, want %d", what, n, proofs)
		}
	}
	four, err := hostilelog.Replica(w.Sigstore, 4)
	three, err3 := hostilelog.Replica(w.Sigstore, 3)
	view(t, three, err3)
	step("the first checkpoint", "e", nil, 0)
	step("the same", "f", nil, 0)
	step("an older one", "a", view(t, four, err).Entries(), 1)
	step("the same older one", "b", four.Entries(), 0)
	step("a still older one", "c", three.Entries(), 1)
	step("the newest", "d", nil, 0)
	w.tag(t, "g", w.one)
	step("a new entry of one's own", "g", nil, 1)
	w.grow(t)
	w.tag(t, "h", w.one)
	step("another's and one's own", "h", nil, 1)
	w.tag(t, "b", w.two)
	w.rekor.Reset()
	svc.get(t, "app", "b").mustRefuse(t, w.one, w.two)
	svc.get(t, "app", "h").mustServe(t, w.one)
	if n := w.rekor.Count(); n != 0 {
		t.Errorf("%d requests about what is known, want none", n)
	}
}

// TestProofReplica: the replica that is asked for a proof may not have got as
// far as the one that gave the checkpoint, and says so with 400. It is asked
// again.
func TestProofReplica(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	w.tag(t, "a", w.one)
	w.tag(t, "b", w.one)
	svc := w.behind(t)
	svc.get(t, "app", "a").mustServe(t, w.one)
	behind := times(2, func(rw http.ResponseWriter, r *http.Request, next http.Handler) bool {
		q := r.URL.Query()
		q.Set("lastSize", "1000")
		r.URL.RawQuery = q.Encode()
		return false
	})
	w.rekor.Hook(on(proofPath, behind))
	w.rekor.Reset()
	svc.get(t, "app", "b").mustServe(t, w.one)
	if n := w.rekor.Counts()["GET "+proofPath]; n != 3 {
		t.Errorf("%d proofs were asked for, want 3", n)
	}
}

// TestProofUnavailable: where the log gives no consistency proof, what needed
// one is not served, and what needs none is.
func TestProofUnavailable(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	writer := w.direct(t)
	svc := w.behind(t, "REKOR_TIMEOUT="+longLimit.String())
	w.tag(t, "known", w.one)
	svc.get(t, "app", "known").mustServe(t, w.one)
	for name, hook := range map[string]sigstore.Hook{
		"unreachable": unreachable, "500": failing(500), "429": failing(429), "404": failing(404), "400": failing(400),
		"html": welcome, "hanging": hanging,
	} {
		t.Run(name, func(t *testing.T) {
			w.rekor.Hook(nil)
			old, fresh := "old-"+name, "new-"+name
			w.tag(t, old, w.one)
			w.tag(t, fresh, w.one)
			writer.get(t, "app", old).mustServe(t, w.one)
			w.rekor.Hook(on(proofPath, hook))
			began := time.Now()
			svc.get(t, "app", old).mustBeUnavailable(t)
			svc.get(t, "app", fresh).mustBeUnavailable(t)
			w.shown(t, fresh)
			if took := time.Since(began); took > 4*longLimit {
				t.Errorf("the answers took %v", took)
			}
			svc.get(t, "app", "known").mustServe(t, w.one)
			w.rekor.Hook(nil)
			svc.get(t, "app", old).mustServe(t, w.one)
			svc.get(t, "app", fresh).mustServe(t, w.one)
			w.mustHoldOnce(t, old, fresh)
		})
	}
}

// TestProofsAtOnce: however many tags are looked up at once, a log that has
// grown is asked for the proof of that once.
func TestProofsAtOnce(t *testing.T) {
	const tags = 40
	w := newRekorWorld(t, sigstore.Options{})
	writer := w.direct(t)
	name := func(i int) string { return fmt.Sprint("v", i) }
	for i := range tags {
		w.tag(t, name(i), w.one)
		writer.get(t, "app", name(i)).mustServe(t, w.one)
	}
	svc := w.behind(t)
	svc.get(t, "app", name(0)).mustServe(t, w.one)
	w.grow(t)
	// The proof comes when everybody wants it.
	w.rekor.Hook(hostilelog.Delayed(proofPath, 500*time.Millisecond))
	w.rekor.Reset()
	var wg sync.WaitGroup
	for i := range tags - 1 {
		wg.Go(func() {
			a, err := svc.try(t.Context(), http.MethodGet, "/v2/app/manifests/"+name(i+1))
			if err != nil || a.status != http.StatusOK {
				t.Errorf("%s: status %d, %v", name(i+1), a.status, err)
			}
		})
	}
	wg.Wait()
	if n := w.rekor.Counts()["GET "+proofPath]; n != 1 {
		t.Errorf("%d proofs were asked for, want 1", n)
	}
}
