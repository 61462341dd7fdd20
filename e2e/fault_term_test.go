package e2e

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// drainLimit is how long the service may take to end after SIGTERM.
const drainLimit = 10 * time.Second

// A moment is a place in a first pull at which it can be held.
type moment struct {
	name   string
	fulcio bool // the request held is one to Fulcio, else to Rekor
	is     func(r *http.Request, creates int) bool
	after  bool // it is the answer that is held, not the request
	logged bool // there is a record by then
}

// isCreate and creates tell the requests to Rekor apart.
var moments = []moment{
	{name: "asking for the certificate", fulcio: true, is: func(*http.Request, int) bool { return true }},
	{name: "create sent", is: func(r *http.Request, _ int) bool { return r.URL.Path == createPath }},
	{name: "create done", is: func(r *http.Request, _ int) bool { return r.URL.Path == createPath }, after: true, logged: true},
	{name: "confirming", is: func(r *http.Request, creates int) bool { return r.URL.Path == searchPath && creates > 0 }, logged: true},
}

// A hold stops a request at a moment.
type hold struct {
	moment
	arrived, released, passed chan struct{}
	arrive                    sync.Once
	mu                        sync.Mutex
	creates                   int
}

func newHold(m moment) *hold {
	return &hold{moment: m, arrived: make(chan struct{}), released: make(chan struct{}), passed: make(chan struct{})}
}

// hook holds the first request that comes at the moment until it is released,
// whether its client waits for that or not.
func (h *hold) hook(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
	h.mu.Lock()
	held := h.is(r, h.creates)
	if r.URL.Path == createPath {
		h.creates++
	}
	h.mu.Unlock()
	if !held {
		return false
	}
	first := false
	h.arrive.Do(func() { first = true })
	if !first {
		return false
	}
	defer close(h.passed)
	r = detached(r)
	answer := httptest.NewRecorder()
	if h.after {
		next.ServeHTTP(answer, r)
	}
	close(h.arrived)
	<-h.released
	if !h.after {
		next.ServeHTTP(answer, r)
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	w.Write(answer.Body.Bytes())
	return true
}

// TestFaultTerm ends the service in the middle of a first pull. Either the pull
// is answered and recorded, or it is not answered. What the registry says of
// the tag then changes, and whoever pulls it next is told what was answered, if
// anything was.
func TestFaultTerm(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	var all sync.WaitGroup // at once: draining takes its time
	run := func(name string, f func(t *testing.T)) {
		all.Go(func() { t.Run(name, f) })
	}
	for _, m := range moments {
		run("SIGTERM in time, "+m.name, func(t *testing.T) { w.ends(t, m, syscall.SIGTERM, true) })
		run("SIGTERM, "+m.name, func(t *testing.T) { w.ends(t, m, syscall.SIGTERM, false) })
		run("SIGKILL, "+m.name, func(t *testing.T) { w.ends(t, m, syscall.SIGKILL, false) })
	}
	all.Wait()
}

// ends has a process get a signal at a moment of a first pull, which goes on
// within the process's time to drain, or only after its end.
func (w *rekorWorld) ends(t *testing.T, m moment, signal os.Signal, inTime bool) {
	tag := strings.ToLower(strings.NewReplacer("/", "-", ",", "").Replace(t.Name()))
	w.tag(t, tag, w.one)
	h := newHold(m)
	release := sync.OnceFunc(func() { close(h.released) })
	t.Cleanup(release)
	rekor, fulcio := proxied(t, w.RekorURL), proxied(t, w.FulcioURL)
	if m.fulcio {
		fulcio.Hook(h.hook)
	} else {
		rekor.Hook(h.hook)
	}
	svc := w.direct(t, "REKOR_URL="+rekor.URL, "FULCIO_URL="+fulcio.URL)

	type result struct {
		answer
		err error
	}
	pulled := make(chan result, 1)
	go func() {
		a, err := svc.try(t.Context(), http.MethodGet, "/v2/app/manifests/"+tag)
		pulled <- result{a, err}
	}()
	<-h.arrived
	must(t, svc.cmd.Process.Signal(signal))
	signalled := time.Now()
	if inTime {
		within(t, "refusal", func() bool { return svc.do(t, http.MethodGet, "/v2/").status == http.StatusServiceUnavailable })
		release()
	}
	first := <-pulled
	<-svc.done
	took := time.Since(signalled)
	if code := svc.cmd.ProcessState.ExitCode(); inTime != (code == 0) || took > drainLimit*3/2 {
		t.Errorf("the process ended with %d after %v", code, took)
	}
	if inTime {
		if first.err != nil {
			t.Fatal(first.err)
		}
		first.mustServe(t, w.one)
		if took > drainLimit*7/10 { // after eight seconds it would end all the same
			t.Errorf("the process ended %v after the signal", took)
		}
	} else if first.err == nil {
		t.Errorf("answered with %d: %s", first.status, first.body)
	}

	w.tag(t, tag, w.two)
	second := w.direct(t)
	w.agree(t, second, tag, inTime || m.logged)
	release()
	<-h.passed // a create on its way reaches the log now
	w.agree(t, second, tag, inTime || m.logged)
	w.agree(t, w.direct(t), tag, inTime || m.logged)
	if n := w.records(t, tag, w.two); inTime && n != 0 {
		t.Errorf("%d records of what the tag became", n)
	}
	if n := w.records(t, tag, w.one); (inTime || m.logged) && n != 1 {
		t.Errorf("%d records of what was served", n)
	}
}

// agree pulls a tag that was moved from the first image to the second one.
func (w *rekorWorld) agree(t *testing.T, svc *service, tag string, recorded bool) {
	t.Helper()
	a := svc.get(t, "app", tag)
	if recorded {
		a.mustRefuse(t, w.one, w.two)
	} else {
		a.mustServe(t, w.two)
	}
}
