package e2e

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/fault"
	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

const (
	leakClients = 64
	leakLimit   = time.Second // of the service's calls
	leakWarm    = 2 * time.Second
	// leakMemory is how much more memory a process may have after the faults
	// than after the same load without them. A leak of 1 KiB with each request
	// shows within a minute.
	leakMemory = 32 << 20
)

// leakParameters returns how long faults are injected, and the seed of what is
// random.
func leakParameters(t *testing.T) (d time.Duration, seed uint64) {
	t.Helper()
	d, seed = 8*time.Second, 1+rand.Uint64N(1<<32)
	var err error
	if text := os.Getenv("FAULT_TIME"); text != "" {
		if d, err = time.ParseDuration(text); err != nil {
			t.Fatalf("FAULT_TIME: %v", err)
		}
	}
	if text := os.Getenv("FAULT_SEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("FAULT_SEED: %v", err)
		}
	}
	t.Logf("run again with FAULT_TIME=%v FAULT_SEED=%d", d, seed)
	return d, seed
}

// TestFaultLeaks has 64 clients pull all kinds of things while the connections
// to everything break at random. Afterwards the process holds on to nothing: no
// file descriptors, no memory, no goroutines.
func TestFaultLeaks(t *testing.T) {
	d, seed := leakParameters(t)
	w := newLeakWorld(t)
	svc := w.start(t)
	w.pull(t, svc, seed, leakWarm)
	before := w.rest(t, svc, math.MaxInt)

	var storm sync.WaitGroup
	over := make(chan struct{})
	storm.Go(func() { w.storm(t, rand.New(rand.NewPCG(seed, leakClients)), over) })
	w.pull(t, svc, seed+1, d)
	close(over)
	storm.Wait()
	for _, l := range w.links {
		must(t, l.Heal())
	}
	w.knownAreServed(t, svc)

	after := w.rest(t, svc, before.Descriptors)
	t.Logf("answers %v, at rest %v before the faults, %v after", w.counts, before, after)
	if after.Descriptors > before.Descriptors {
		t.Errorf("%d descriptors are open, %d before the faults", after.Descriptors, before.Descriptors)
	}
	if after.RSS > before.RSS+leakMemory {
		t.Errorf("the process has %v, before the faults %v", after, before)
	}
	noneLeft(t, svc)
}

// noneLeft ends a process that has no requests and no connections. It must have
// had no goroutines but those of Go itself and of its main function.
func noneLeft(t *testing.T, svc *service) {
	t.Helper()
	must(t, svc.cmd.Process.Signal(syscall.SIGQUIT))
	<-svc.done
	found := fault.Goroutines(svc.logs.String())
	if found[""] != 1 {
		t.Fatalf("the process has not printed its goroutines: %v", found)
	}
	for start, n := range found {
		switch pkg, _, _ := strings.Cut(start, "."); pkg {
		case "", "runtime", "os/signal":
		case "main":
			if n > 1 {
				t.Errorf("%d goroutines were started by %s", n, start)
			}
		default:
			t.Errorf("%d goroutines are left that %s has started", n, start)
		}
	}
}

// A leakWorld is a rekorWorld behind links, and what was pulled there.
type leakWorld struct {
	*rekorWorld
	links []*fault.Link // to registry, Rekor, Fulcio, metadata server
	env   []string
	blobs []string // digests

	mu     sync.Mutex
	n      int             // of tags made
	served map[string]bool // tags
	counts map[int]int     // answers by status, 0 for broken off
}

