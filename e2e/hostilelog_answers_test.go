package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/hostilelog"
	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// spareMemory is how much more than when idle the service may take for what is
// hostile, in bytes.
const spareMemory = 64 << 20

// idle returns what the service takes now, and lets its peak begin anew.
func (s *service) idle(t testing.TB) int {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.cmd.Process.Pid), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
	return s.memory(t, "VmRSS")
}

// peak returns the most that the service has taken since it was idle.
func (s *service) peak(t testing.TB) int { return s.memory(t, "VmHWM") }

// memory reads a figure of the process's memory, in bytes. See proc(5).
func (s *service) memory(t testing.TB, name string) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if fields := strings.Fields(line); fields[0] == name+":" {
			n, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatalf("no %s in %s", name, b)
	return 0
}

// TestHostileAnswers answers each of Rekor's calls with what no Rekor answers;
// where the answer has no end, eight tags at once. None is served that needs the
// answer, in a bounded time and a bounded memory; what is known is served, and
// everything is when it is over. Nothing goes where a redirect points.
func TestHostileAnswers(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	var elsewhere atomic.Int32
	canary := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(canary.Close)
	w.tag(t, "known", w.one)
	h := &hostileAnswers{rekorWorld: w, writer: w.direct(t)}
	h.writer.get(t, "app", "known").mustServe(t, w.one)
	t.Run("call", func(t *testing.T) {
		for call, path := range map[string]string{"search": searchPath, "retrieve": retrievePath, "proof": proofPath, "create": createPath} {
			t.Run(call, func(t *testing.T) {
				t.Parallel()
				h.ask(t, call, path, hostilelog.Answers(canary.URL))
			})
		}
	})
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d requests followed a redirect", n)
	}
	w.audit(t).mustPrint(t, 0, w.report(h.asked+1)) // one record of each tag
}

// hostileAnswers is a world in which one instance records tags, and others are
// given the answers of a call.
type hostileAnswers struct {
	*rekorWorld
	writer *service

	mu    sync.Mutex
	asked int // how many tags
}

// ask has an instance of its own get every answer to one call.
func (h *hostileAnswers) ask(t *testing.T, call, path string, answers map[string]hostilelog.Answer) {
	p := proxied(t, h.RekorURL)
	svc := h.direct(t, "REKOR_URL="+p.URL, "REKOR_TIMEOUT="+limit.String())
	svc.get(t, "app", "known").mustServe(t, h.one)
	most := 0
	for _, name := range slices.Sorted(maps.Keys(answers)) {
		t.Run(name, func(t *testing.T) {
			n := 1
			if answers[name].Endless {
				n = 8
			}
			tags := h.tags(t, call, name, n)
			p.Hook(hostilelog.At(path, answers[name].Handler))
			before := svc.idle(t)
			began := time.Now()
			var wg sync.WaitGroup
			for _, tag := range tags {
				wg.Go(func() {
					a, err := svc.try(t.Context(), http.MethodGet, "/v2/app/manifests/"+tag)
					if err != nil || a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
						t.Errorf("%s: status %d, %v, body %s; want 503", tag, a.status, err, a.body)
					}
				})
			}
			wg.Wait()
			took, more := time.Since(began), svc.peak(t)-before
			most = max(most, more)
			if took > 6*limit {
				t.Errorf("the answers took %v", took)
			}
			if more > spareMemory {
				t.Errorf("the service took %d KiB more than before", more>>10)
			}
			t.Logf("%v, %d KiB more", took.Round(time.Millisecond), more>>10)
			svc.get(t, "app", "known").mustServe(t, h.one)
			p.Hook(nil)
			for _, tag := range tags {
				within(t, tag, func() bool { return svc.get(t, "app", tag).status == http.StatusOK })
			}
		})
	}
	t.Logf("at most %d KiB more", most>>10)
}

// tags returns tags that are there, and recorded if the call is not the one
// that records.
func (h *hostileAnswers) tags(t *testing.T, call, name string, n int) []string {
	var tags []string
	for i := range n {
		tag := strings.Join([]string{call, name, strconv.Itoa(i)}, "-")
		h.tag(t, tag, h.one)
		if call != "create" {
			h.writer.get(t, "app", tag).mustServe(t, h.one)
		}
		tags = append(tags, tag)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked += n
	return tags
}

// TestKeysTwice: where an answer names a member twice, the last one counts,
// and is verified as any other.
func TestKeysTwice(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	w.tag(t, "v1", w.one)
	uuid := pulled(t, w.direct(t), "v1", w.one).uuid
	for name, edit := range map[string]func([]byte) []byte{
		"true one last": func(b []byte) []byte { return bytes.Replace(b, []byte(`"body":`), []byte(`"body":"e30=","body":`), 1) },
		"false one last": func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"verification":`), []byte(`"body":"e30=","verification":`), 1)
		},
		"other case": func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"verification":`), []byte(`"BODY":"e30=","verification":`), 1)
		},
		"another index": func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"verification":`), []byte(`"logIndex":7,"verification":`), 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w.rekor.Hook(rewriting(retrievePath, http.StatusOK, edit))
			a := w.behind(t).get(t, "app", "v1")
			if name == "true one last" {
				a.mustServe(t, w.one)
				a.mustBeRecord(t, uuid)
			} else {
				a.mustBeUnavailable(t)
			}
		})
	}
	w.mustHoldOnce(t, "v1")
}
