package soak

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

// A Kind says what a step does.
type Kind int

// The kinds of steps.
const (
	Pull    Kind = iota // ask Instance for Tag with Method
	Retag               // make Tag name Digest at the registry
	Kill                // kill Instance, and start it again after Wait
	Weather             // let Service fail at Rate from now on
)

// A Step is a part of a plan. Steps begin in order, each whether those before
// it have ended or not; only those of one tag's moves wait for each other.
// Wait is before a pull, and for a kill the time that the instance is down.
type Step struct {
	Kind     Kind
	N        int // of a pull: its number
	Wait     time.Duration
	Instance int
	Tag      string
	Method   string
	Digest   int
	Service  string
	Rate     float64 // faults per request
}

// A Shape says what plans are drawn. All of it must be above zero.
type Shape struct {
	Pulls       int
	PullsPerTag int // on average
	Instances   int
	Digests     int
	KillEvery   int      // pulls, on average
	Services    []string // whose weather changes
}

const (
	young        = 6  // tags that are pulled and moved most
	weatherEvery = 25 // pulls, on average
)

// A Plan is what a run does. The same seed and shape give the same plan.
type Plan struct {
	First []Step // the moves that make the tags, to be made before all steps
	Steps []Step
}

// NewPlan draws a plan.
//
// Tags are opened one after the other, each by a burst: pulls of one instance
// after the other, between which the tag mostly moves, so that they race to
// record different digests. Pulls and moves of the newest tags and of all
// others follow. A burst's pulls are a few tens of milliseconds apart, so that
// they fall before, into and after the first one's write.
func NewPlan(seed uint64, s Shape) *Plan {
	p := &planner{random: rand.New(rand.NewPCG(seed, 0)), shape: s, plan: new(Plan), names: make(map[string]int)}
	for p.pulls < s.Pulls {
		switch {
		case p.pulls >= len(p.plan.First)*s.PullsPerTag:
			p.burst()
		case p.oneIn(s.KillEvery):
			p.add(Step{Kind: Kill, Instance: p.instance(), Wait: p.upTo(300 * time.Millisecond)})
			p.pull(p.tag(), p.instance(), p.upTo(3*time.Millisecond))
		case p.oneIn(weatherEvery):
			p.add(Step{Kind: Weather, Service: s.Services[p.random.IntN(len(s.Services))], Rate: p.rate()})
			p.pull(p.tag(), p.instance(), p.upTo(3*time.Millisecond))
		case p.oneIn(12):
			p.retag(p.tag())
			p.pull(p.tag(), p.instance(), 0)
		default:
			p.pull(p.tag(), p.instance(), p.upTo(3*time.Millisecond))
		}
	}
	return p.plan
}

type planner struct {
	random *rand.Rand
	shape  Shape
	plan   *Plan
	pulls  int
	names  map[string]int // the digest that each tag names
}

func (p *planner) add(s Step) { p.plan.Steps = append(p.plan.Steps, s) }

func (p *planner) oneIn(n int) bool { return p.random.IntN(n) == 0 }

func (p *planner) upTo(d time.Duration) time.Duration {
	return time.Duration(p.random.Int64N(int64(d) + 1)).Round(time.Millisecond)
}

func (p *planner) instance() int { return p.random.IntN(p.shape.Instances) }

// burst opens a tag.
func (p *planner) burst() {
	tag := fmt.Sprintf("tag-%04d", len(p.plan.First))
	p.names[tag] = p.random.IntN(p.shape.Digests)
	p.plan.First = append(p.plan.First, Step{Kind: Retag, Tag: tag, Digest: p.names[tag]})
	instance := p.instance()
	p.pull(tag, instance, p.upTo(3*time.Millisecond))
	for range 2 + p.random.IntN(3) {
		if !p.oneIn(3) {
			p.retag(tag)
		}
		instance = (instance + 1) % p.shape.Instances
		p.pull(tag, instance, p.upTo(40*time.Millisecond))
	}
}

func (p *planner) pull(tag string, instance int, wait time.Duration) {
	if p.pulls == p.shape.Pulls {
		return
	}
	method := http.MethodHead
	if p.oneIn(2) {
		method = http.MethodGet
	}
	p.add(Step{Kind: Pull, N: p.pulls, Wait: wait, Instance: instance, Tag: tag, Method: method})
	p.pulls++
}

// retag makes a tag name another digest than it does.
func (p *planner) retag(tag string) {
	if p.shape.Digests > 1 {
		p.names[tag] = (p.names[tag] + 1 + p.random.IntN(p.shape.Digests-1)) % p.shape.Digests
	}
	p.add(Step{Kind: Retag, Tag: tag, Digest: p.names[tag]})
}

// tag draws one of the tags that are open, half of the time a young one.
func (p *planner) tag() string {
	open := len(p.plan.First)
	from := 0
	if p.oneIn(2) {
		from = max(0, open-young)
	}
	return p.plan.First[from+p.random.IntN(open-from)].Tag
}

// rate draws how bad the weather is.
func (p *planner) rate() float64 {
	switch n := p.random.IntN(20); {
	case n < 11:
		return 0.02
	case n < 17:
		return 0.15
	}
	return 0.6
}
