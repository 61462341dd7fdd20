package logtest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tlogistry/tlogistry/internal/record"
)

// A Statement says where the statement of an entry is.
type Statement int

// The places of a statement.
const (
	// Stored: in the log. Lookup returns the digest.
	Stored Statement = iota
	// Late: Lookup returns the sighting without a digest until Resolve has
	// named it.
	Late
	// Lost: the log has the hash alone. Lookup never returns the digest, and
	// Resolve names none but the one that it is given.
	Lost
	// Foreign: somewhere else. Lookup returns the sighting without a digest,
	// and Resolve finds that it is no record of its reference.
	Foreign
)

// A Store is the state of a log.
type Store struct {
	mu        sync.Mutex // guards everything below, entries included
	rand      *rand.Rand
	next      int64 // the next log index
	entries   []*entry
	statement Statement     // of entries to come
	lag       time.Duration // longest delay of entries to come
	hide      bool          // entries to come wait for Show
}

// An entry is one record in the log.
type entry struct {
	s         record.Sighting // with its digest
	statement Statement
	shown     chan struct{} // closed when Lookup shows it
}

func (e *entry) visible() bool {
	select {
	case <-e.shown:
		return true
	default:
		return false
	}
}

// sighting is the entry as a look-up returns it.
func (e *entry) sighting() record.Sighting {
	s := e.s
	if e.statement != Stored {
		s.Digest = ""
	}
	return s
}

// epoch is the integrated time of an entry with log index 0. Each index is a
// second.
var epoch = time.Date(2026, time.January, 2, 3, 4, 5, 0, time.UTC)

// New returns an empty log that shows at once what is written.
func New(seed uint64) *Store {
	r := rand.New(rand.NewPCG(seed, 1))
	return &Store{rand: r, next: r.Int64N(1000)}
}

// Instance returns a new instance on the log.
func (s *Store) Instance() *Instance {
	return newInstance(s)
}

// Fork returns a log of its own that holds what s shows by now. What is
// written to either of them from now on does not show in the other.
func (s *Store) Fork() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &Store{rand: rand.New(rand.NewPCG(s.rand.Uint64(), 2)), next: s.next}
	for _, e := range s.entries {
		if e.visible() {
			f.entries = append(f.entries, &entry{s: e.s, statement: e.statement, shown: e.shown})
		}
	}
	return f
}

// Lag makes each entry written from now on show after a delay below most,
// drawn for that entry alone: a later one may show before an earlier one.
// Zero means at once. It ends the effect of Hide.
func (s *Store) Lag(most time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag, s.hide = most, false
}

// Hide makes each entry written from now on wait for Show.
func (s *Store) Hide() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hide = true
}

// Show shows the entry with the ID, if there is one.
func (s *Store) Show(uuid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if e.s.UUID == uuid {
			e.show()
		}
	}
}

// ShowAll shows every entry written by now.
func (s *Store) ShowAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		e.show()
	}
}

// show needs the store's lock.
func (e *entry) show() {
	if !e.visible() {
		close(e.shown)
	}
}

// Withhold says where the statements of entries written from now on are.
func (s *Store) Withhold(st Statement) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.statement = st
}

// Record writes an entry as an instance that is not here would, and returns
// it. It panics if ref and digest make no record.
func (s *Store) Record(ref, digest string) record.Sighting {
	e, err := s.write(ref, digest)
	if err != nil {
		panic("logtest: " + err.Error())
	}
	return e.s
}

// Entries returns all that was written about ref, lowest index first, whether
// it shows or not, with digests.
func (s *Store) Entries(ref string) []record.Sighting {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []record.Sighting
	for _, e := range s.entries {
		if e.s.Ref == ref {
			all = append(all, e.s)
		}
	}
	return all
}

// identity is whose records the log holds.
func identity() record.Identity {
	return record.Identity{Issuer: "https://issuer.example", Subject: "tlogistry@logtest.example"}
}

// write makes an entry. Other people's entries lie between ours.
func (s *Store) write(ref, digest string) (*entry, error) {
	b, err := record.Statement{Identity: identity(), Ref: ref, Digest: digest}.Encode()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	index := s.next
	s.next += 1 + s.rand.Int64N(100)
	e := &entry{
		s: record.Sighting{
			Ref:    ref,
			Digest: digest,
			Hash:   sha256.Sum256(b),
			UUID:   fmt.Sprintf("%016x%016x%016x%016x%016x", 1, s.rand.Uint64(), s.rand.Uint64(), s.rand.Uint64(), s.rand.Uint64()),
			Index:  index,
			Time:   epoch.Add(time.Duration(index) * time.Second),
		},
		statement: s.statement,
		shown:     make(chan struct{}),
	}
	if e.statement == Foreign {
		e.s.Hash = sha256.Sum256([]byte(e.s.UUID)) // of a statement that is none of ours
	}
	s.entries = append(s.entries, e)
	switch {
	case s.hide:
	case s.lag > 0:
		// The timer outlives nothing: it closes a channel and ends.
		time.AfterFunc(time.Duration(s.rand.Int64N(int64(s.lag))), func() { s.Show(e.s.UUID) })
	default:
		e.show()
	}
	return e, nil
}

// settled waits until e and all entries about its reference before it show.
func (s *Store) settled(ctx context.Context, e *entry) error {
	for _, before := range s.upTo(e) {
		select {
		case <-before.shown:
		case <-ctx.Done():
			return fmt.Errorf("entry %s does not show: %w", before.s.UUID, ctx.Err())
		}
	}
	return nil
}

// upTo returns the entries about e's reference whose index is not above e's.
func (s *Store) upTo(e *entry) []*entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*entry
	for _, o := range s.entries {
		if o.s.Ref == e.s.Ref && o.s.Index <= e.s.Index {
			list = append(list, o)
		}
	}
	return list
}

// first returns the first entry about ref that shows, or nil. Foreign ones
// count where the caller cannot tell them from others yet.
func (s *Store) first(ref string, foreign bool) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if e.s.Ref == ref && e.visible() && (foreign || e.statement != Foreign) {
			return e
		}
	}
	return nil
}

// visible returns the sightings of ref that show, lowest index first.
func (s *Store) visible(ref string) []record.Sighting {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []record.Sighting
	for _, e := range s.entries {
		if e.s.Ref == ref && e.visible() {
			list = append(list, e.sighting())
		}
	}
	return list
}

// resolve names a sighting as front.Log's Resolve promises.
func (s *Store) resolve(seen record.Sighting, digest string) (record.Sighting, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if e.s.UUID != seen.UUID {
			continue
		}
		switch {
		case e.statement == Foreign:
			return seen, fmt.Errorf("%w: entry %s", record.ErrForeign, seen.UUID)
		case e.statement == Late:
			e.statement = Stored
		case e.statement == Lost && e.s.Digest != digest:
			return seen, nil
		}
		return e.s, nil
	}
	return seen, fmt.Errorf("no entry %s", seen.UUID)
}
