package record

import (
	"errors"
	"strconv"
	"time"
)

// A Sighting is a record proved to be in the log under an identity whose
// records count.
type Sighting struct {
	Ref    string    // fully qualified, such as "index.docker.io/library/alpine:3.16.0"
	Digest string    // "sha256:" and 64 hex digits; empty where the log no longer has the statement
	Hash   [32]byte  // sha256 of the logged statement: what proves or refutes a digest when Digest is empty
	UUID   string    // log entry ID
	Index  int64     // log index, the order that decides
	Time   time.Time // integrated time, claimed by the log, to the second
	By     Identity  // who signed it; zero where the log itself vouches for what is in it
}

// ErrForeign says that a log's entry is no record of the reference by the
// identity. Anyone can write to a public log, so such an entry is ignored.
var ErrForeign = errors.New("not a record of this reference by this identity")

// ErrRecorded says that a log has a record of the reference already, so that
// none was written.
var ErrRecorded = errors.New("recorded already")

// An Outcome is what a log's sightings of a tag say about a digest.
type Outcome int

// The outcomes of [Decide].
const (
	// Unseen: the log holds no record of the tag.
	Unseen Outcome = iota
	// Same: the deciding record names the digest.
	Same
	// Moved: the deciding record names another digest.
	Moved
	// Unnamed: the deciding record's statement is not known, only its hash.
	Unnamed
)

// String returns the outcome's name in logs.
func (o Outcome) String() string {
	switch o {
	case Unseen:
		return "unseen"
	case Same:
		return "same"
	case Moved:
		return "moved"
	case Unnamed:
		return "unnamed"
	}
	return "Outcome(" + strconv.Itoa(int(o)) + ")"
}

// Decide says what the sightings of one tag mean for the digest about to be
// served. Of several sightings, in whatever order, the one with the lowest log
// index decides; it is returned unless there is none.
func Decide(digest string, sightings []Sighting) (Outcome, Sighting) {
	if len(sightings) == 0 {
		return Unseen, Sighting{}
	}
	first := sightings[0]
	for _, s := range sightings[1:] {
		if s.Index < first.Index {
			first = s
		}
	}
	switch first.Digest {
	case "": // before the next case: no digest at all must not be the same
		return Unnamed, first
	case digest:
		return Same, first
	}
	return Moved, first
}
