package soak

import (
	"slices"
	"sync"
	"time"
)

// A Move is a change of a tag at the registry.
// Until End the registry may have answered with the digest before it.
type Move struct {
	Tag, Digest string
	Start, End  time.Duration
}

// An Entry is a record that the log holds, read from it by somebody else than
// the service.
type Entry struct {
	Record
	Tag, Digest string
	// Shown says that the log's index has it. An entry whose index write was
	// lost has been served by nobody, and counts for nobody.
	Shown bool
}

// A History is what happened in a run, and the log as it was after it.
type History struct {
	Operations []Operation
	Moves      []Move // those of one tag in order
	Log        []Entry

	// Reach is how long before the start of a pull the registry may have been
	// asked on its behalf: pulls of one tag at a time share an exchange.
	Reach time.Duration
}

// A Recorder writes down a history. It is safe for concurrent use.
type Recorder struct {
	began time.Time

	mu         sync.Mutex
	operations []Operation
	moves      []Move
}

// NewRecorder starts a history.
func NewRecorder() *Recorder { return &Recorder{began: time.Now()} }

// Now returns the time since the start, by the monotonic clock.
func (r *Recorder) Now() time.Duration { return time.Since(r.began) }

// Operation adds an operation that has ended.
func (r *Recorder) Operation(o Operation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.operations = append(r.operations, o)
}

// Move adds a move that has been made. Moves of one tag must not overlap.
func (r *Recorder) Move(m Move) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.moves = append(r.moves, m)
}

// History returns what was written down so far.
func (r *Recorder) History() History {
	r.mu.Lock()
	defer r.mu.Unlock()
	return History{Operations: slices.Clone(r.operations), Moves: slices.Clone(r.moves)}
}

// offered returns the digests that the registry may have answered with for tag
// at some time from start to end.
func (h *History) offered(tag string, start, end time.Duration) []string {
	var digests []string
	for _, m := range h.Moves {
		if m.Tag != tag || m.Start > end {
			continue
		}
		if m.End < start { // what was before it was over by then
			digests = nil
		}
		digests = append(digests, m.Digest)
	}
	return digests
}

// ended returns how many operations had ended by a time.
func (h *History) ended(at time.Duration) int {
	n := 0
	for _, o := range h.Operations {
		if o.End <= at {
			n++
		}
	}
	return n
}
