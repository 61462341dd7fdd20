package rekorlog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
)

// branchSize is how large the trees of tests are, forkSize how much of them two
// branches have in common.
const (
	branchSize = 40
	forkSize   = 10
)

// branch grows a tree of which the first forkSize leaves are the same whatever
// the name.
func branch(name string) *testonly.Tree {
	t := testonly.New(rfc6962.DefaultHasher)
	for i := range branchSize {
		leaf := fmt.Sprint("leaf ", i)
		if i >= forkSize {
			leaf += name
		}
		t.AppendData([]byte(leaf))
	}
	return t
}

func at(t *testonly.Tree, size uint64) head { return head{size, [sha256.Size]byte(t.HashAt(size))} }

// A prover proves what the branches that it serves can, and counts.
type prover struct {
	branches []*testonly.Tree
	fails    error
	proofs   atomic.Int32
	gate     chan struct{} // if not nil, each proof waits for it to be closed
}

func (p *prover) extends(ctx context.Context, _ tree, a, b head) error {
	p.proofs.Add(1)
	if p.gate != nil {
		select {
		case <-p.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if p.fails != nil {
		return p.fails
	}
	err := ErrFork
	for _, t := range p.branches {
		hashes, perr := t.ConsistencyProof(a.size, b.size)
		if perr != nil {
			return perr
		}
		if proof.VerifyConsistency(rfc6962.DefaultHasher, a.size, b.size, hashes, a.root[:], b.root[:]) == nil {
			err = nil
		}
	}
	return err
}

var someTree = tree{"log", "1"}

// TestHistory gives heads to a history, one after the other.
func TestHistory(t *testing.T) {
	one, two := branch("one"), branch("two")
	down := errors.New("down")
	type step struct {
		head   head
		proofs int32 // asked for
		err    error
	}
	for name, steps := range map[string][]step{
		"the first is believed":                    {{at(one, 20), 0, nil}},
		"the same again":                           {{at(one, 20), 0, nil}, {at(one, 20), 0, nil}},
		"grown":                                    {{at(one, 20), 0, nil}, {at(one, 21), 1, nil}, {at(one, 40), 1, nil}},
		"grown, and the same again":                {{at(one, 20), 0, nil}, {at(one, 30), 1, nil}, {at(one, 30), 0, nil}},
		"a replica lags":                           {{at(one, 20), 0, nil}, {at(one, 15), 1, nil}, {at(one, 15), 0, nil}, {at(one, 20), 0, nil}},
		"a replica goes back and forth":            {{at(one, 20), 0, nil}, {at(one, 30), 1, nil}, {at(one, 20), 0, nil}, {at(one, 30), 0, nil}},
		"empty at first":                           {{at(one, 0), 0, nil}, {at(one, 30), 1, nil}, {at(two, 40), 1, ErrFork}},
		"other root, same size":                    {{at(one, 20), 0, nil}, {at(two, 20), 0, ErrFork}},
		"other root, larger":                       {{at(one, 20), 0, nil}, {at(two, 30), 1, ErrFork}},
		"other root, smaller":                      {{at(one, 20), 0, nil}, {at(two, 15), 1, ErrFork}},
		"other root, at a size from before":        {{at(one, 20), 0, nil}, {at(one, 30), 1, nil}, {at(two, 20), 0, ErrFork}},
		"smaller than where they part":             {{at(one, 20), 0, nil}, {at(two, 10), 1, nil}},
		"refused, and goes on":                     {{at(one, 20), 0, nil}, {at(two, 30), 1, ErrFork}, {at(one, 30), 1, nil}, {at(one, 20), 0, nil}},
		"refused again":                            {{at(one, 20), 0, nil}, {at(two, 30), 1, ErrFork}, {at(two, 30), 1, ErrFork}},
		"a smaller one does not become the newest": {{at(one, 20), 0, nil}, {at(one, 10), 1, nil}, {at(two, 15), 1, ErrFork}},
	} {
		t.Run(name, func(t *testing.T) {
			p := &prover{branches: []*testonly.Tree{one, two}}
			h := newHistory(p.extends, time.Minute, slog.New(slog.DiscardHandler))
			defer h.close()
			for i, s := range steps {
				p.proofs.Store(0)
				err := h.check(t.Context(), someTree, s.head)
				if !errors.Is(err, s.err) || p.proofs.Load() != s.proofs {
					t.Errorf("step %d: got %v after %d proofs, want %v after %d", i, err, p.proofs.Load(), s.err, s.proofs)
				}
			}
		})
	}
	t.Run("no proof to be had", func(t *testing.T) {
		p := &prover{branches: []*testonly.Tree{one}}
		h := newHistory(p.extends, time.Minute, slog.New(slog.DiscardHandler))
		defer h.close()
		for i, s := range []struct{ fails, err error }{{nil, nil}, {down, down}, {down, down}, {nil, nil}} {
			p.fails = s.fails
			size := uint64(30)
			if i == 0 {
				size = 20
			}
			if err := h.check(t.Context(), someTree, at(one, size)); !errors.Is(err, s.err) || errors.Is(err, ErrFork) {
				t.Errorf("step %d: got %v, want %v", i, err, s.err)
			}
		}
	})
}

// TestHistoryTrees: each tree of each log has a history of its own, and there
// cannot be any number of them.
func TestHistoryTrees(t *testing.T) {
	one, two := branch("one"), branch("two")
	p := &prover{branches: []*testonly.Tree{one, two}}
	h := newHistory(p.extends, time.Minute, slog.New(slog.DiscardHandler))
	defer h.close()
	for i := range maxTrees {
		b := one
		if i%2 == 1 {
			b = two
		}
		of := tree{fmt.Sprint("log ", i/4), fmt.Sprint(i % 4)}
		if err := h.check(t.Context(), of, at(b, 20)); err != nil {
			t.Fatal(err)
		}
	}
	const want = "the log's answer cannot be verified: it has signed more than 64 trees"
	if err := h.check(t.Context(), tree{"log", "more"}, at(one, 20)); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := h.check(t.Context(), tree{"log 0", "0"}, at(one, 30)); err != nil {
		t.Error(err)
	}
	if err := h.check(t.Context(), tree{"log 0", "1"}, at(one, 30)); !errors.Is(err, ErrFork) {
		t.Errorf("got %v, want %v", err, ErrFork)
	}
}

// TestHistoryForgets: a size that is no longer remembered is proved once more.
func TestHistoryForgets(t *testing.T) {
	one := testonly.New(rfc6962.DefaultHasher)
	for i := range maxProved + 10 {
		one.AppendData(fmt.Append(nil, i))
	}
	p := &prover{branches: []*testonly.Tree{one}}
	h := newHistory(p.extends, time.Minute, slog.New(slog.DiscardHandler))
	defer h.close()
	for size := uint64(1); size <= one.Size(); size++ {
		if err := h.check(t.Context(), someTree, at(one, size)); err != nil {
			t.Fatal(err)
		}
	}
	if n := h.proved.Len(); n != maxProved {
		t.Errorf("%d heads are remembered, want %d", n, maxProved)
	}
	p.proofs.Store(0)
	for _, size := range []uint64{1, 1, maxProved} {
		if err := h.check(t.Context(), someTree, at(one, size)); err != nil {
			t.Error(err)
		}
	}
	if n := p.proofs.Load(); n != 1 {
		t.Errorf("%d proofs, want 1", n)
	}
}

// TestHistoryShares: callers that meet the same head at once share one proof.
func TestHistoryShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := branch("one")
		p := &prover{branches: []*testonly.Tree{one}, gate: make(chan struct{})}
		h := newHistory(p.extends, time.Minute, slog.New(slog.DiscardHandler))
		defer h.close()
		if err := h.check(t.Context(), someTree, at(one, 20)); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				if err := h.check(t.Context(), someTree, at(one, 30)); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(p.gate)
		wg.Wait()
		if n := p.proofs.Load(); n != 1 {
			t.Errorf("%d proofs, want 1", n)
		}
	})
}

