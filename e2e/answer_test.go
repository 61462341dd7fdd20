package e2e

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// entriesOf returns the objects of entries in an answer: the object itself, or
// those in the list.
func entriesOf(v any) []object {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var all []object
	for _, entries := range list {
		all = append(all, entries.(object))
	}
	return all
}

// rekeyed gives every entry another ID.
func rekeyed(change func(id string) string) func(any) any {
	return func(v any) any {
		for _, entries := range entriesOf(v) {
			for id, e := range maps.Clone(entries) {
				delete(entries, id)
				entries[change(id)] = e
			}
		}
		return v
	}
}

// misanswered are changes to an answer as a whole, whose entries are genuine.
func misanswered(other string, entry object) map[string]func(any) any {
	added := func(v any) any {
		entriesOf(v)[0][other] = entry
		return v
	}
	return map[string]func(any) any{
		"id-leaf-flipped": rekeyed(func(id string) string { return id[:40] + flipDigit(id[40:]) }),
		"id-tree-flipped": rekeyed(func(id string) string { return flipDigit(id[:16]) + id[16:] }),
		"id-of-another":   rekeyed(func(string) string { return other }),
		"id-short":        rekeyed(func(id string) string { return id[20:] }),
		"id-long":         rekeyed(func(id string) string { return "00" + id }),
		"id-empty":        rekeyed(func(string) string { return "" }),
		"id-upper-case":   rekeyed(strings.ToUpper),
		"entry-of-another": func(v any) any { // under the ID that was asked for
			for _, entries := range entriesOf(v) {
				for id := range entries {
					entries[id] = entry
				}
			}
			return v
		},
		"one-more": added,
		"only-another": func(v any) any {
			clear(entriesOf(v)[0])
			return added(v)
		},
		"entry-null": func(v any) any {
			for _, entries := range entriesOf(v) {
				for id := range entries {
					entries[id] = nil
				}
			}
			return v
		},
		"entry-empty": func(v any) any {
			for _, entries := range entriesOf(v) {
				for id := range entries {
					entries[id] = object{}
				}
			}
			return v
		},
		"none":      func(v any) any { clear(entriesOf(v)[0]); return v },
		"text":      func(any) any { return "entry" },
		"number":    func(any) any { return 1 },
		"null":      func(any) any { return nil },
		"list-list": func(v any) any { return []any{[]any{v}} },
	}
}

// listed are changes to the list in which Rekor answers the entries asked for.
func listed() map[string]func(any) any {
	return map[string]func(any) any{
		"list-empty": func(any) any { return []any{} },
		"list-null":  func(any) any { return []any{nil} },
		"list-twice": func(v any) any { return append(v.([]any), v.([]any)...) },
	}
}

// broken are answers that are none.
func broken() map[string]http.HandlerFunc {
	with := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if contentType != "" {
				w.Header().Set("Content-Type", contentType)
			}
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	return map[string]http.HandlerFunc{
		"html":         with(200, "text/html", "<html>welcome</html>"),
		"html-as-json": with(200, "application/json", "<html>welcome</html>"),
		"garbage":      with(200, "application/json", `["`),
		"empty":        with(200, "application/json", ""),
		"no-type":      with(200, "", ""),
		"null-text":    with(200, "application/json", "null"),
		"object":       with(200, "application/json", `{"a":1}`),
		"numbers":      with(200, "application/json", `[1]`),
		"no-ids":       with(200, "application/json", `["x"]`),
		"created":      with(201, "application/json", `[]`),
		"no-content":   with(204, "", ""),
		"accepted":     with(202, "application/json", `[]`),
		"not-found":    with(404, "application/json", `{"code":404,"message":"no"}`),
		"redirect":     func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/api/v1/log", http.StatusSeeOther) },
		"cut-off": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `[]`)
			panic(http.ErrAbortHandler)
		},
		"huge": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			piece := []byte("[" + strings.Repeat(`"`+strings.Repeat("0", 80)+`",`, 1000))
			for { // until the reader has had enough
				if _, err := w.Write(piece); err != nil {
					return
				}
				piece[0] = ' '
			}
		},
		"endless": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte("["))
			for r.Context().Err() == nil {
				w.Write([]byte(" "))
				http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
				case <-time.After(50 * time.Millisecond):
				}
			}
		},
	}
}

