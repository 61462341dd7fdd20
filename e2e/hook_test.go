package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// rewriting is a hook that forwards requests of one path and changes the
// bodies of the answers that have the status.
func rewriting(path string, status int, change func([]byte) []byte) sigstore.Hook {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		if r.Method != http.MethodPost || r.URL.Path != path {
			return false
		}
		r.Header.Del("Accept-Encoding")
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		body := answer.Body.Bytes()
		if answer.Code == status {
			body = change(body)
		}
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(answer.Code)
		w.Write(body)
		return true
	}
}

// settling is a hook under which a create is answered when the index shows its
// entry. How often the service then looks does not depend on the machine.
func settling(t *testing.T, s *sigstore.Sigstore) sigstore.Hook {
	return rewriting(createPath, http.StatusCreated, func(body []byte) []byte {
		if err := s.Settle(t.Context()); err != nil {
			t.Error(err)
		}
		return body
	})
}

// answering is a hook that answers requests of one path by itself.
func answering(path string, h http.HandlerFunc) sigstore.Hook {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method != http.MethodPost || r.URL.Path != path {
			return false
		}
		io.Copy(io.Discard, r.Body)
		h(w, r)
		return true
	}
}

// welcome answers everything with a page, as a portal in between does.
func welcome(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
	w.Header().Set("Content-Type", "text/html")
	w.Write([]byte("<html>welcome</html>"))
	return true
}

// creating is a hook for creates alone.
func creating(h sigstore.Hook) sigstore.Hook {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		return r.Method == http.MethodPost && r.URL.Path == createPath && h(w, r, next)
	}
}

// losing forwards a create and drops the answer together with the connection.
func losing(_ http.ResponseWriter, r *http.Request, next http.Handler) bool {
	next.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

// failing answers a create without forwarding it.
func failing(status int) sigstore.Hook {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		w.Write([]byte(`{"code":1,"message":"no"}`))
		return true
	}
}

// forwarding forwards a create and answers something else.
func forwarding(h sigstore.Hook) sigstore.Hook {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		next.ServeHTTP(httptest.NewRecorder(), r)
		return h(w, r, nil)
	}
}

// times lets a hook answer the first n requests.
func times(n int32, h sigstore.Hook) sigstore.Hook {
	var left atomic.Int32
	left.Store(n)
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		return left.Add(-1) >= 0 && h(w, r, next)
	}
}

// unreachable aborts the connection.
func unreachable(http.ResponseWriter, *http.Request, http.Handler) bool {
	panic(http.ErrAbortHandler)
}

// conflicting answers a create with the place of an entry that is there.
func conflicting(location string) sigstore.Hook {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		w.Header().Set("Location", location)
		return failing(http.StatusConflict)(w, r, next)
	}
}

// twice forwards a create two times and passes on the second answer.
func twice(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return false
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	next.ServeHTTP(httptest.NewRecorder(), r)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return false
}

// hanging never answers.
func hanging(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
	<-r.Context().Done()
	return true
}

// editEntries changes every entry in an answer of Rekor's: an object of entries
// by their IDs, or a list of such objects.
func editEntries(t *testing.T, body []byte, change func(object)) []byte {
	return editAnswer(t, body, func(v any) any {
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		for _, entries := range list {
			for _, e := range entries.(object) {
				change(e.(object))
			}
		}
		return v
	})
}

// editAnswer changes an answer of Rekor's. Numbers in it are json.Numbers.
func editAnswer(t *testing.T, body []byte, change func(any) any) []byte {
	var v any
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Errorf("Rekor answered %q: %v", body, err)
		return body
	}
	changed, err := json.Marshal(change(v))
	if err != nil {
		t.Error(err)
	}
	return changed
}
