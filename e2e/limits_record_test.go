package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// TestRecordLimit: of a crowd of new tags, as many are recorded as the limit
// allows, and the rest is answered 429 and not recorded. Pulls of one tag at
// the same moment count once, and recorded tags are served all the while.
func TestRecordLimit(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	const (
		perMinute = 4 // one token in 15 s
		tags      = 12
		pulls     = 5 // of each tag, at once
	)
	svc := w.direct(t, "NEW_RECORDS_PER_MINUTE="+strconv.Itoa(perMinute))
	for n := range tags {
		w.tag(t, fmt.Sprint("new-", n), w.one)
	}
	w.tag(t, "before", w.one)
	w.direct(t).get(t, "app", "before").mustServe(t, w.one) // by another instance
	began := time.Now()

	answers := make([][pulls]answer, tags)
	var g errgroup.Group
	for n := range answers {
		for i := range pulls {
			g.Go(func() (err error) {
				answers[n][i], err = svc.try(t.Context(), http.MethodGet, "/v2/app/manifests/"+fmt.Sprint("new-", n))
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	recorded := map[string]bool{}
	for n, all := range answers {
		tag := fmt.Sprint("new-", n)
		recorded[tag] = all[0].status == http.StatusOK
		for _, a := range all {
			if recorded[tag] { // all of them: they share one write
				a.mustServe(t, w.one)
				continue
			}
			a.retryAfter(t, 15)
			if a.header.Get("Docker-Content-Digest") != "" || strings.Contains(a.body, w.one) {
				t.Errorf("%s is refused with what was asked for: %v %s", tag, a.header, a.body)
			}
		}
	}
	most := perMinute + filled(began, perMinute)
	maps.DeleteFunc(recorded, func(_ string, served bool) bool { return !served })
	if len(recorded) < perMinute || len(recorded) > most {
		t.Errorf("%d tags are served, want %d to %d: %v", len(recorded), perMinute, most, recorded)
	}
	for n := range tags {
		tag := fmt.Sprint("new-", n)
		want := 0
		if recorded[tag] {
			want = 1
		}
		if got := w.records(t, tag, w.one); got != want {
			t.Errorf("%s has %d records, want %d", tag, got, want)
		}
	}
	// What is recorded needs no record.
	for tag := range recorded {
		for range 3 {
			svc.get(t, "app", tag).mustServe(t, w.one)
		}
	}
	svc.get(t, "app", "before").mustServe(t, w.one)
	// A tag that has moved is refused, not limited.
	w.tag(t, "before", w.two)
	svc.get(t, "app", "before").mustStatus(t, http.StatusForbidden)

	for n := range tags {
		if tag := fmt.Sprint("new-", n); !recorded[tag] {
			first := svc.get(t, "app", tag)
			if first.status != http.StatusOK || filled(began, perMinute) == 0 { // else there is a token by now
				time.Sleep(first.retryAfter(t, 15))
				first = svc.get(t, "app", tag)
			}
			first.mustServe(t, w.one)
			if first.header.Get("Tlog-First-Seen") != "true" {
				t.Errorf("after the wait: %v", first.header)
			}
			return
		}
	}
}

// filled returns how many tokens a bucket may have got since it was full.
func filled(since time.Time, perMinute int) int {
	return int(time.Since(since).Minutes() * float64(perMinute))
}

// TestRecordLimitOfOwnLog: the same in the command's own log, which has no
// limit of its own.
func TestRecordLimitOfOwnLog(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	dir := t.TempDir()
	for n := range 8 {
		w.tag(t, fmt.Sprint("new-", n), w.one)
	}
	for limit, want := range map[string]int{"NEW_RECORDS_PER_MINUTE=3": 3, "NEW_RECORDS_PER_MINUTE=": 8} {
		began := time.Now()
		svc := start(t, "UPSTREAMS="+w.registry.Upstreams(), "TLOG_DIR="+dir+"/"+limit, limit)
		served := 0
		for n := range 8 {
			switch a := svc.get(t, "app", fmt.Sprint("new-", n)); a.status {
			case http.StatusOK:
				served++
			default:
				a.retryAfter(t, 20)
			}
		}
		if served < want || served > want+filled(began, 3) {
			t.Errorf("%s: %d of 8 tags are served, want %d", limit, served, want)
		}
	}
}
