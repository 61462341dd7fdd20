package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/fault"
)

// TestFaultTable breaks the connections to each server in each way, and has one
// service pull all that can be pulled: while they are broken, and as soon as
// they are not.
func TestFaultTable(t *testing.T) {
	w := newFaultWorld(t)
	var all sync.WaitGroup // at once, however few processors there are
	for _, d := range w.dependencies() {
		all.Go(func() {
			t.Run(d.name, func(t *testing.T) {
				for _, b := range breakages {
					t.Run(b.name, func(t *testing.T) { w.breaks(t, d, b) })
				}
				t.Run("flapping", func(t *testing.T) { w.flaps(t, d) })
				t.Run("slow within the limit", func(t *testing.T) { w.late(t, d) })
			})
		})
	}
	all.Go(func() { t.Run("connections lost", w.loses) })
	all.Wait()
	w.mustHoldFew(t)
}

// breaks has everything pulled while a server is out of order, and then again.
func (w *faultWorld) breaks(t *testing.T, d dependency, b breakage) {
	svc, link := w.service(t, d)
	if d.late {
		svc.get(t, "app", "remembered").mustServe(t, w.one)
	}
	must(t, b.fail(link))
	fresh := w.fresh(t, 0)
	var pulls sync.WaitGroup
	for _, pull := range faultPulls {
		if !d.late && pull == "held digest" {
			continue
		}
		pulls.Go(func() {
			began := time.Now()
			a, err := svc.try(t.Context(), http.MethodGet, w.path(pull, fresh))
			if took := time.Since(began); took > d.limit+faultSlack {
				t.Errorf("%s: the answer took %v", pull, took)
			}
			want := http.StatusOK
			if slices.Contains(d.fails, pull) {
				want = b.registry
				if d.ofLog {
					want = http.StatusServiceUnavailable
				}
			}
			if wrong := w.wrong(a, want, d.ofLog); err != nil || wrong != "" {
				t.Errorf("%s: %v, %s", pull, err, wrong)
			}
		})
	}
	pulls.Wait()
	w.recovers(t, svc, link, fresh)
}

// recovers heals a link while a pull is stuck, and has everything pulled until
// it is answered. fresh must not have been recorded before.
func (w *faultWorld) recovers(t *testing.T, svc *service, link *fault.Link, fresh string) {
	t.Helper()
	stuck := w.fresh(t, 1)
	var pulls sync.WaitGroup
	took := make(chan time.Duration, len(faultPulls))
	pulls.Go(func() { // whatever it is answered
		if _, err := svc.try(t.Context(), http.MethodGet, w.path("new", stuck)); err != nil {
			t.Errorf("the stuck pull: %v", err)
		}
	})
	time.Sleep(50 * time.Millisecond) // it is on its way
	must(t, link.Heal())
	healed := time.Now()
	for _, pull := range faultPulls {
		pulls.Go(func() {
			a, err := untilServed(t, svc, w.path(pull, fresh), healed)
			took <- time.Since(healed)
			if err != nil {
				t.Errorf("%s: %v", pull, err)
				return
			}
			if pull == "new" && a.header.Get("Tlog-First-Seen") != "true" {
				t.Errorf("the new tag was recorded before it was served: %v", a.header)
			}
		})
	}
	pulls.Wait()
	close(took)
	var longest time.Duration
	for d := range took {
		longest = max(longest, d)
	}
	t.Logf("all was served %v after the end of the fault", longest.Round(time.Millisecond))
	w.served(t, svc, stuck)
}

// served pulls a tag, of which nothing is in the way, until it is served.
func (w *faultWorld) served(t *testing.T, svc *service, tag string) {
	t.Helper()
	a, err := untilServed(t, svc, w.path("new", tag), time.Now())
	must(t, err)
	a.mustServe(t, w.one)
}

// untilServed pulls until the answer is 200, and fails if that takes longer
// than recovery since the fault's end.
func untilServed(t *testing.T, svc *service, path string, healed time.Time) (answer, error) {
	for tries := 1; ; tries++ {
		a, err := svc.try(t.Context(), http.MethodGet, path)
		took := time.Since(healed)
		if err == nil && a.status == http.StatusOK && took <= recovery {
			return a, nil
		}
		if err != nil || took > recovery {
			return a, fmt.Errorf("%v after the end of the fault and %d tries: status %d, %v: %s", took, tries, a.status, err, a.body)
		}
	}
}

// flaps has new tags pulled while a server comes and goes.
func (w *faultWorld) flaps(t *testing.T, d dependency) {
	svc, link := w.service(t, d, limits(faultLimit)...)
	if d.late {
		svc.get(t, "app", "remembered").mustServe(t, w.one)
	}
	must(t, link.Flap(150*time.Millisecond))
	served := 0
	n := 2
	for began := time.Now(); time.Since(began) < time.Second || served == 0; n++ {
		if time.Since(began) > patience {
			t.Fatalf("none of %d pulls was served", n-2)
		}
		a := svc.get(t, "app", w.fresh(t, n))
		if a.status == http.StatusOK {
			served++
			continue
		}
		if wrong := w.wrong(a, http.StatusServiceUnavailable, d.ofLog); wrong != "" {
			t.Error(wrong)
		}
	}
	w.recovers(t, svc, link, w.fresh(t, 0))
	for i := 2; i < n; i++ {
		w.served(t, svc, fmt.Sprint(strings.TrimSuffix(w.fresh(t, 0), "0"), i))
	}
}

// late has everything pulled while a server's answers are late, and not too
// late.
func (w *faultWorld) late(t *testing.T, d dependency) {
	const limit = 4 * faultLimit // of which three quarters are for a busy machine
	svc, link := w.service(t, d, limits(limit)...)
	if d.late {
		svc.get(t, "app", "remembered").mustServe(t, w.one)
	}
	by := limit / 4
	if d.name == "tuf" { // five files, in one look-up
		by /= 10
	}
	must(t, link.Slow(by))
	fresh := w.fresh(t, 0)
	var pulls sync.WaitGroup
	for _, pull := range faultPulls {
		pulls.Go(func() {
			a, err := svc.try(t.Context(), http.MethodGet, w.path(pull, fresh))
			if wrong := w.wrong(a, http.StatusOK, d.ofLog); err != nil || wrong != "" {
				t.Errorf("%s: %v, %s", pull, err, wrong)
			}
		})
	}
	pulls.Wait()
}
