package rekorlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	httptransport "github.com/go-openapi/runtime/client"
	"github.com/sigstore/rekor/pkg/generated/models"
)

const (
	leafA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	leafB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	tree1 = "1111111111111111"
	tree2 = "2222222222222222"
)

// serve returns a client of a server that answers every request with h.
func serve(t *testing.T, timeout time.Duration, h http.HandlerFunc) *client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(u, timeout, nil)
	t.Cleanup(c.close)
	return c
}

func answerJSON(w http.ResponseWriter, format string, args ...any) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, format, args...)
}

func TestEntries(t *testing.T) {
	const one = `{"logIndex":1}`
	for name, tc := range map[string]struct {
		ids    []string
		answer string
		err    string // empty: none
	}{
		"one":            {[]string{tree1 + leafA}, `[{"` + tree1 + leafA + `":{}}]`, ""},
		"two":            {[]string{tree1 + leafA, tree1 + leafB}, `[{"` + tree1 + leafB + `":{}},{"` + tree1 + leafA + `":{}}]`, ""},
		"two in one":     {[]string{tree1 + leafA, tree1 + leafB}, `[{"` + tree1 + leafB + `":{},"` + tree1 + leafA + `":{}}]`, ""},
		"by leaf alone":  {[]string{leafA}, `[{"` + tree1 + leafA + `":{}}]`, ""},
		"without a tree": {[]string{leafA}, `[{"` + leafA + `":{}}]`, ""},
		// Anyone can log the bytes of our record again in the log's next tree.
		"same leaf in two trees": {[]string{tree1 + leafA, tree2 + leafA}, `[{"` + tree1 + leafA + `":` + one + `},{"` + tree2 + leafA + `":{}}]`, ""},

		"none":         {[]string{tree1 + leafA}, `[]`, "1 entries were asked for, 0 of them answered, 0 in all"},
		"null":         {[]string{tree1 + leafA}, `null`, "1 entries were asked for, 0 of them answered, 0 in all"},
		"empty":        {[]string{tree1 + leafA}, ``, "1 entries were asked for, 0 of them answered, 0 in all"},
		"one less":     {[]string{tree1 + leafA, tree1 + leafB}, `[{"` + tree1 + leafB + `":{}}]`, "2 entries were asked for, 1 of them answered, 1 in all"},
		"one more":     {[]string{tree1 + leafA}, `[{"` + tree1 + leafA + `":{}},{"` + tree1 + leafB + `":{}}]`, "1 entries were asked for, 1 of them answered, 2 in all"},
		"another":      {[]string{tree1 + leafA}, `[{"` + tree1 + leafB + `":{}}]`, "1 entries were asked for, 0 of them answered, 1 in all"},
		"twice":        {[]string{tree1 + leafA}, `[{"` + tree1 + leafA + `":{}},{"` + tree1 + leafA + `":{}}]`, "1 entries were asked for, 1 of them answered, 2 in all"},
		"one for two":  {[]string{tree1 + leafA, tree1 + leafB}, `[{"` + tree1 + leafA + `":{}},{"` + tree1 + leafA + `":{}}]`, "2 entries were asked for, 1 of them answered, 2 in all"},
		"other tree":   {[]string{tree1 + leafA}, `[{"` + tree2 + leafA + `":{}}]`, "1 entries were asked for, 0 of them answered, 1 in all"},
		"tree missing": {[]string{tree1 + leafA}, `[{"` + leafA + `":{}}]`, "1 entries were asked for, 0 of them answered, 1 in all"},
		"longer ID":    {[]string{leafA}, `[{"00` + leafA + `":{}}]`, "1 entries were asked for, 0 of them answered, 1 in all"},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, time.Minute, func(w http.ResponseWriter, r *http.Request) { answerJSON(w, "%s", tc.answer) })
			found, err := c.entries(t.Context(), tc.ids)
			if tc.err == "" {
				if err != nil || len(found) != len(tc.ids) {
					t.Fatalf("got %d entries, %v; want %d", len(found), err, len(tc.ids))
				}
				return
			}
			if want := ErrLog.Error() + ": " + tc.err; !errors.Is(err, ErrLog) || err.Error() != want {
				t.Errorf("got %v\nwant %s", err, want)
			}
		})
	}
	t.Run("each its own", func(t *testing.T) {
		c := serve(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
			answerJSON(w, `[{"%s":{"logIndex":2}},{"%s":{"logIndex":1}}]`, tree2+leafA, tree1+leafA)
		})
		found, err := c.entries(t.Context(), []string{tree1 + leafA, tree2 + leafA})
		if err != nil || *found[tree1+leafA].LogIndex != 1 || *found[tree2+leafA].LogIndex != 2 {
			t.Errorf("got %v, %v", found, err)
		}
	})
}

