package rekorlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/tlogistry/tlogistry/internal/record"
)

// errOutranked says that the log shows a record of another digest before the one
// that this process has gone by. Which of them others were served is not known.
var errOutranked = errors.New("the log shows an earlier record, of another digest, than it has shown before")

// A memory is what a process knows of references: the sightings that it goes
// by, and which records it is writing. It is safe for concurrent use.
type memory struct {
	known *lru.Cache[string, []record.Sighting] // by reference, lowest index first and never none

	mu       sync.Mutex                   // held where one of these goes by another, and by known
	writing  map[string]chan struct{}     // by reference; closed when the write has ended
	disputed *lru.Cache[string, struct{}] // references that errOutranked was found of
}

func newMemory() *memory {
	return &memory{
		known:    newCache[[]record.Sighting](maxRemembered),
		writing:  make(map[string]chan struct{}),
		disputed: newCache[struct{}](maxDisputed),
	}
}

// get returns the sightings of ref that this process goes by.
func (m *memory) get(ref string) ([]record.Sighting, bool) { return m.known.Get(ref) }

// check returns errOutranked if that was found of ref.
func (m *memory) check(ref string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.disputed.Contains(ref) {
		return errOutranked
	}
	return nil
}

// begin notes that a record of ref is being written until end is called. There
// is one write of a reference at a time.
func (m *memory) begin(ref string) (end func()) {
	ended := make(chan struct{})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writing[ref] = ended
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.writing, ref)
		close(ended)
	}
}

// written waits until no record of ref is being written.
func (m *memory) written(ctx context.Context, ref string) error {
	m.mu.Lock()
	ended, ok := m.writing[ref]
	m.mu.Unlock()
	if !ok {
		return nil
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// found keeps what a reader has found, and returns what to go by. It reports
// false if a record of ref is being written: what shows meanwhile may be half of
// what the writer waits for.
func (m *memory) found(ref string, s []record.Sighting) ([]record.Sighting, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.writing[ref] != nil {
		return nil, false, nil
	}
	s, err := m.keep(ref, s)
	return s, true, err
}

// confirmed keeps what a writer has found.
func (m *memory) confirmed(ref string, s []record.Sighting) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, err := m.keep(ref, s)
	return err
}

// keep makes these the sightings of ref, and returns those that are. That there
// are none is never kept: another instance may record it at any moment. What is
// kept stays if it has the lower index. One with a lower index takes its place
// only if it is of the same digest: another one may have been served by now.
func (m *memory) keep(ref string, s []record.Sighting) ([]record.Sighting, error) {
	if len(s) == 0 {
		return nil, nil
	}
	if m.disputed.Contains(ref) {
		return nil, errOutranked
	}
	old, ok := m.known.Peek(ref)
	if ok && s[0].Index > old[0].Index {
		return old, nil
	}
	if ok && s[0].UUID != old[0].UUID && !sameDigest(old[0], s[0]) {
		m.known.Remove(ref)
		m.disputed.Add(ref, struct{}{})
		return nil, fmt.Errorf("%w: entry %s at log index %d, before entry %s at %d",
			errOutranked, s[0].UUID, s[0].Index, old[0].UUID, old[0].Index)
	}
	m.known.Add(ref, s)
	return s, nil
}

// sameDigest reports whether two sightings of one reference are known to name
// the same digest.
func sameDigest(a, b record.Sighting) bool {
	return a.Hash == b.Hash || a.Digest != "" && a.Digest == b.Digest
}

// forget forgets a sighting that is no record after all. What else is kept of its
// reference stays: the log may hide it by now.
func (m *memory) forget(foreign record.Sighting) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list, _ := m.known.Peek(foreign.Ref)
	list = slices.DeleteFunc(slices.Clone(list), func(r record.Sighting) bool { return r.UUID == foreign.UUID })
	if len(list) == 0 {
		m.known.Remove(foreign.Ref)
		return
	}
	m.known.Add(foreign.Ref, list)
}

// rename puts a resolved sighting in the place of the one kept.
func (m *memory) rename(named record.Sighting) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list, _ := m.known.Peek(named.Ref)
	i := slices.IndexFunc(list, func(r record.Sighting) bool { return r.UUID == named.UUID })
	if i < 0 {
		return
	}
	list = slices.Clone(list) // callers hold the other one
	list[i] = named
	m.known.Add(named.Ref, list)
}