// TestHistoryRace: two branches both extend the newest head. Proved at the same
// moment, one of them is believed.
func TestHistoryRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := branch("one"), branch("two")
		p := &prover{branches: []*testonly.Tree{one, two}, gate: make(chan struct{})}
		h := newHistory(p.extends, time.Minute, slog.New(slog.DiscardHandler))
		defer h.close()
		if err := h.check(t.Context(), someTree, at(one, 5)); err != nil {
			t.Fatal(err)
		}
		errs := make([]error, 2)
		var wg sync.WaitGroup
		for i, b := range []*testonly.Tree{one, two} {
			wg.Go(func() { errs[i] = h.check(t.Context(), someTree, at(b, 20+uint64(i))) })
		}
		synctest.Wait() // both are being proved
		close(p.gate)
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs...), ErrFork) {
			t.Errorf("got %v and %v, want one of them to be %v", errs[0], errs[1], ErrFork)
		}
	})
}

// TestHistoryManyAtOnce: whatever is checked at once, all that is believed is
// of one branch.
func TestHistoryManyAtOnce(t *testing.T) {
	branches := []*testonly.Tree{branch("one"), branch("two"), branch("three")}
	for seed := range uint64(50) {
		p := &prover{branches: branches}
		h := newHistory(p.extends, time.Minute, slog.New(slog.DiscardHandler))
		random := rand.New(rand.NewPCG(seed, 0))
		var believed [3]atomic.Int32
		var wg sync.WaitGroup
		for range 60 {
			i, size := random.IntN(3), 1+random.Uint64N(branchSize)
			wg.Go(func() {
				err := h.check(t.Context(), someTree, at(branches[i], size))
				switch {
				case err == nil && size > forkSize:
					believed[i].Add(1)
				case err != nil && !errors.Is(err, ErrFork):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		h.close()
		one, two, three := believed[0].Load() > 0, believed[1].Load() > 0, believed[2].Load() > 0
		if one && two || two && three || one && three {
			t.Errorf("seed %d: heads of several branches are believed: %v, %v, %v", seed, one, two, three)
		}
	}
}

// TestHistorySays: a contradiction is one line of the log, which names both.
func TestHistorySays(t *testing.T) {
	one, two := branch("one"), branch("two")
	var lines bytes.Buffer
	p := &prover{branches: []*testonly.Tree{one, two}}
	h := newHistory(p.extends, time.Minute, slog.New(slog.NewTextHandler(&lines, nil)))
	defer h.close()
	for _, c := range []head{at(one, 20), at(one, 30), at(two, 40)} {
		_ = h.check(t.Context(), someTree, c) // the last one fails
	}
	want := fmt.Sprintf(` level=ERROR msg="the log's checkpoints contradict each other" tree=1 believedSize=30 believedRoot=%x size=40 root=%x`+"\n",
		one.HashAt(30), two.HashAt(40))
	if got := lines.String(); strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, want) {
		t.Errorf("got  %swant …%s", got, want)
	}
}
