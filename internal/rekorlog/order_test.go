package rekorlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/tlogistry/tlogistry/internal/record"
)

// TestOrder: what all log indexes of a tree have in common with their places in
// it is learnt from the first, for each tree.
func TestOrder(t *testing.T) {
	h := newHistory(nil, time.Minute, slog.New(slog.DiscardHandler))
	defer h.close()
	one, two := tree{"log", "1"}, tree{"log", "2"}
	for i, tc := range []struct {
		tree         tree
		index, place int64
		ok           bool
	}{
		{one, 7, 7, true}, {one, 3, 3, true}, {one, 3, 4, false}, {one, 4, 3, false}, {one, 1007, 7, false}, {one, 9, 9, true},
		{two, 1000, 0, true}, {two, 1007, 7, true}, {two, 7, 7, false}, {two, 1006, 7, false},
		{tree{"other log", "1"}, 50, 20, true}, {one, 50, 20, false}, {tree{"log", "3"}, 6, 7, false},
		{two, math.MinInt64, math.MaxInt64, false},
	} {
		if err := h.order(tc.tree, tc.index, tc.place); (err == nil) != tc.ok || err != nil && !errors.Is(err, errOrder) {
			t.Errorf("step %d, log index %d at place %d: got %v", i, tc.index, tc.place, err)
		}
	}
}

// TestOrderOfEntries: an answer with an entry whose log index, though signed, is
// not by its place is not believed, and one line says so.
func TestOrderOfEntries(t *testing.T) {
	tiny := newTinyLog(t, `{"a":1}`, `{"a":2}`, `{"a":3}`)
	log := tiny.open(func(context.Context) (root.TrustedMaterial, error) { return tiny.trusted(), nil })
	var lines bytes.Buffer
	log.history.logger = slog.New(slog.NewTextHandler(&lines, nil))
	if _, err := log.look(t.Context(), someRef); err != nil {
		t.Fatal(err)
	}
	tiny.mu.Lock()
	tiny.swaps = true
	tiny.mu.Unlock()
	log.foreign.Purge()
	_, err := log.look(t.Context(), someRef)
	if !errors.Is(err, ErrLog) || !errors.Is(err, errOrder) {
		t.Errorf("got %v, want %v and %v", err, ErrLog, errOrder)
	}
	if got := lines.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, fmt.Sprintf("level=ERROR msg=%q tree=1 error=", errOrder)) {
		t.Errorf("got %s", got)
	}
}

// TestSameIndex: log indexes decide between records, so that no two entries may
// have the same one. One entry under two IDs may.
func TestSameIndex(t *testing.T) {
	at := func(index int64, uuid string) record.Sighting { return record.Sighting{Index: index, UUID: uuid} }
	for name, tc := range map[string]struct {
		in   []record.Sighting
		want string // their indexes in order, or an error's text
	}{
		"none":                {nil, "[]"},
		"in order":            {[]record.Sighting{at(1, tree1+leafA), at(2, tree1+leafB)}, "[1 2]"},
		"out of order":        {[]record.Sighting{at(9, tree1+leafA), at(-1, tree1+leafB), at(3, tree2+leafA)}, "[-1 3 9]"},
		"one entry, two IDs":  {[]record.Sighting{at(2, tree1+leafA), at(2, leafA)}, "[2 2]"},
		"two entries":         {[]record.Sighting{at(2, tree1+leafA), at(1, leafA), at(2, tree1+leafB)}, "have the same log index 2"},
		"two entries of many": {[]record.Sighting{at(2, tree1+leafA), at(2, leafA), at(2, tree2+leafB)}, "have the same log index 2"},
	} {
		t.Run(name, func(t *testing.T) {
			sorted, err := ordered(tc.in)
			indexes := []int64{}
			for _, s := range sorted {
				indexes = append(indexes, s.Index)
			}
			if err != nil {
				if !errors.Is(err, ErrLog) || !strings.HasSuffix(err.Error(), tc.want) {
					t.Errorf("got %v, want %s", err, tc.want)
				}
			} else if got := fmt.Sprint(indexes); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// TestSearchSameIndex: nor does a search return two.
func TestSearchSameIndex(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `["%s","%s"]`, tree1+leafA, tree2+leafB)
	}))
	defer server.Close()
	log := identitiesOf(t, server.URL)
	for other, want := range map[int64]error{1: nil, 2: ErrLog, 3: nil} {
		first, second := record.Sighting{UUID: tree1 + leafA, Index: 2, By: own}, record.Sighting{UUID: tree2 + leafB, Index: other, By: own}
		found, _, err := log.search(t.Context(), someRef, first, second)
		if !errors.Is(err, want) || err == nil && (len(found) != 2 || found[0].Index > found[1].Index) {
			t.Errorf("log indexes 2 and %d: got %v, %v; want %v", other, found, err, want)
		}
	}
}
