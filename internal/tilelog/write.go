package tilelog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/client"

	"github.com/tlogistry/tlogistry/internal/record"
)

// A written entry is in the log, but not yet known to be published.
type written struct {
	index uint64
	entry []byte
}

// pending has the written entries by reference, so that a reference whose Add
// gave up waiting is not written again.
type pending struct {
	mu      sync.Mutex
	entries map[string]written
}

// put keeps the first entry of a reference.
func (p *pending) put(ref string, w written) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.entries[ref]; ok {
		return
	}
	if p.entries == nil {
		p.entries = make(map[string]written)
	}
	p.entries[ref] = w
}

func (p *pending) get(ref string) (written, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w, ok := p.entries[ref]
	return w, ok
}

func (p *pending) remove(ref string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.entries, ref)
}

// Lookup returns the first record of ref that a published checkpoint covers,
// or an empty list. It reads memory alone, so it works while the disk does not.
func (l *Log) Lookup(_ context.Context, ref string) ([]record.Sighting, error) {
	s, ok, err := l.index.lookup(ref)
	if err != nil || !ok {
		return nil, err
	}
	return []record.Sighting{s}, nil
}

// Resolve returns the sighting as it is: the digest is always known here.
func (l *Log) Resolve(_ context.Context, s record.Sighting, _ string) (record.Sighting, error) {
	return s, nil
}

// Add writes the record of a tag, at the present time, and returns it once it
// is on the disk, covered by a published checkpoint whose root the entries
// give, and proved to be included in it by the hash tiles. A look-up finds it
// from then on.
//
// Calls for one reference are one call. If the log has a record of the
// reference already, nothing is written, and that record is returned with
// record.ErrRecorded, whatever its digest.
//
// After an error the record may be in the log all the same, and may then show
// later. A call that ends early leaves the work to itself.
func (l *Log) Add(ctx context.Context, ref, digest string) (record.Sighting, error) {
	if s, err := l.known(ref); err != nil {
		return s, err
	}
	s, err := l.adds.Do(ctx, ref, func(ctx context.Context) (record.Sighting, error) { return l.write(ctx, ref, digest) })
	switch {
	case errors.Is(err, record.ErrRecorded):
		return l.known(ref)
	case err != nil:
		return record.Sighting{}, fmt.Errorf("add a record of %s to the tile log: %w", ref, err)
	}
	return s, nil
}

// known returns the record of ref with record.ErrRecorded if there is one.
func (l *Log) known(ref string) (record.Sighting, error) {
	s, ok, err := l.index.lookup(ref)
	if err == nil && ok {
		err = record.ErrRecorded
	}
	return s, err
}

// write does the work of Add. No two calls for one reference run at once.
func (l *Log) write(ctx context.Context, ref, digest string) (record.Sighting, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	// Another call may have written it since Add looked.
	if s, err := l.known(ref); err != nil {
		return s, err
	}
	w, ok := l.pending.get(ref)
	if !ok {
		err := l.admit()
		if err != nil {
			return record.Sighting{}, err
		}
		if w, err = l.hand(ctx, Record{Ref: ref, Digest: digest, Time: time.Now()}); err != nil {
			return record.Sighting{}, err
		}
	}
	l.waiting.Add(1)
	defer l.waiting.Add(-1)
	_, raw, err := l.awaiter.Await(ctx, func() (tessera.Index, error) { return tessera.Index{Index: w.index}, nil })
	if err != nil {
		return record.Sighting{}, fmt.Errorf("wait for a checkpoint that covers entry %d: %w", w.index, err)
	}
	cp, err := l.follow(ctx, raw)
	if err == nil {
		err = l.prove(ctx, cp, w)
	}
	if err != nil {
		if ctx.Err() == nil {
			l.logger.Error("tile log cannot be verified", "index", w.index, "error", err)
		}
		return record.Sighting{}, err
	}
	// The first record of the reference may be another one: an earlier Add
	// that failed may have reached the log.
	s, ok, err := l.index.lookup(ref)
	switch {
	case err == nil && !ok:
		err = fmt.Errorf("entry %d is not in the index", w.index)
	case err == nil && uint64(s.Index) != uint64(w.index):
		err = record.ErrRecorded
	}
	return s, err
}

// hand gives an entry to the driver and returns it once it is on the disk. If
// ctx ends first, the entry may be written later.
func (l *Log) hand(ctx context.Context, r Record) (written, error) {
	entry, err := r.Encode()
	if err != nil {
		return written{}, err
	}
	if err := l.files.writable(); err != nil {
		return written{}, fmt.Errorf("write the entry: %w", err)
	}
	type answer struct {
		w   written
		err error
	}
	c := make(chan answer, 1)
	// Neither the driver's queue nor its answer waits for a context.
	l.handed.Go(func() {
		i, err := l.appender.Add(l.ctx, tessera.NewEntry(entry))()
		w := written{i.Index, entry}
		if err == nil {
			l.await(r.Ref, w)
		}
		c <- answer{w, err}
	})
	select {
	case a := <-c:
		if a.err != nil {
			return written{}, fmt.Errorf("write the entry: %w", a.err)
		}
		return a.w, nil
	case <-ctx.Done():
		return written{}, fmt.Errorf("write the entry: %w", ctx.Err())
	}
}

// await keeps an entry until it is published, unless it is already.
func (l *Log) await(ref string, w written) {
	l.following.Lock()
	defer l.following.Unlock()
	if w.index >= l.tree.End() {
		l.pending.put(ref, w)
	}
}

// prove proves that an entry is included under a checkpoint.
func (l *Log) prove(ctx context.Context, cp Checkpoint, w written) error {
	return l.included(ctx, cp, w.index, rfc6962.DefaultHasher.HashLeaf(w.entry))
}

// included builds the inclusion proof of a leaf from the hash tiles and checks
// it against a checkpoint.
func (l *Log) included(ctx context.Context, cp Checkpoint, index uint64, leaf []byte) error {
	size := uint64(cp.Size)
	b, err := client.NewProofBuilder(ctx, size, l.files.ReadTile)
	if err != nil {
		return err
	}
	p, err := b.InclusionProof(ctx, index)
	if err != nil {
		return fmt.Errorf("build the inclusion proof of entry %d: %w", index, err)
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, leaf, p, cp.Root[:]); err != nil {
		return fmt.Errorf("%w: entry %d is not included in the checkpoint of size %d: %w", ErrDamaged, index, size, err)
	}
	return nil
}