func newLeakWorld(t *testing.T) *leakWorld {
	t.Helper()
	w := &leakWorld{rekorWorld: newRekorWorld(t, sigstore.Options{}), served: make(map[string]bool), counts: make(map[int]int)}
	for _, target := range []string{w.registry.URL(), w.RekorURL, w.FulcioURL, w.MetadataHost} {
		w.links = append(w.links, linked(t, target))
	}
	w.env = []string{"GOTRACEBACK=all", "UPSTREAMS=docker.io=" + w.links[0].URL, "REKOR_URL=" + w.links[1].URL, "FULCIO_URL=" + w.links[2].URL,
		"GCE_METADATA_HOST=" + w.links[3].Host, "UPSTREAM_TIMEOUT=" + leakLimit.String(), "REKOR_TIMEOUT=" + leakLimit.String(), "FULCIO_TIMEOUT=" + leakLimit.String()}
	direct := w.direct(t)
	w.blobs = layers(t, direct.get(t, "app", w.one).body)
	w.tag(t, "known", w.one)
	w.tag(t, "moved", w.one)
	direct.get(t, "app", "known").mustServe(t, w.one)
	direct.get(t, "app", "moved").mustServe(t, w.one)
	w.tag(t, "moved", w.two)
	direct.stop(t)
	return w
}

func (w *leakWorld) start(t *testing.T) *service {
	t.Helper()
	return w.direct(t, w.env...)
}

// storm breaks one link after the other, some at the same time, until it is
// over.
func (w *leakWorld) storm(t *testing.T, random *rand.Rand, over <-chan struct{}) {
	breaks := []func(*fault.Link) error{
		(*fault.Link).Heal, (*fault.Link).Heal, (*fault.Link).Heal,
		(*fault.Link).Refuse, (*fault.Link).Swallow, (*fault.Link).Mute, (*fault.Link).Reset,
		func(l *fault.Link) error { return l.Cut(1 + random.IntN(100_000)) },
		func(l *fault.Link) error { return l.Slow(time.Duration(random.Int64N(int64(2 * leakLimit)))) },
		func(l *fault.Link) error { return l.Flap(20 * time.Millisecond) },
	}
	for {
		select {
		case <-over:
			return
		case <-time.After(time.Duration(random.Int64N(int64(400 * time.Millisecond)))):
		}
		if err := breaks[random.IntN(len(breaks))](w.links[random.IntN(len(w.links))]); err != nil {
			t.Error(err)
		}
	}
}

// pull has all clients pull at random for a while.
func (w *leakWorld) pull(t *testing.T, svc *service, seed uint64, d time.Duration) {
	t.Helper()
	until := time.Now().Add(d)
	var clients sync.WaitGroup
	for n := range leakClients {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(n)))
			for time.Now().Before(until) {
				if err := w.once(t, svc, random); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Duration(random.Int64N(int64(60 * time.Millisecond))))
			}
		})
	}
	clients.Wait()
}

// rest ends all connections and returns what the process holds then. It waits
// for a process that holds more descriptors than it should: calls that nobody
// waits for any more end within their limits.
func (w *leakWorld) rest(t *testing.T, svc *service, should int) fault.Holdings {
	t.Helper()
	noRedirect.CloseIdleConnections()
	for _, l := range w.links {
		must(t, l.Refuse())
	}
	time.Sleep(2 * leakLimit)
	h, err := fault.HoldingsOf(svc.cmd.Process.Pid)
	for deadline := time.Now().Add(10 * leakLimit); h.Descriptors > should && time.Now().Before(deadline); {
		time.Sleep(leakLimit / 10)
		h, err = fault.HoldingsOf(svc.cmd.Process.Pid)
	}
	must(t, err)
	for _, l := range w.links {
		must(t, l.Heal())
	}
	return h
}

// knownAreServed pulls every tag that was served, and looks for second records.
func (w *leakWorld) knownAreServed(t *testing.T, svc *service) {
	t.Helper()
	for _, tag := range slices.Sorted(maps.Keys(w.served)) {
		svc.get(t, "app", tag).mustServe(t, w.one)
	}
	w.mustHoldFew(t)
}

// fresh makes a tag that nobody has seen.
func (w *leakWorld) fresh() (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
	tag := fmt.Sprint("fresh-", w.n)
	return tag, w.registry.Move("library/app", tag, w.one)
}

// count notes an answer to a pull of a tag, if any.
func (w *leakWorld) count(status int, tag string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[status]++
	if tag != "" && status == http.StatusOK {
		w.served[tag] = true
	}
}
