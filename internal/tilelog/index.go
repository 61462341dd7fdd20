package tilelog

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tlogistry/tlogistry/internal/record"
)

// An index finds the first record of each reference. It is safe for concurrent
// use.
type index struct {
	mu sync.RWMutex
	// Neither keys nor values have pointers, so that a million records cost
	// the garbage collector nothing.
	first      map[[sha256.Size]byte]place
	duplicates int64
}

// A place is a record without its reference, whose SHA-256 is its key.
type place struct {
	digest  [sha256.Size]byte
	seconds int64 // Unix time
	index   int64
}

// An indexed is a record on its way into an index.
type indexed struct {
	Record
	index int64
}

// add takes in valid records, which come in the order of the log.
func (x *index) add(list ...indexed) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.first == nil {
		x.first = make(map[[sha256.Size]byte]place)
	}
	for _, r := range list {
		k := sha256.Sum256([]byte(r.Ref))
		if _, ok := x.first[k]; ok {
			x.duplicates++
			continue
		}
		p := place{seconds: r.Time.Unix(), index: r.index}
		digest := strings.TrimPrefix(r.Digest, "sha256:")
		if n, err := hex.Decode(p.digest[:], []byte(digest)); err != nil || n != len(p.digest) {
			return fmt.Errorf("%w: digest %.100q", record.ErrFormat, r.Digest)
		}
		x.first[k] = p
	}
	return nil
}

// lookup returns the first record of the reference, if there is one.
func (x *index) lookup(ref string) (record.Sighting, bool, error) {
	x.mu.RLock()
	p, ok := x.first[sha256.Sum256([]byte(ref))]
	x.mu.RUnlock()
	if !ok {
		return record.Sighting{}, false, nil
	}
	r := Record{Ref: ref, Digest: "sha256:" + hex.EncodeToString(p.digest[:]), Time: time.Unix(p.seconds, 0)}
	s, err := r.Sighting(p.index)
	return s, err == nil, err
}

// counts returns how many references the index has, and how many later records
// of them it left out.
func (x *index) counts() (references int, duplicates int64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.first), x.duplicates
}
