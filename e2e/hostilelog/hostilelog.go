// Package hostilelog is a man in the middle in front of a real Rekor.
//
// Each behaviour is a [sigstore.Hook] for a [sigstore.Proxy]: the answers are
// Rekor's own until the behaviour changes them. There are three kinds. The
// index shows other entries than it has ([Index]). A server answers what no
// Rekor does ([Answers]). The log itself lies, with its own key ([View]).
package hostilelog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"time"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// The paths of Rekor's that the service asks.
const (
	SearchPath   = "/api/v1/index/retrieve"
	RetrievePath = "/api/v1/log/entries/retrieve"
	CreatePath   = "/api/v1/log/entries"
	ProofPath    = "/api/v1/log/proof"
	LogPath      = "/api/v1/log"
)

// First returns a hook that leaves a request to the first of hooks that answers
// it.
func First(hooks ...sigstore.Hook) sigstore.Hook {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		return slices.ContainsFunc(hooks, func(h sigstore.Hook) bool { return h(w, r, next) })
	}
}

// At returns a hook that gives the requests of one path to a handler.
func At(path string, h http.Handler) sigstore.Hook {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.URL.Path != path {
			return false
		}
		h.ServeHTTP(w, r)
		return true
	}
}

// Delayed returns a hook that forwards the requests of a path after d, and not
// at all if the client has gone by then.
func Delayed(path string, d time.Duration) sigstore.Hook {
	return func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.URL.Path != path {
			return false
		}
		// The server notices that a client has gone once it has read its body.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return true
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		select {
		case <-time.After(d):
			return false
		case <-r.Context().Done():
			return true
		}
	}
}

// Index returns a hook under which the index answers what change makes of the
// UUIDs that it has, in their order.
func Index(change func([]string) []string) sigstore.Hook {
	return rewritten(SearchPath, func(body []byte) ([]byte, error) {
		uuids := []string{}
		if err := json.Unmarshal(body, &uuids); err != nil {
			return nil, err
		}
		if uuids = change(uuids); uuids == nil {
			uuids = []string{}
		}
		return json.Marshal(uuids)
	})
}

// Hidden makes an index never show these entries.
func Hidden(hidden ...string) func([]string) []string {
	return func(uuids []string) []string {
		return slices.DeleteFunc(uuids, func(u string) bool { return slices.Contains(hidden, u) })
	}
}

// Replayed makes an index show these entries as well, before all others,
// whatever is searched.
func Replayed(more ...string) func([]string) []string {
	return func(uuids []string) []string { return append(slices.Clone(more), uuids...) }
}

// Truncated makes an index show the first n entries alone.
func Truncated(n int) func([]string) []string {
	return func(uuids []string) []string { return uuids[:min(n, len(uuids))] }
}

// Reversed makes an index show its entries the other way around.
func Reversed(uuids []string) []string { slices.Reverse(uuids); return uuids }

// Doubled makes an index show every entry twice.
func Doubled(uuids []string) []string { return append(uuids, uuids...) }

// rewritten returns a hook that changes the bodies of the successful answers
// under a path. What cannot be changed is answered with 500 and says why.
func rewritten(path string, change func([]byte) ([]byte, error)) sigstore.Hook {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) bool {
		if r.URL.Path != path {
			return false
		}
		r.Header.Del("Accept-Encoding")
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		body := bytes.Clone(answer.Body.Bytes())
		if answer.Code/100 == 2 {
			var err error
			if body, err = change(body); err != nil {
				http.Error(w, fmt.Sprintf("hostilelog: %s: %v", path, err), http.StatusInternalServerError)
				return true
			}
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