// TestTamperedAnswer gives answers that Rekor cannot have given to a search, to
// a request for entries and to a create. None is taken for "there is no
// record", which only an empty list says.
func TestTamperedAnswer(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	writer, svc := w.direct(t), w.behind(t, "REKOR_TIMEOUT="+limit.String())
	other, entry := w.anotherEntry(t)

	hooks := make(map[string]sigstore.Hook)
	for name, change := range misanswered(other, entry) {
		edit := func(body []byte) []byte { return editAnswer(t, body, change) }
		hooks["retrieve-"+name] = rewriting(retrievePath, http.StatusOK, edit)
		hooks["create-"+name] = rewriting(createPath, http.StatusCreated, edit)
	}
	for name, change := range listed() {
		hooks["retrieve-"+name] = rewriting(retrievePath, http.StatusOK, func(body []byte) []byte { return editAnswer(t, body, change) })
	}
	for name, handler := range broken() {
		for short, path := range map[string]string{"search": searchPath, "retrieve": retrievePath} {
			hooks[short+"-"+name] = answering(path, handler)
		}
	}
	// An answer to a create that is no object at all is as good as none: the
	// create is tried again, and found to be done.
	for _, name := range []string{"create-list-list", "create-text", "create-number"} {
		delete(hooks, name)
	}
	hooks["search-unknown-entry"] = rewriting(searchPath, http.StatusOK, func([]byte) []byte {
		return fmt.Appendf(nil, `["%080x"]`, 0)
	})
	hooks["search-id-upper-case"] = rewriting(searchPath, http.StatusOK, bytes.ToUpper)
	hooks["search-other-tree"] = w.otherTree(t)

	names := slices.Sorted(maps.Keys(hooks))
	uuids := make(map[string]string)
	for _, name := range names {
		w.tag(t, name, w.one)
		if strings.HasPrefix(name, "create-") {
			continue
		}
		recorded := writer.get(t, "app", name)
		recorded.mustServe(t, w.one)
		uuids[name] = recorded.header.Get("Tlog-Uuid")
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			w.rekor.Hook(hooks[name])
			svc.get(t, "app", name).mustBeUnavailable(t)
			w.rekor.Hook(nil)
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("the answer took %v", took)
			}
			w.shown(t, name) // each was made, whatever was answered
			again := svc.get(t, "app", name)
			again.mustServe(t, w.one)
			if want := uuids[name]; want != "" {
				again.mustBeRecord(t, want)
			}
		})
	}
	for _, name := range names {
		if n := w.records(t, name, w.one); n != 1 {
			t.Errorf("%s: the log has %d records of the tag, want 1", name, n)
		}
	}
}

// otherTree is a hook under which every entry is one of a tree that the log
// does not have: the leaf hashes are right, what comes before them is not.
func (w *rekorWorld) otherTree(t *testing.T) sigstore.Hook {
	const tree = "0123456789abcdef"
	real := make(map[string]string) // tree IDs by leaf hash
	swap := func(id string) string { real[id[16:]] = id[:16]; return tree + id[16:] }
	searched := rewriting(searchPath, http.StatusOK, func(body []byte) []byte {
		return editAnswer(t, body, func(v any) any {
			for i, id := range v.([]any) {
				v.([]any)[i] = swap(id.(string))
			}
			return v
		})
	})
	retrieved := rewriting(retrievePath, http.StatusOK, func(body []byte) []byte {
		return editAnswer(t, body, rekeyed(swap))
	})
	return func(rw http.ResponseWriter, r *http.Request, next http.Handler) bool {
		if r.URL.Path == retrievePath {
			body, _ := io.ReadAll(r.Body)
			for _, id := range real {
				body = bytes.ReplaceAll(body, []byte(tree), []byte(id))
			}
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		}
		return searched(rw, r, next) || retrieved(rw, r, next)
	}
}