// TestEntriesInHalves: an answer that is too long is asked for in halves, each
// only once.
func TestEntriesInHalves(t *testing.T) {
	const fits = 3
	var asked []int
	c := serve(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		n := 0
		for _, part := range strings.Split(string(b), `"`) {
			if len(part) == 80 {
				n++
			}
		}
		asked = append(asked, n)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, "[")
		if n > fits {
			io.WriteString(w, strings.Repeat(" ", maxAnswer))
		}
		sep := ""
		for _, part := range strings.Split(string(b), `"`) {
			if len(part) == 80 {
				fmt.Fprintf(w, `%s{"%s":{}}`, sep, part)
				sep = ","
			}
		}
		io.WriteString(w, "]")
	})
	var ids []string
	for i := range maxBatch {
		ids = append(ids, fmt.Sprintf("%s%064d", tree1, i))
	}
	found, err := c.entries(t.Context(), ids)
	if err != nil || len(found) != len(ids) {
		t.Fatalf("got %d entries, %v", len(found), err)
	}
	if got, want := fmt.Sprint(asked), "[10 5 2 3 5 2 3]"; got != want {
		t.Errorf("asked for %s, want %s", got, want)
	}
}

func TestSearch(t *testing.T) {
	for name, tc := range map[string]struct {
		answer string
		want   []string
		err    string
	}{
		"none":     {"[]", nil, ""},
		"some":     {`["` + tree1 + leafA + `","` + leafB + `"]`, []string{tree1 + leafA, leafB}, ""},
		"repeated": {`["` + leafA + `","` + leafB + `","` + leafA + `"]`, []string{leafA, leafB}, ""},
		"nothing":  {"", nil, ErrLog.Error() + ": the index answered no list"},
		"null":     {"null", nil, ErrLog.Error() + ": the index answered no list"},
		"no ID":    {`["../"]`, nil, "search Rekor's index: " + ErrLog.Error() + `: the index names "../", which is no entry's ID`},
		"shorter":  {`["` + leafA[1:] + `"]`, nil, "search Rekor's index: " + ErrLog.Error() + `: the index names "` + leafA[1:] + `", which is no entry's ID`},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, time.Minute, func(w http.ResponseWriter, r *http.Request) { answerJSON(w, "%s", tc.answer) })
			got, date, err := c.search(t.Context(), &models.SearchIndex{}, maxAnswer)
			if fmt.Sprint(got) != fmt.Sprint(tc.want) || (err == nil) != (tc.err == "") || err != nil && err.Error() != tc.err {
				t.Errorf("got %v, %v; want %v, %s", got, err, tc.want, tc.err)
			}
			if date.IsZero() {
				t.Error("the answer has no date")
			}
		})
	}
}

// TestTries: a call that reads is made again where the failure may pass.
func TestTries(t *testing.T) {
	for status, want := range map[int]int{400: 1, 404: 1, 422: 1, 429: 3, 500: 3, 502: 3, 503: 3} {
		tries := 0
		c := serve(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
			tries++
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			io.WriteString(w, `{"code":1,"message":"no"}`)
		})
		if _, _, err := c.search(t.Context(), &models.SearchIndex{}, maxAnswer); err == nil || tries != want {
			t.Errorf("status %d: tried %d times, %v; want %d", status, tries, err, want)
		}
	}
}

// TestLimit: the limit is the caller's, and not the generated client's.
func TestLimit(t *testing.T) {
	generated := httptransport.DefaultTimeout
	httptransport.DefaultTimeout = 20 * time.Millisecond
	t.Cleanup(func() { httptransport.DefaultTimeout = generated })
	slow := func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(200 * time.Millisecond):
		case <-r.Context().Done():
		}
		answerJSON(w, "[]")
	}
	if _, _, err := serve(t, time.Minute, slow).search(t.Context(), &models.SearchIndex{}, maxAnswer); err != nil {
		t.Errorf("with a limit of a minute: %v", err)
	}
	silent := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // so that the server sees the client hang up
		<-r.Context().Done()
	}
	if _, _, err := serve(t, 50*time.Millisecond, silent).search(t.Context(), &models.SearchIndex{}, maxAnswer); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a limit of 50 ms: %v, want %v", err, context.DeadlineExceeded)
	}
}

// TestRedirect: an answer that sends elsewhere is an error, and nobody goes
// there.
func TestRedirect(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		elsewhere.Add(1)
		answerJSON(w, "[]")
	}))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		c := serve(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", other.URL+r.URL.Path)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			io.WriteString(w, "[]")
		})
		if ids, _, err := c.search(t.Context(), &models.SearchIndex{}, maxAnswer); err == nil {
			t.Errorf("status %d: a search finds %v", status, ids)
		}
		if found, err := c.entries(t.Context(), []string{leafA}); err == nil {
			t.Errorf("status %d: the entries are %v", status, found)
		}
		if id, _, err := c.create(t.Context(), &models.DSSE{}); err == nil {
			t.Errorf("status %d: the entry %s is created", status, id)
		}
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}
