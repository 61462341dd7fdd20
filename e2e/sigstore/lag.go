package sigstore

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// LaggingIndex returns a hook, for a [Proxy] in front of Rekor, under which the
// search index hides each new entry until some time after its creation was
// answered. That time is drawn for each entry, evenly up to limit, so entries
// show out of order. The nth entry created gets the same time for the same
// seed. What has shown once goes on showing.
//
// Only entries created through the hook are hidden, so proxies of several
// instances must share one hook.
func LaggingIndex(seed uint64, limit time.Duration) Hook {
	l := &lag{
		limit:   limit,
		random:  rand.New(rand.NewPCG(seed, 0)),
		visible: make(map[string]time.Time),
		creates: make(map[chan struct{}]bool),
	}
	return l.hook
}

type lag struct {
	limit time.Duration

	mu      sync.Mutex
	random  *rand.Rand
	visible map[string]time.Time   // from when on, by UUID
	creates map[chan struct{}]bool // under way; closed when answered
}

func (l *lag) hook(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
	if r.Method != http.MethodPost {
		return false
	}
	switch r.URL.Path {
	case "/api/v1/log/entries":
		l.create(w, r, next)
	case "/api/v1/index/retrieve":
		l.search(w, r, next)
	default:
		return false
	}
	return true
}

// create draws the time of a new entry before its creation is answered.
func (l *lag) create(w http.ResponseWriter, r *http.Request, next http.Handler) {
	answered := make(chan struct{})
	l.mu.Lock()
	l.creates[answered] = true
	l.mu.Unlock()
	answer := recording{header: make(http.Header)}
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.creates, answered)
		close(answered)
	}()
	next.ServeHTTP(&answer, r)

	var entries map[string]json.RawMessage
	if answer.status == http.StatusCreated && json.Unmarshal(answer.body.Bytes(), &entries) == nil {
		l.mu.Lock()
		for uuid := range entries {
			l.visible[uuid] = time.Now().Add(time.Duration(l.random.Int64N(int64(l.limit) + 1)))
		}
		l.mu.Unlock()
	}
	answer.replay(w)
}

// search takes out of an answer what is not to be seen yet.
func (l *lag) search(w http.ResponseWriter, r *http.Request, next http.Handler) {
	answer := recording{header: make(http.Header)}
	next.ServeHTTP(&answer, r)

	var uuids []string
	if answer.status == http.StatusOK && json.Unmarshal(answer.body.Bytes(), &uuids) == nil {
		uuids = slices.DeleteFunc(uuids, func(uuid string) bool { return l.hidden(r, uuid) })
		answer.body.Reset()
		json.NewEncoder(&answer.body).Encode(uuids)
	}
	answer.replay(w)
}

// hidden reports whether an entry is not to be seen yet. The index can have an
// entry before its creation is answered: an unknown one is judged only when
// every creation now under way has been.
func (l *lag) hidden(r *http.Request, uuid string) bool {
	l.mu.Lock()
	at, known := l.visible[uuid]
	var creates []chan struct{}
	if !known {
		for c := range l.creates {
			creates = append(creates, c)
		}
	}
	l.mu.Unlock()
	for _, c := range creates {
		select {
		case <-c:
		case <-r.Context().Done():
			return true
		}
	}
	if !known {
		l.mu.Lock()
		at = l.visible[uuid]
		l.mu.Unlock()
	}
	return time.Now().Before(at)
}

// A recording is an answer held back. Rekor's are small.
type recording struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements [http.ResponseWriter].
func (r *recording) Header() http.Header { return r.header }

// WriteHeader implements [http.ResponseWriter].
func (r *recording) WriteHeader(status int) {
	if r.status == 0 && status >= 200 {
		r.status = status
	}
}

// Write implements [http.ResponseWriter].
func (r *recording) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}

// replay sends the answer, whose body may have been changed.
func (r *recording) replay(w http.ResponseWriter) {
	for name, values := range r.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(r.body.Len()))
	w.WriteHeader(r.status)
	w.Write(r.body.Bytes())
}
