package rekorlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
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
