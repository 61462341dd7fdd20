package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/registry"
	"github.com/tlogistry/tlogistry/e2e/sigstore"
	"github.com/tlogistry/tlogistry/e2e/soak"
)

const (
	// The index lags by less than the settle time: more would break what the
	// promise assumes of Rekor.
	soakSettle = 500 * time.Millisecond
	soakLag    = 200 * time.Millisecond
)

var soakSeed = flag.Uint64("seed", 0, "seed of the soak tests; 0 means $SOAK_SEED, or else a new one")

// soakParameters returns the seed and the number of operations, n where
// SOAK_OPS is not set.
func soakParameters(t *testing.T, n int) (uint64, int) {
	t.Helper()
	seed := *soakSeed
	var err error
	if text := os.Getenv("SOAK_SEED"); seed == 0 && text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SOAK_SEED: %v", err)
		}
	}
	if seed == 0 {
		seed = 1 + rand.Uint64N(1<<32)
	}
	if text := os.Getenv("SOAK_OPS"); text != "" {
		if n, err = strconv.Atoi(text); err != nil || n < 1 {
			t.Fatalf("SOAK_OPS=%s: want a number above zero", text)
		}
	}
	t.Logf("seed %d, %d operations: run again with SOAK_SEED=%d SOAK_OPS=%d", seed, n, seed, n)
	return seed, n
}

// TestSoak has clients pull from three instances, on a Rekor whose index lags,
// of a registry whose tags move, while instances are killed and everything
// that they ask fails at random. What the clients saw and what the log then
// holds must keep the promise.
func TestSoak(t *testing.T) {
	seed, n := soakParameters(t, 2000)
	w := newRekorWorld(t, sigstore.Options{})
	r := newSoakRun(t, seed, w.registry, soak.Shape{
		Pulls: n, PullsPerTag: 30, Instances: 3, KillEvery: 150,
		Services: []string{"rekor", "fulcio", "metadata", "registry"},
	})
	fulcio, metadata, hub := proxied(t, w.FulcioURL), proxied(t, w.MetadataHost), proxied(t, w.registry.URL())
	w.rekor.Hook(r.weather["rekor"].hook(sigstore.LaggingIndex(seed, soakLag)))
	fulcio.Hook(r.weather["fulcio"].hook(nil))
	metadata.Hook(r.weather["metadata"].hook(nil))
	hub.Hook(r.weather["registry"].hook(nil))
	r.start = func() *service {
		return w.behind(t, "FULCIO_URL="+fulcio.URL, "GCE_METADATA_HOST="+metadata.Host, "UPSTREAMS=docker.io="+hub.URL,
			"REKOR_SETTLE="+soakSettle.String(), "REKOR_TIMEOUT="+soakLimit.String(),
			"FULCIO_TIMEOUT="+soakLimit.String(), "UPSTREAM_TIMEOUT="+soakLimit.String())
	}
	r.play(t)
	r.slots = append(r.slots, newSlot(len(r.slots), r.start())) // one that remembers nothing
	r.calm(t)
	h := r.recorder.History()
	h.Log = readRekor(t, w, r)
	r.judge(t, h)
}

// TestSoakLocal is TestSoak for the embedded log: one instance, which is killed
// more often and finds its directory as it left it.
func TestSoakLocal(t *testing.T) {
	seed, n := soakParameters(t, 800)
	hub := startRegistry(t, registry.Options{})
	r := newSoakRun(t, seed, hub, soak.Shape{
		Pulls: n, PullsPerTag: 8, Instances: 1, KillEvery: 60, Services: []string{"registry"},
	})
	proxy := proxied(t, hub.URL())
	proxy.Hook(r.weather["registry"].hook(nil))
	dir := filepath.Join(t.TempDir(), "log")
	r.start = func() *service {
		return start(t, "TLOG=local", "TLOG_DIR="+dir, "UPSTREAMS=docker.io="+proxy.URL, "UPSTREAM_TIMEOUT="+soakLimit.String())
	}
	r.play(t)
	r.kill(t, soak.Step{}) // for a process that remembers nothing
	r.calm(t)
	h := r.recorder.History()
	svc, _, _ := r.slots[0].current()
	h.Log = readTiles(t, svc)
	r.judge(t, h)
	svc.stop(t)
	if records, conflicts := auditLocal(t, dir); records != len(h.Log) || conflicts != 0 {
		t.Errorf("audit finds %d records and %d conflicts; the log has %d records", records, conflicts, len(h.Log))
	}
}

func newSoakRun(t *testing.T, seed uint64, hub *registry.Registry, s soak.Shape) *soakRun {
	t.Helper()
	r := &soakRun{registry: hub, recorder: soak.NewRecorder(), weather: make(map[string]*weather)}
	for _, name := range []string{"one", "two", "three"} {
		r.digests = append(r.digests, push(t, hub, "library/app", name, registry.Variant{Name: name, Single: true}))
	}
	s.Digests = len(r.digests)
	r.shape, r.plan = s, soak.NewPlan(seed, s)
	for i, name := range s.Services {
		r.weather[name] = &weather{faults: soak.NewFaults(seed, uint64(1+i), soakStall)}
	}
	return r
}

// judge fails the test unless the history keeps the promise, and prints what
// happened.
func (r *soakRun) judge(t *testing.T, h soak.History) {
	t.Helper()
	h.Reach = soakLimit
	began := time.Now()
	report := soak.Check(h)
	var faults []string
	total := 0
	for name, w := range r.weather {
		total += w.faults.Count()
		faults = append(faults, fmt.Sprintf("%s: %v", name, w.faults))
	}
	slices.Sort(faults)
	t.Logf("%v\n%d moves, %d kills, %d faults (%s)\nran %v, checked in %v", report, len(h.Moves), r.kills, total,
		strings.Join(faults, "; "), r.recorder.Now().Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	for i, v := range report.Violations {
		if i == 20 {
			t.Errorf("and %d more", len(report.Violations)-i)
			break
		}
		t.Errorf("%v", v)
	}
	if r.shape.Pulls > 10*r.shape.KillEvery && (report.Served < r.shape.Pulls/5 || report.Refused < r.shape.Pulls/10 ||
		total == 0 || r.kills == 0 || r.shape.Instances > 1 && report.Contested == 0) {
		t.Error("there was too little to judge: the test shows little")
	}
}
