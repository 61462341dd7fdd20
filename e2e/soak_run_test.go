package e2e

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tlogistry/tlogistry/e2e/registry"
	"github.com/tlogistry/tlogistry/e2e/soak"
)

const (
	soakClients = 64
	soakMovers  = 4
	// soakLimit is what the service is given for each of its calls, and
	// soakPatience what clients have. Some faults are longer than either.
	soakLimit    = 2 * time.Second
	soakPatience = 3500 * time.Millisecond
	soakStall    = 3 * time.Second
)

// A soakRun carries out a plan.
type soakRun struct {
	plan     *soak.Plan
	shape    soak.Shape
	recorder *soak.Recorder
	registry *registry.Registry
	digests  []string
	weather  map[string]*weather // by service
	start    func() *service     // for the test's goroutine alone

	slots []*slot
	kills int
}

// A slot is an instance, whatever process runs it at the moment.
type slot struct {
	mu      sync.Mutex
	svc     *service
	name    string        // of the process
	started chan struct{} // closed when the next process has started
	number  int
	process int
}

func newSlot(number int, svc *service) *slot {
	return &slot{svc: svc, number: number, name: fmt.Sprintf("instance %d.0", number), started: make(chan struct{})}
}

// current returns the process that runs the instance, its name, and a channel
// that is closed when the next one does.
func (s *slot) current() (*service, string, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.svc, s.name, s.started
}

func (s *slot) replace(svc *service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process++
	s.svc, s.name = svc, fmt.Sprintf("instance %d.%d", s.number, s.process)
	close(s.started)
	s.started = make(chan struct{})
}

// play carries out the plan and returns when every pull has ended.
func (r *soakRun) play(t *testing.T) {
	t.Helper()
	var g errgroup.Group
	g.SetLimit(soakMovers)
	for _, s := range r.plan.First {
		g.Go(func() error { return r.retag(s) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for i := range r.shape.Instances {
		r.slots = append(r.slots, newSlot(i, r.start()))
	}

	ctx, cancel := context.WithCancel(t.Context())
	crew, ctx := errgroup.WithContext(ctx)
	defer crew.Wait()
	defer cancel()
	q := newSoakQueue(len(r.plan.Steps))
	for range soakClients {
		crew.Go(func() error {
			return each(q.pulls, func(s soak.Step) error { return r.pull(ctx, s, r.slots[s.Instance]) })
		})
	}
	for _, moves := range q.moves {
		crew.Go(func() error { return each(moves, r.retag) })
	}
	crew.Go(func() error { defer q.close(); return r.dispatch(ctx, q) })
	for s := range q.kills { // here, as only a test's own goroutine may start a process
		r.kill(t, s)
	}
	if err := crew.Wait(); err != nil {
		t.Fatal(err)
	}
}

// A soakQueue takes steps to those who carry them out.
type soakQueue struct {
	pulls, kills chan soak.Step
	moves        [soakMovers]chan soak.Step // those of one tag through one of them
}

func newSoakQueue(steps int) *soakQueue {
	q := &soakQueue{pulls: make(chan soak.Step), kills: make(chan soak.Step, steps)}
	for i := range q.moves {
		q.moves[i] = make(chan soak.Step, 1)
	}
	return q
}

func (q *soakQueue) close() {
	close(q.pulls)
	close(q.kills)
	for _, moves := range q.moves {
		close(moves)
	}
}

// each does all steps of a queue, to its end or the first error.
func each(steps <-chan soak.Step, do func(soak.Step) error) error {
	for s := range steps {
		if err := do(s); err != nil {
			return err
		}
	}
	return nil
}

// dispatch begins the steps of the plan in order.
func (r *soakRun) dispatch(ctx context.Context, q *soakQueue) error {
	for _, s := range r.plan.Steps {
		var to chan<- soak.Step
		switch s.Kind {
		case soak.Weather:
			r.weather[s.Service].faults.SetRate(s.Rate)
			continue
		case soak.Kill:
			to = q.kills
		case soak.Retag:
			h := fnv.New32a()
			h.Write([]byte(s.Tag))
			to = q.moves[h.Sum32()%soakMovers]
		case soak.Pull:
			if err := wait(ctx, s.Wait); err != nil {
				return err
			}
			to = q.pulls
		}
		select {
		case to <- s:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *soakRun) retag(s soak.Step) error {
	m := soak.Move{Tag: s.Tag, Digest: r.digests[s.Digest], Start: r.recorder.Now()}
	if err := r.registry.Move("library/app", s.Tag, m.Digest); err != nil {
		return err
	}
	m.End = r.recorder.Now()
	r.recorder.Move(m)
	return nil
}

// kill ends an instance as a power cut does, and starts it again.
func (r *soakRun) kill(t *testing.T, s soak.Step) {
	t.Helper()
	victim := r.slots[s.Instance]
	svc, _, _ := victim.current()
	if err := svc.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-svc.done
	r.kills++
	if err := wait(t.Context(), s.Wait); err != nil {
		t.Fatal(err)
	}
	victim.replace(r.start())
}

// pull makes one pull and writes it down. One that finds nobody to ask waits
// for the next process, as if it had begun then.
func (r *soakRun) pull(ctx context.Context, s soak.Step, at *slot) error {
	for {
		svc, name, next := at.current()
		o, asked := r.ask(ctx, s, svc, name)
		if asked {
			r.recorder.Operation(o)
			return nil
		}
		select {
		case <-next:
		case <-time.After(10 * time.Millisecond): // it was the next one already
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ask makes a pull of a process. It reports whether there was a connection: if
// not, the process has not been asked.
func (r *soakRun) ask(ctx context.Context, s soak.Step, svc *service, name string) (soak.Operation, bool) {
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	ctx, cancel := context.WithTimeout(ctx, soakPatience)
	defer cancel()
	o := soak.Operation{N: s.N, Instance: name, Tag: s.Tag, Method: s.Method, Start: r.recorder.Now()}
	a, err := svc.try(ctx, s.Method, "/v2/app/manifests/"+s.Tag)
	o.End = r.recorder.Now()
	o.Answer(a.status, a.header, []byte(a.body), err)
	return o, connected.Load()
}

// calm ends the faults, waits for those under way, and pulls every tag from
// every instance until it is answered.
func (r *soakRun) calm(t *testing.T) {
	t.Helper()
	for name, w := range r.weather {
		w.faults.SetRate(0)
		within(t, "end of the requests of "+name, func() bool { return w.underway.Load() == 0 })
	}
	var mu sync.Mutex
	var unanswered []string
	n := r.shape.Pulls
	var g errgroup.Group
	g.SetLimit(soakClients)
	for i, first := range r.plan.First {
		for _, at := range r.slots {
			s := soak.Step{N: n, Tag: first.Tag, Method: []string{http.MethodGet, http.MethodHead}[i%2]}
			n++
			g.Go(func() error {
				for range 5 {
					svc, name, _ := at.current()
					o, _ := r.ask(t.Context(), s, svc, name)
					r.recorder.Operation(o)
					if o.Outcome != soak.Unknown {
						return nil
					}
				}
				mu.Lock()
				defer mu.Unlock()
				unanswered = append(unanswered, s.Tag)
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(unanswered) > 0 {
		t.Errorf("without faults, tags are not answered: %v", unanswered)
	}
}
