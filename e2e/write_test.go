package e2e

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// TestCreateFailure has a create fail, before or after the log has made the
// entry. Where that passes while the pull waits, the pull succeeds; else it is
// a 503 and the next one succeeds. Never are there two records of the tag.
func TestCreateFailure(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	w.tag(t, "known", w.one)
	known := w.direct(t).get(t, "app", "known")
	known.mustServe(t, w.one)

	const ever = 1 << 30
	cases := map[string]struct {
		hook   sigstore.Hook
		n      int32
		passes bool // while the pull waits
		made   int  // records after the pull
	}{
		"unreachable once":       {unreachable, 1, true, 1},
		"500 once":               {failing(500), 1, true, 1},
		"429 twice":              {failing(429), 2, true, 1},
		"answer lost once":       {losing, 1, true, 1},
		"answer lost twice":      {losing, 2, true, 1},
		"made, answered 500":     {forwarding(failing(500)), 1, true, 1},
		"made, answered HTML":    {forwarding(welcome), 1, true, 1},
		"made, answered late":    {forwarding(hanging), 1, true, 1},
		"made twice":             {twice, ever, true, 1},
		"unreachable":            {unreachable, ever, false, 0},
		"500":                    {failing(500), ever, false, 0},
		"429":                    {failing(429), ever, false, 0},
		"400":                    {failing(400), ever, false, 0},
		"413":                    {failing(413), ever, false, 0},
		"HTML":                   {welcome, ever, false, 0},
		"never answered":         {hanging, ever, false, 0},
		"answer lost":            {losing, ever, false, 1},
		"made, always 500":       {forwarding(failing(500)), ever, false, 1},
		"made, never answered":   {forwarding(hanging), ever, false, 1},
		"made, answered 400":     {forwarding(failing(400)), ever, false, 1},
		"conflict with nothing":  {failing(409), ever, false, 0},
		"conflict with no entry": {conflicting(createPath + "/none"), ever, false, 0},
		"conflict with another":  {conflicting(createPath + "/" + known.header.Get("Tlog-Uuid")), ever, false, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := proxied(t, w.RekorURL)
			tag := strings.NewReplacer(" ", "-", ",", "").Replace(name)
			w.tag(t, tag, w.one)
			svc := w.direct(t, "REKOR_URL="+p.URL, "REKOR_TIMEOUT="+limit.String())
			svc.get(t, "app", "known").mustServe(t, w.one)

			p.Hook(creating(times(tc.n, tc.hook)))
			var first answer
			if took := elapsed(func() { first = svc.get(t, "app", tag) }); took > 8*limit {
				t.Errorf("the answer took %v", took)
			}
			if n := p.Counts()["POST "+createPath]; n > 3 {
				t.Errorf("the log was asked %d times to make the entry, want 3 at most", n)
			}
			if n := w.records(t, tag, w.one); n != tc.made {
				t.Errorf("the log has %d records of the tag, want %d", n, tc.made)
			}
			if tc.made > 0 {
				w.shown(t, tag)
			}
			svc.get(t, "app", "known").mustServe(t, w.one)
			if tc.passes {
				first.mustServe(t, w.one)
			} else {
				first.mustBeUnavailable(t)
			}
			p.Hook(nil)
			svc.get(t, "app", tag).mustServe(t, w.one)
			if n := w.records(t, tag, w.one); n != 1 {
				t.Errorf("at last the log has %d records of the tag, want 1", n)
			}
		})
	}
}

// TestReadFailure: a search and a request for entries that fail are made again,
// two times.
func TestReadFailure(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	w.tag(t, "v1", w.one)
	w.direct(t).get(t, "app", "v1").mustServe(t, w.one)
	failures := map[string]sigstore.Hook{
		"500":         failing(500),
		"429":         failing(429),
		"unreachable": unreachable,
		"lost":        losing,
		"HTML":        welcome,
	}
	for name, failure := range failures {
		for short, path := range map[string]string{"search": searchPath, "retrieve": retrievePath} {
			t.Run(name+" "+short, func(t *testing.T) {
				fails := times(2, failure)
				w.rekor.Hook(func(rw http.ResponseWriter, r *http.Request, next http.Handler) bool {
					return r.URL.Path == path && fails(rw, r, next)
				})
				w.behind(t).get(t, "app", "v1").mustServe(t, w.one)
			})
		}
	}
}

