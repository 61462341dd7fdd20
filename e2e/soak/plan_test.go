package soak

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

var shape = Shape{Pulls: 5000, PullsPerTag: 20, Instances: 3, Digests: 3, KillEvery: 100, Services: []string{"log", "registry"}}

// TestPlan checks that a seed gives a plan, another one another, and what is
// in a plan.
func TestPlan(t *testing.T) {
	p := NewPlan(1, shape)
	if !reflect.DeepEqual(p, NewPlan(1, shape)) {
		t.Error("one seed gives two plans")
	}
	if reflect.DeepEqual(p, NewPlan(2, shape)) {
		t.Error("two seeds give one plan")
	}
	if len(p.First) != 250 {
		t.Errorf("%d tags, want 250", len(p.First))
	}
	names := make(map[string]int)
	for _, s := range p.First {
		names[s.Tag] = s.Digest
	}
	counts := make(map[Kind]int)
	methods, instances, services := make(map[string]int), make(map[int]int), make(map[string]int)
	var waits time.Duration
	for _, s := range p.Steps {
		counts[s.Kind]++
		switch s.Kind {
		case Pull:
			if _, ok := names[s.Tag]; !ok || s.N != counts[Pull]-1 {
				t.Fatalf("step %+v after %d pulls", s, counts[Pull])
			}
			methods[s.Method]++
			instances[s.Instance]++
			waits += s.Wait
		case Retag:
			if old, ok := names[s.Tag]; !ok || old == s.Digest || s.Digest < 0 || s.Digest >= shape.Digests {
				t.Fatalf("step %+v moves to where the tag was, or nowhere", s)
			}
			names[s.Tag] = s.Digest
		case Kill:
			instances[s.Instance]++
		case Weather:
			services[s.Service]++
		}
	}
	if counts[Pull] != shape.Pulls || counts[Retag] < 500 || counts[Kill] < 25 || counts[Weather] < 100 {
		t.Errorf("steps by kind: %v", counts)
	}
	if len(methods) != 2 || len(instances) != 3 || len(services) != 2 {
		t.Errorf("methods %v, instances %v, services %v", methods, instances, services)
	}
	if waits > time.Minute {
		t.Errorf("%v of waits", waits)
	}
}

// TestFaults checks that a seed gives the nth request its fault, whatever the
// others had, and that there are all kinds of them.
func TestFaults(t *testing.T) {
	const stall = time.Minute
	draw := func(seed uint64, calm int) (all []Fault) {
		f := NewFaults(seed, 1, stall)
		for i := range 2000 {
			if i == calm {
				f.SetRate(1)
			}
			all = append(all, f.Next())
		}
		if f.Count() != 2000-calm {
			t.Errorf("%d faults counted, want %d", f.Count(), 2000-calm)
		}
		return all
	}
	one := draw(1, 0)
	if !slices.Equal(one, draw(1, 0)) || !slices.Equal(one[50:], draw(1, 50)[50:]) || slices.Equal(one, draw(2, 0)) {
		t.Error("the faults are not those of the seed")
	}
	if i := slices.IndexFunc(draw(1, 1000)[:1000], func(f Fault) bool { return f != Fault{} }); i >= 0 {
		t.Errorf("request %d has a fault before there are any", i)
	}
	f := NewFaults(1, 1, stall)
	f.SetRate(1)
	for range 2000 {
		f.Next()
	}
	for _, kind := range []string{"429", "500", "502", "503", "answer lost", "answer slow", "reset", "slow"} {
		if f.counts[kind] < 100 {
			t.Errorf("%d faults of kind %s: %v", f.counts[kind], kind, f)
		}
	}
	if !slices.Contains(one, Fault{Delay: stall}) {
		t.Error("no request stalls")
	}
	f = NewFaults(1, 1, stall)
	f.SetRate(0.1)
	for range 2000 {
		f.Next()
	}
	if n := f.Count(); n < 150 || n > 250 {
		t.Errorf("%d faults of 2000 requests, want about 200", n)
	}
}
