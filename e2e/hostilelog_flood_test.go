package e2e

import (
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// TestBigFlood puts thousands of foreign entries under one tag's own subject,
// half of them before its record and half after, every second one with a
// certificate that names the service account and that nobody trusts. A first
// look reads those that name it, in a bounded memory, and a second one nothing.
// TLOGISTRY_FLOOD is how many there are.
func TestBigFlood(t *testing.T) {
	total := 2000
	if s := os.Getenv("TLOGISTRY_FLOOD"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("TLOGISTRY_FLOOD is %q, want a number of entries", s)
		}
		total = n
	}
	w := newRekorWorld(t, sigstore.Options{})
	other, self := w.author(t, "mallory@example.com"), w.selfMade(t, 0)
	began := time.Now()
	w.pour(t, "flooded", total/2, other, self)
	t.Logf("%d entries logged in %v", total/2, time.Since(began).Round(time.Millisecond))

	w.tag(t, "flooded", w.one)
	w.tag(t, "aside", w.one)
	aside := w.behind(t)
	w.rekor.Hook(settling(t, w.Sigstore))
	first := w.look(t, w.behind(t), "flooded", total/2)
	uuid := first.header.Get("Tlog-Uuid")
	if first.header.Get("Tlog-First-Seen") != "true" {
		t.Errorf("Tlog-First-Seen is %q", first.header.Get("Tlog-First-Seen"))
	}
	w.pour(t, "flooded", total-total/2, other, self)

	svc := w.behind(t)
	w.look(t, svc, "flooded", total).mustBeRecord(t, uuid)
	w.tag(t, "flooded", w.two)
	w.rekor.Reset()
	refused := svc.get(t, "app", "flooded")
	refused.mustRefuse(t, w.one, w.two)
	refused.mustBeRecord(t, uuid)
	if n := w.rekor.Count(); n != 0 {
		t.Errorf("%d requests for the second pull, want none", n)
	}
	// Another tag has nothing to do with it.
	if took := elapsed(func() { aside.get(t, "app", "aside").mustServe(t, w.one) }); took > 5*time.Second {
		t.Errorf("another tag took %v", took)
	}
}

// look pulls a tag for the first time by svc, with n foreign entries under its
// subject, and checks what that costs.
func (w *rekorWorld) look(t *testing.T, svc *service, tag string, n int) answer {
	t.Helper()
	before := svc.idle(t)
	w.rekor.Reset()
	var a answer
	took := elapsed(func() { a = svc.get(t, "app", tag) })
	more, counts := svc.peak(t)-before, w.rekor.Counts()
	t.Logf("first pull with %d foreign entries: %v, %d KiB more, %v", n, took.Round(time.Millisecond), more>>10, counts)
	a.mustServe(t, w.one)
	if more > spareMemory {
		t.Errorf("the service took %d KiB more than before", more>>10)
	}
	if took > time.Minute+time.Duration(n)*20*time.Millisecond {
		t.Errorf("the pull took %v", took)
	}
	// Half of them name the account, and are read ten at a time.
	if got := counts["POST "+retrievePath]; got > n/2/10+3 {
		t.Errorf("entries were asked for %d times", got)
	}
	if got := counts["POST "+searchPath]; got > 6 { // twice for each of two looks, and what had to be tried again
		t.Errorf("the index was searched %d times", got)
	}
	if got := counts["GET "+proofPath]; got > 1 {
		t.Errorf("%d proofs were asked for", got)
	}
	return a
}

// pour logs n entries that say that the tag is the other image, by each author
// in turn.
func (w *rekorWorld) pour(t *testing.T, tag string, n int, authors ...*sigstore.Author) {
	t.Helper()
	statement := w.statement(t, tag, w.two)
	next := make(chan int)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range next {
				e, err := authors[i%len(authors)].Sign(t.Context(), statement)
				if err != nil {
					t.Error(err)
					continue
				}
				p, err := e.InToto()
				if err == nil {
					_, _, err = w.Create(t.Context(), p)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	within(t, "entry in the index", func() bool {
		found, err := w.Search(t.Context(), w.ownSubject(tag))
		return err != nil || len(found) >= n
	})
}
