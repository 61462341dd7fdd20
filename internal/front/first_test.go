package front_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/internal/logtest"
)

func arrived(t *testing.T, g *logtest.Gate, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := g.Arrived(ctx, n); err != nil {
		t.Fatalf("fewer than %d calls: %v", n, err)
	}
}

// flip makes every tag of the registry move between two manifests, one of them
// for each request.
func flip(o *origin) {
	heads, _ := image("heads")
	tails, _ := image("tails")
	var mu sync.Mutex
	up := map[string]bool{}
	o.answers(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "/manifests/") {
			return
		}
		mu.Lock()
		up[r.URL.Path] = !up[r.URL.Path]
		manifest := tails
		if up[r.URL.Path] {
			manifest = heads
		}
		mu.Unlock()
		w.Header().Set("Content-Type", manifestType)
		w.Header().Set("Docker-Content-Digest", digestOf(manifest))
		fmt.Fprint(w, manifest)
	})
}

// A tally counts answers to a tag.
type tally struct {
	mu      sync.Mutex
	digests map[string]int
	first   int
	refused int
	errors  []string
}

func newTally() *tally { return &tally{digests: map[string]int{}} }

func (y *tally) add(a answer, err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	switch {
	case err != nil:
		y.errors = append(y.errors, err.Error())
	case a.status == http.StatusOK:
		y.digests[a.header.Get("Docker-Content-Digest")]++
		if a.header.Get("Tlog-First-Seen") == "true" {
			y.first++
		}
		if a.header.Get("Tlog-Uuid") == "" {
			y.errors = append(y.errors, "served without a record")
		}
	case a.status == http.StatusForbidden:
		y.refused++
	default:
		y.errors = append(y.errors, fmt.Sprint(a))
	}
}

// Fifty clients pull a tag that nobody has seen and that moves with every
// request. The first two answers of the registry differ for certain: each of
// two handlers in one process, with one log, gets one of them.
func TestFirstPullOfMany(t *testing.T) {
	for _, always := range []bool{false, true} {
		t.Run(fmt.Sprintf("every Add writes=%v", always), func(t *testing.T) {
			a := newSite(t, setup{})
			if always {
				a.log.WriteAlways()
			}
			b := newSite(t, setup{origin: a.origin, store: a.store, log: a.log})
			flip(a.origin)
			gate := a.log.Hold(logtest.Lookup)
			y := newTally()
			var wg sync.WaitGroup
			const n = 50
			for i := range n {
				s, method := a, "GET"
				if i%2 == 1 {
					s = b
				}
				if i%4 > 1 {
					method = "HEAD"
				}
				wg.Go(func() { y.add(s.send(t.Context(), method, appPath)) })
				if i < 2 {
					a.origin.saw(t, "GET /v2/app/manifests/1.0", i+1)
				}
			}
			arrived(t, gate, n)
			gate.Release()
			wg.Wait()
			if len(y.errors) > 0 {
				t.Fatalf("%d errors, the first: %s", len(y.errors), y.errors[0])
			}
			if len(y.digests) != 1 || y.first == 0 || y.refused == 0 {
				t.Errorf("digests %v, %d of them first, %d refused; want one digest, and both digests seen", y.digests, y.first, y.refused)
			}
			if rec := a.store.Entries(appRef)[0]; y.digests[rec.Digest] == 0 {
				t.Errorf("served %v, recorded %s", y.digests, rec.Digest)
			}
			for _, line := range append(a.lines.take(), b.lines.take()...) {
				if strings.Contains(line, `"verdict":"moved"`) && strings.Contains(line, `"firstSeen":true`) {
					t.Fatalf("a refused pull made the record: %s", line)
				}
			}
			if written := len(a.store.Entries(appRef)); !always && written != 1 {
				t.Errorf("%d records were made, want 1", written)
			}
		})
	}
}

// Two instances see a tag first at the same moment, each another digest. The
// one whose record has the lower index serves, the other refuses and says why.
func TestFirstPullOfTwoInstances(t *testing.T) {
	a := newSite(t, setup{})
	b := newSite(t, setup{origin: a.origin, store: a.store})
	heads, headsDigest := image("heads")
	tails, tailsDigest := image("tails")
	var lookups []*logtest.Gate
	answers := []chan answer{make(chan answer, 1), make(chan answer, 1)}
	for i, s := range []*site{a, b} {
		s.origin.push(t, "app", "1.0", []string{heads, tails}[i])
		lookups = append(lookups, s.log.Hold(logtest.Lookup))
		go func() { answers[i] <- s.do("GET", appPath) }()
		arrived(t, lookups[i], 1)
		s.origin.saw(t, "GET /v2/app/manifests/1.0", i+1)
	}
	a.store.Hide()
	for _, i := range []int{1, 0} { // b writes first
		confirm := []*site{a, b}[i].log.Hold(logtest.Confirm)
		lookups[i].Release()
		arrived(t, confirm, 1)
		confirm.Release()
	}
	all := a.store.Entries(appRef)
	if len(all) != 2 || all[0].Digest != tailsDigest || all[1].Digest != headsDigest {
		t.Fatalf("entries %v", all)
	}
	a.store.Show(all[1].UUID) // out of order
	select {
	case got := <-answers[0]:
		t.Errorf("answered while an earlier record may still show: %v", got)
	case got := <-answers[1]:
		t.Errorf("answered before its own record shows: %v", got)
	default:
	}
	a.store.ShowAll()
	check(t, "GET", <-answers[0], moved(appRef, headsDigest, all[0]))
	check(t, "GET", <-answers[1], served(tails, all[0]).with("Tlog-First-Seen", "true"))
}

