package logtest

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/tlogistry/tlogistry/internal/record"
)

// A Call names a method of front.Log, or a part of one, that can be told to
// fail and to be held.
type Call int

// The calls of an instance.
const (
	// Lookup, which is held with its answer already made: what is written
	// meanwhile is not in it.
	Lookup Call = iota
	// Resolve, which is held before it looks.
	Resolve
	// Add, which is held, and fails, before it writes.
	Add
	// Confirm: the part of Add that follows the write. Where it fails the
	// entry is in the log.
	Confirm

	calls = iota
)

// limit ends an Add that nobody waits for.
const limit = time.Minute

// An Instance is a log as one process sees it: a front.Log.
type Instance struct {
	store *Store
	adds  singleflight.Group // by reference

	mu     sync.Mutex // guards everything below
	always bool
	lie    func(ref string, truth []record.Sighting) []record.Sighting
	stages [calls]stage
}

// A stage is what one call was told.
type stage struct {
	count int
	fail  error
	once  bool
	gate  *Gate
}

func newInstance(s *Store) *Instance {
	return &Instance{store: s}
}

// Lookup returns the sightings of ref that show, lowest index first. Where one
// shows before another with a lower index, it waits for that one.
func (in *Instance) Lookup(ctx context.Context, ref string) ([]record.Sighting, error) {
	err := in.begin(Lookup)
	if err != nil {
		return nil, err
	}
	var seen []record.Sighting
	if e := in.store.first(ref, true); e != nil {
		if err := in.store.settled(ctx, e); err != nil {
			return nil, err
		}
		seen = in.store.visible(ref)
	}
	if lie := in.liar(); lie != nil {
		seen = lie(ref, seen)
	}
	return seen, in.pass(ctx, Lookup)
}

// Resolve fills in the digest of a sighting; see [Statement].
func (in *Instance) Resolve(ctx context.Context, s record.Sighting, digest string) (record.Sighting, error) {
	if err := in.begin(Resolve); err != nil {
		return s, err
	}
	if err := in.pass(ctx, Resolve); err != nil {
		return s, err
	}
	return in.store.resolve(s, digest)
}

// Add writes the record and returns it when it shows with all records of ref
// before it. Calls for one ref at a time make one entry, and where one shows
// by then there is no other: it is returned.
func (in *Instance) Add(ctx context.Context, ref, digest string) (record.Sighting, error) {
	if err := in.begin(Add); err != nil {
		return record.Sighting{}, err
	}
	if err := in.pass(ctx, Add); err != nil {
		return record.Sighting{}, err
	}
	if in.writesAlways() {
		return in.add(ctx, ref, digest)
	}
	c := in.adds.DoChan(ref, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
		defer cancel()
		if e := in.store.first(ref, false); e != nil {
			return e.s, in.store.settled(ctx, e)
		}
		return in.add(ctx, ref, digest)
	})
	select {
	case r := <-c:
		if r.Err != nil {
			return record.Sighting{}, r.Err
		}
		return r.Val.(record.Sighting), nil
	case <-ctx.Done():
		return record.Sighting{}, ctx.Err()
	}
}

func (in *Instance) add(ctx context.Context, ref, digest string) (record.Sighting, error) {
	e, err := in.store.write(ref, digest)
	if err != nil {
		return record.Sighting{}, err
	}
	if err := in.begin(Confirm); err != nil {
		return record.Sighting{}, err
	}
	if err := in.pass(ctx, Confirm); err != nil {
		return record.Sighting{}, err
	}
	return e.s, in.store.settled(ctx, e)
}

// WriteAlways makes every Add write an entry of its own, which the contract of
// front.Log allows.
func (in *Instance) WriteAlways() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.always = true
}

func (in *Instance) writesAlways() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.always
}

// Lie makes Lookup return what f makes of the truth. It must not change its
// argument in place. Nil makes the instance honest again.
func (in *Instance) Lie(f func(ref string, truth []record.Sighting) []record.Sighting) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.lie = f
}

func (in *Instance) liar() func(string, []record.Sighting) []record.Sighting {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.lie
}

// Calls returns how often a call was made, those that failed included.
func (in *Instance) Calls(c Call) int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.stages[c].count
}

// Fail makes a call fail with err until it is told nil.
func (in *Instance) Fail(c Call, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.stages[c].fail, in.stages[c].once = err, false
}

// FailOnce makes a call fail with err the next time.
func (in *Instance) FailOnce(c Call, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.stages[c].fail, in.stages[c].once = err, true
}

// begin counts a call and returns the error that it was told.
func (in *Instance) begin(c Call) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	st := &in.stages[c]
	st.count++
	err := st.fail
	if st.once {
		st.fail, st.once = nil, false
	}
	return err
}
