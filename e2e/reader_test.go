package e2e

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// A lateLog answers creates late, as for load. What is made through it shows in
// the index at once, but for the first entry: that shows a while after it was made.
type lateLog struct {
	answers, shows time.Duration

	mu    sync.Mutex
	first string // ID
	made  time.Time
}

func (l *lateLog) hides(id any) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return id == l.first && time.Since(l.made) < l.shows
}

// hook is what a proxy of one instance does. It sends the ID of each entry made.
func (l *lateLog) hook(t *testing.T, made chan<- string) sigstore.Hook {
	hide := rewriting(searchPath, http.StatusOK, func(body []byte) []byte {
		return editAnswer(t, body, func(v any) any { return slices.DeleteFunc(v.([]any), l.hides) })
	})
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		if r.Method != http.MethodPost || r.URL.Path != createPath {
			return hide(w, r, next)
		}
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, detached(r))
		var entries map[string]any
		if err := json.Unmarshal(answer.Body.Bytes(), &entries); err != nil {
			t.Error(err)
		}
		for id := range entries {
			l.mu.Lock()
			if l.first == "" {
				l.first, l.made = id, time.Now()
			}
			l.mu.Unlock()
			made <- id
		}
		time.Sleep(l.answers)
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		w.Write(answer.Body.Bytes())
		return true
	}
}

// TestReaderDuringWrite: A records a tag, and B records it too, before A's entry
// shows. Who asks B in the meantime, however long that is, or a third instance,
// whose index has B's entry alone, is told what B will tell when it is done.
func TestReaderDuringWrite(t *testing.T) {
	t.Run("another instance", func(t *testing.T) {
		readDuringWrite(t, &lateLog{answers: 5 * time.Second, shows: 4 * time.Second}, true)
	})
	// Longer than a record is fresh: only B knows that it is writing.
	t.Run("the same instance", func(t *testing.T) {
		readDuringWrite(t, &lateLog{answers: 8 * time.Second, shows: 7 * time.Second}, false)
	})
}

func readDuringWrite(t *testing.T, l *lateLog, third bool) {
	w := newRekorWorld(t, sigstore.Options{})
	madeA, madeB := make(chan string, 1), make(chan string, 1)
	var instances []*service
	for _, made := range []chan<- string{madeA, madeB, make(chan string, 1)} {
		p := proxied(t, w.RekorURL)
		p.Hook(l.hook(t, made))
		instances = append(instances, w.direct(t, "REKOR_URL="+p.URL, "REKOR_SETTLE=250ms"))
	}
	a, b, c := instances[0], instances[1], instances[2]
	var served sync.Map
	var pulls sync.WaitGroup
	defer pulls.Wait()
	pull := func(who string, s *service) (ended chan struct{}) {
		ended = make(chan struct{})
		pulls.Go(func() {
			defer close(ended)
			got, err := s.try(t.Context(), http.MethodGet, "/v2/app/manifests/v1")
			digest := got.header.Get("Docker-Content-Digest")
			t.Logf("%s: %d %q %v", who, got.status, digest, err)
			switch {
			case err != nil || got.status != http.StatusOK && got.status != http.StatusForbidden:
				t.Errorf("%s: status %d, %v", who, got.status, err)
			case got.status == http.StatusOK:
				served.Store(digest, who)
			}
		})
		return ended
	}
	// writing waits until a pull has made its entry. One that ends without has
	// seen the other's before: the machine was too slow for that to stay hidden.
	writing := func(who string, made <-chan string, ended <-chan struct{}) {
		t.Helper()
		select {
		case <-made:
		case <-ended:
			t.Fatalf("%s has made no entry", who)
		}
	}
	w.tag(t, "v1", w.one)
	writing("A", madeA, pull("A, which is first", a))
	w.tag(t, "v1", w.two)
	writing("B", madeB, pull("B, which is second", b))
	time.Sleep(100 * time.Millisecond)
	pull("B, another client", b)
	if third {
		pull("C, which has seen nothing", c)
	}
	pulls.Wait()
	w.tag(t, "v1", w.one)
	for who, s := range map[string]*service{"A, later": a, "B, later": b, "C, later": c} {
		pull(who, s)
	}
	pulls.Wait()
	if _, ok := served.Load(w.one); !ok {
		t.Error("what A recorded is not served")
	}
	if who, ok := served.Load(w.two); ok {
		t.Errorf("two digests are served: the second by %v", who)
	}
}

// TestFreshByLongSettleTime: what the index may still lack is waited for by
// REKOR_SETTLE, however long that is.
func TestFreshByLongSettleTime(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	first := w.intoto(t, "late", w.author(t, sigstore.DefaultEmail), w.statement(t, "late", w.one))
	made := time.Now()
	w.intoto(t, "late", w.author(t, sigstore.DefaultEmail), w.statement(t, "late", w.two))
	w.tag(t, "late", w.two)
	w.rekor.Hook(rewriting(searchPath, http.StatusOK, func(body []byte) []byte {
		return editAnswer(t, body, func(v any) any {
			return slices.DeleteFunc(v.([]any), func(id any) bool { return id == first && time.Since(made) < 7*time.Second })
		})
	}))
	time.Sleep(6*time.Second + 200*time.Millisecond - time.Since(made))
	w.behind(t, "REKOR_SETTLE=8s").get(t, "app", "late").mustRefuse(t, w.one, w.two)
}