// Another instance was first with the same digest: served, by its record, and
// not as seen first.
func TestFirstPullLostToTheSameDigest(t *testing.T) {
	s := newSite(t, setup{})
	s.log.WriteAlways()
	app, digest := image("app")
	s.origin.push(t, "app", "1.0", app)
	gate := s.log.Hold(logtest.Lookup)
	got := make(chan answer)
	go func() { got <- s.do("GET", appPath) }()
	arrived(t, gate, 1)
	rec := s.store.Record(appRef, digest)
	gate.Release()
	check(t, "GET", <-got, served(app, rec))
	if n := len(s.store.Entries(appRef)); n != 2 {
		t.Errorf("%d entries, want 2", n)
	}
}

// The promise, on a log that lags and shows entries in no order: of all
// answers with 200 to a tag, on whichever instance, one digest. Nobody has seen
// any of the tags when all are pulled at once, and a second wave meets records
// that are about to show.
func TestOneDigestPerTag(t *testing.T) {
	const (
		instances = 3
		tags      = 40
		pulls     = 3 // of each tag on each instance
	)
	store, origin := logtest.New(42), newOrigin(t)
	flip(origin)
	store.Lag(20 * time.Millisecond)
	var sites []*site
	var gates []*logtest.Gate
	for i := range instances {
		s := newSite(t, setup{origin: origin, store: store})
		gates = append(gates, s.log.Hold(logtest.Lookup))
		if i > 0 {
			s.log.WriteAlways()
		}
		sites = append(sites, s)
	}
	tallies := map[string]*tally{}
	var wg sync.WaitGroup
	wave := func() {
		for i := range tags {
			y := tallies[fmt.Sprintf("registry.test/app:%d", i)]
			for range pulls {
				for _, s := range sites {
					wg.Go(func() { y.add(s.send(t.Context(), "GET", fmt.Sprintf("/v2/registry.test/app/manifests/%d", i))) })
				}
			}
		}
	}
	for i := range tags {
		tallies[fmt.Sprintf("registry.test/app:%d", i)] = newTally()
	}
	wave()
	for _, g := range gates {
		arrived(t, g, tags*pulls)
	}
	for _, g := range gates {
		g.Release()
	}
	wave()
	wg.Wait()
	several := 0
	for ref, y := range tallies {
		if len(y.errors) > 0 {
			t.Errorf("%s: %s", ref, y.errors[0])
		}
		all := store.Entries(ref)
		if len(all) == 0 {
			t.Errorf("%s was not recorded", ref)
			continue
		}
		if len(y.digests) > 1 || len(y.digests) == 1 && y.digests[all[0].Digest] == 0 {
			t.Errorf("%s: served %v, recorded %s first", ref, y.digests, all[0].Digest)
		}
		for _, e := range all {
			if e.Digest != all[0].Digest {
				several++
				break
			}
		}
	}
	if several == 0 {
		t.Error("no tag was recorded with two digests: the test shows nothing")
	}
	t.Logf("%d of %d tags were recorded with two digests", several, tags)
}

// A client that goes away is no failure of the service, and what it began in
// the log does not come undone.
func TestClientGoesAway(t *testing.T) {
	s := newSite(t, setup{})
	app, digest := image("app")
	s.origin.push(t, "app", "1.0", app)
	gate := s.log.Hold(logtest.Lookup)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := s.send(ctx, "GET", appPath)
		done <- err
	}()
	arrived(t, gate, 1)
	cancel()
	if err := <-done; err == nil {
		t.Fatal("answered")
	}
	line := s.lines.wait(t, 1)[0]
	for _, part := range []string{`"severity":"WARNING"`, `"status":499`, `"verdict":"gone"`, `context canceled`} {
		if !strings.Contains(line, part) {
			t.Errorf("the line lacks %s:\n%s", part, line)
		}
	}
	gate.Release()
	if got := s.do("GET", appPath); got.header.Get("Docker-Content-Digest") != digest {
		t.Errorf("then: %v", got)
	}
}

// A request whose context has ended is answered as one that the log kept from
// being served: somebody may still read it.
func TestContextEnded(t *testing.T) {
	app, _ := image("app")
	store, origin := logtest.New(1), newOrigin(t)
	origin.push(t, "app", "1.0", app)
	var handler http.Handler
	newSite(t, setup{origin: origin, store: store, start: func(h http.Handler) *httptest.Server {
		handler = h
		return httptest.NewServer(h)
	}})
	for _, end := range []func(context.Context) (context.Context, context.CancelFunc){
		func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithCancel(ctx) },
		func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, 0) },
	} {
		ctx, cancel := end(t.Context())
		cancel()
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", appPath, nil))
		if w.Code != http.StatusServiceUnavailable && w.Code != http.StatusGatewayTimeout || strings.Contains(w.Body.String(), app) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if n := len(store.Entries(appRef)); n != 0 {
		t.Errorf("%d records were made", n)
	}
}
