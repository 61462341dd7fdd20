package rekorlog

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/sigstore/rekor/pkg/util"

	"github.com/tlogistry/tlogistry/internal/flight"
)

const (
	// maxTrees is how many trees of a log are followed. Rekor begins a new one
	// about once a year. One more than these is refused rather than another
	// forgotten: a log that signs trees at will could wash away what was seen.
	maxTrees = 64
	// maxProved is how many heads older than the newest are remembered, about
	// 200 bytes each. A head forgotten is proved once more.
	maxProved = 1024
)

// errOrder says that an entry's log index is not in the order of its tree.
var errOrder = errors.New("the log's indexes are not in the order of its tree")

// A tree is one of a log's trees. Rekor begins a new one from time to time, and
// serves the old ones on.
type tree struct {
	log string // the log's ID, the hash of its key in hexadecimal
	id  string // what ends the origin of its checkpoints, in Rekor a decimal number
}

// A head is the state of a tree that a checkpoint vouches for.
type head struct {
	size uint64
	root [sha256.Size]byte
}

// treeOf returns the tree that a checkpoint signed by a log is of. Rekor names
// it at the end of the origin, after the name of the server, which no proof
// depends on: the same tree under two names is one tree.
func treeOf(log string, c *util.SignedCheckpoint) tree {
	return tree{log, c.Origin[strings.LastIndexByte(c.Origin, ' ')+1:]}
}

// headOf returns the head that a checkpoint vouches for.
func headOf(c *util.SignedCheckpoint) (head, error) {
	if len(c.Hash) != sha256.Size {
		return head{}, fmt.Errorf("its checkpoint's root hash has %d bytes", len(c.Hash))
	}
	return head{c.Size, [sha256.Size]byte(c.Hash)}, nil
}

// A history is what a process has seen of a log's trees. It remembers the
// newest head of each, and believes another one only once it is proved to be of
// the same history. It is safe for concurrent use.
type history struct {
	// extends proves that a tree with the second head is one with the first
	// that has grown. A contradiction is ErrFork; that there is no answer, not.
	extends func(context.Context, tree, head, head) error
	logger  *slog.Logger
	proofs  *flight.Group[struct{}]

	mu     sync.Mutex
	newest map[tree]head
	starts map[tree]int64           // log index of each tree's first leaf; of trees in newest
	proved *lru.Cache[string, head] // by tree and size; each a beginning of the newest
}

// newHistory returns an empty history. A proof may take limit.
func newHistory(extends func(context.Context, tree, head, head) error, limit time.Duration, logger *slog.Logger) *history {
	return &history{
		extends: extends,
		logger:  logger,
		proofs:  flight.NewGroup[struct{}](limit),
		newest:  make(map[tree]head),
		starts:  make(map[tree]int64),
		proved:  newCache[head](maxProved),
	}
}

func (h *history) close() { h.proofs.Close() }

// check returns nil if a head that the log has signed is of the history seen so
// far, and makes it part of that. The first head of a tree is believed. An
// older one is: replicas lag. One proof is asked for where the head is new; of
// callers with the same pair of heads, one asks.
func (h *history) check(ctx context.Context, t tree, c head) error {
	for {
		newest, known, err := h.compare(t, c)
		if err == nil && known {
			return nil
		}
		if err == nil {
			err = h.prove(ctx, t, newest, c)
		}
		if err != nil {
			if errors.Is(err, ErrFork) {
				h.logger.ErrorContext(ctx, ErrFork.Error(), slog.String("tree", t.id),
					slog.Uint64("believedSize", newest.size), slog.String("believedRoot", fmt.Sprintf("%x", newest.root)),
					slog.Uint64("size", c.size), slog.String("root", fmt.Sprintf("%x", c.root)))
			}
			return err
		}
		if h.learn(t, newest, c) {
			return nil
		}
	}
}

// checkAll checks the heads that entries are proved by. The newest comes first,
// against which the others are then checked.
func (h *history) checkAll(ctx context.Context, entries []*logged) error {
	entries = slices.Clone(entries)
	slices.SortFunc(entries, func(a, b *logged) int { return cmp.Compare(b.head.size, a.head.size) })
	for _, e := range entries {
		if e.entry == nil {
			continue // proved by its hash alone
		}
		if err := h.check(ctx, e.tree, e.head); err != nil {
			return fmt.Errorf("entry %s: %w", e.id, err)
		}
		if err := h.order(e.tree, *e.entry.LogIndex, *e.entry.Verification.InclusionProof.LogIndex); err != nil {
			h.logger.ErrorContext(ctx, errOrder.Error(), slog.String("tree", e.tree.id), slog.String("error", err.Error()))
			return fmt.Errorf("%w: entry %s: %w", ErrLog, e.id, err)
		}
	}
	return nil
}

// order returns nil if an entry's log index is its proved place in its tree and
// what all entries of the tree have in common: how many the trees before had.
// So the order of log indexes, which decides, is that of the tree. The first
// entry of a tree is believed, after its head. Rekor reckons this from the
// lengths of its trees before, which grow no more.
func (h *history) order(t tree, index, place int64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	start, ok := h.starts[t]
	if !ok {
		start = max(0, index-place)
		h.starts[t] = start
	}
	if index-place != start {
		return fmt.Errorf("%w: log index %d at place %d, where the tree's first has %d", errOrder, index, place, start)
	}
	return nil
}

// compare returns the head that c is to be compared with, and whether it is
// known to be of the same history.
func (h *history) compare(t tree, c head) (newest head, known bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	newest, ok := h.newest[t]
	if !ok {
		if len(h.newest) == maxTrees {
			return c, false, fmt.Errorf("%w: it has signed more than %d trees", ErrLog, maxTrees)
		}
		h.newest[t] = c
		return c, true, nil
	}
	same := newest
	if c.size != newest.size {
		if same, ok = h.proved.Get(mark(t, c.size)); !ok {
			return newest, false, nil
		}
	}
	if same.root != c.root {
		return same, false, fmt.Errorf("%w: two root hashes at size %d: %x and %x", ErrFork, c.size, same.root, c.root)
	}
	return newest, true, nil
}

// prove proves that the smaller of two trees is the beginning of the larger.
func (h *history) prove(ctx context.Context, t tree, a, b head) error {
	if a.size > b.size {
		a, b = b, a
	}
	_, err := h.proofs.Do(ctx, fmt.Sprint(t, a, b), func(ctx context.Context) (struct{}, error) {
		return struct{}{}, h.extends(ctx, t, a, b)
	})
	return err
}

// learn remembers c, which was proved to be of one history with what was the
// newest head then. It returns false if that does not prove it to be of one
// with what is the newest now: two trees that grow from one may differ.
func (h *history) learn(t tree, then, c head) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch now := h.newest[t]; {
	case c.size < then.size: // then is of the history of now
		h.proved.Add(mark(t, c.size), c)
	case now != then:
		return false
	default:
		h.proved.Add(mark(t, then.size), then)
		h.newest[t] = c
	}
	return true
}

func mark(t tree, size uint64) string {
	return t.log + " " + t.id + " " + strconv.FormatUint(size, 10)
}