// TestHiddenEntry: an entry that the index does not show is not served, and is
// not made again: when it shows it is the record.
func TestHiddenEntry(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	w.tag(t, "v1", w.one)
	svc := w.behind(t, "REKOR_TIMEOUT="+limit.String())
	w.rekor.Hook(rewriting(searchPath, http.StatusOK, func([]byte) []byte { return []byte("[]") }))
	svc.get(t, "app", "v1").mustBeUnavailable(t)
	svc.mustSay(t, "the written entry does not show in the log's index")
	w.rekor.Hook(nil)
	svc.get(t, "app", "v1").mustServe(t, w.one)
	if n := w.records(t, "v1", w.one); n != 1 {
		t.Errorf("the log has %d records of the tag, want 1", n)
	}
}

// TestLostAndLate: a create whose answers are lost, of an entry that the index
// does not show yet when the next pull looks. That pull looks again, rather
// than make another entry.
func TestLostAndLate(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	w.tag(t, "v1", w.one)
	svc := w.behind(t, "REKOR_SETTLE=10ms")
	lost := creating(losing)
	empty := times(2, rewriting(searchPath, http.StatusOK, func([]byte) []byte { return []byte("[]") }))
	w.rekor.Hook(func(rw http.ResponseWriter, r *http.Request, next http.Handler) bool {
		return lost(rw, r, next) || r.URL.Path == searchPath && empty(rw, r, next)
	})
	svc.get(t, "app", "v1").mustBeUnavailable(t)
	w.rekor.Hook(func(rw http.ResponseWriter, r *http.Request, next http.Handler) bool {
		return r.URL.Path == searchPath && empty(rw, r, next)
	})
	svc.get(t, "app", "v1").mustServe(t, w.one)
	if n := w.records(t, "v1", w.one); n != 1 {
		t.Errorf("the log has %d records of the tag, want 1", n)
	}
}

// TestTermination ends the service while the log makes its entry. The pull
// ends in order, or is not acknowledged; either way the process ends and the
// entry counts from then on.
func TestTermination(t *testing.T) {
	for name, tc := range map[string]struct {
		answered bool // the create, in the end
		status   int
	}{
		"answered":       {true, http.StatusOK},
		"never answered": {false, http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			w := newRekorWorld(t, sigstore.Options{})
			w.tag(t, "v1", w.one)
			made, release := make(chan struct{}, 3), make(chan struct{})
			w.rekor.Hook(creating(func(rw http.ResponseWriter, r *http.Request, next http.Handler) bool {
				answer := httptest.NewRecorder()
				next.ServeHTTP(answer, r)
				made <- struct{}{}
				select {
				case <-release:
				case <-r.Context().Done():
					return true
				}
				rw.Header().Set("Content-Type", "application/json")
				rw.WriteHeader(answer.Code)
				rw.Write(answer.Body.Bytes())
				return true
			}))
			svc := w.behind(t, "REKOR_TIMEOUT="+limit.String())
			var got answer
			var err error
			pulled := make(chan struct{})
			go func() {
				defer close(pulled)
				got, err = svc.try(t.Context(), http.MethodGet, "/v2/app/manifests/v1")
			}()
			<-made
			if err := svc.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			within(t, "refusal of new requests", func() bool {
				a, err := svc.try(t.Context(), http.MethodGet, "/v2/")
				return err != nil || a.status == http.StatusServiceUnavailable
			})
			if tc.answered {
				close(release)
			}
			<-pulled
			if err != nil {
				t.Errorf("the pull ended with %v", err)
			} else {
				got.mustStatus(t, tc.status)
			}
			select {
			case <-svc.done:
			case <-time.After(patience):
				t.Fatal("the process has not ended")
			}
			if code := svc.cmd.ProcessState.ExitCode(); code != 0 {
				t.Errorf("the process ended with %d", code)
			}
			if n := w.records(t, "v1", w.one); n != 1 {
				t.Errorf("the log has %d records of the tag, want 1", n)
			}
			next := w.direct(t).get(t, "app", "v1")
			next.mustServe(t, w.one)
			if tc.answered {
				next.mustBeRecord(t, got.header.Get("Tlog-Uuid"))
			}
		})
	}
}
