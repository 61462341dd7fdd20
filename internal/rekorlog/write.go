package rekorlog

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/tlogistry/tlogistry/internal/record"
)

// Add writes the record, waits until its own entry shows in the index and the
// settle time has passed since the create was answered, and remembers all
// sightings of ref that then show. Calls for one ref at a time make one entry.
// If a record of ref is known by now, none is written: record.ErrRecorded.
func (l *Log) Add(ctx context.Context, ref, digest string) (record.Sighting, error) {
	return l.adds.Do(ctx, ref, func(ctx context.Context) (record.Sighting, error) {
		defer l.memory.begin(ref)()
		if _, ok := l.memory.get(ref); ok {
			return record.Sighting{}, record.ErrRecorded // since the caller looked
		}
		if err := l.memory.check(ref); err != nil {
			return record.Sighting{}, err
		}
		if err := l.earlier(ctx, ref); err != nil {
			return record.Sighting{}, err
		}
		ctx, cancel := context.WithTimeout(ctx, l.writeLimit()) // anew, after that wait
		defer cancel()
		d, err := l.draft(ctx, ref, digest)
		if err == nil {
			err = l.c.Admit()
		}
		if err != nil {
			return record.Sighting{}, err // nothing was written
		}
		own, settled, err := l.write(ctx, d)
		if err == nil {
			err = l.confirm(ctx, own, settled)
		}
		if err != nil {
			l.unsure.Add(ref, time.Now())
		}
		return own, err
	})
}

// earlier fails with record.ErrRecorded if an earlier call has made a record of
// ref without learning of it. The caller may have looked before that showed.
func (l *Log) earlier(ctx context.Context, ref string) error {
	failed, ok := l.unsure.Get(ref)
	if !ok {
		return nil
	}
	if err := sleep(ctx, l.c.Settle-time.Since(failed)); err != nil {
		return err
	}
	s, err := l.settled(ctx, ref)
	if err == nil {
		err = l.remember(ctx, ref, s)
	}
	if err != nil {
		return err
	}
	l.unsure.Remove(ref)
	if len(s) > 0 {
		return record.ErrRecorded
	}
	return nil
}

// write logs a draft and verifies the entry made. It returns when the write
// will have settled.
func (l *Log) write(ctx context.Context, d draft) (record.Sighting, time.Time, error) {
	asked := time.Now()
	c, err := l.propose(ctx, d)
	if err != nil {
		return record.Sighting{}, time.Time{}, err
	}
	answered := time.Now()
	own, err := l.verifyOwn(ctx, d, c)
	if c.entry == nil {
		// That it is in the tree, and not only on its way there, is known since now.
		answered = time.Now()
	}
	return own, answered.Add(l.settle(answered.Sub(asked))), err
}

// settle returns how long a write settles that took so long. It is at least
// that long: a log that is slow to answer, for load, is slow to fill its index
// too. Measured on two cores with 480 first pulls at once, where a create took
// seconds, a constant 250 ms let 1 to 3 of 240 pairs end with two digests.
// A settle time of zero is meant: no wait.
func (l *Log) settle(took time.Duration) time.Duration {
	if l.c.Settle == 0 {
		return 0
	}
	return max(l.c.Settle, took)
}

// verifyOwn verifies the entry just made, as strictly as any other. One that the
// log only names is fetched, and held no longer than others are.
func (l *Log) verifyOwn(ctx context.Context, d draft, c created) (record.Sighting, error) {
	var own record.Sighting
	err := l.c.Trust.judge(ctx, func(tm root.TrustedMaterial) error {
		verify := func(entries entriesByID) error {
			proved, err := l.proved(ctx, entries, tm)
			if err != nil {
				return err
			}
			proved[0].statement = d.statement
			own, err = identify(proved[0], tm, d.id, d.ref)
			return err
		}
		if c.entry == nil {
			return l.gather.entries(ctx, []string{c.uuid}, verify)
		}
		return verify(entriesByID{c.uuid: c.entry})
	})
	if err != nil {
		return own, fmt.Errorf("verify the entry written: %w", err)
	}
	if own.Digest == "" {
		return own, fmt.Errorf("%w: entry %s is not the one proposed", ErrLog, c.uuid)
	}
	return own, nil
}

// confirm waits until own shows in the index and its write has settled, in
// whatever order, and remembers what shows.
func (l *Log) confirm(ctx context.Context, own record.Sighting, settled time.Time) error {
	if err := sleep(ctx, time.Until(settled)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, l.c.Timeout)
	defer cancel()
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 10*time.Millisecond, time.Second
	for hidden := false; ; hidden = true {
		sightings, _, err := l.search(ctx, own.Ref, own)
		switch {
		case err != nil && hidden && ctx.Err() != nil: // the last search came too late
			return fmt.Errorf("%w: entry %s: %w", ErrHidden, own.UUID, err)
		case err != nil:
			return err
		}
		if slices.ContainsFunc(sightings, func(s record.Sighting) bool { return s.UUID == own.UUID }) {
			return l.remember(ctx, own.Ref, sightings)
		}
		if err := sleep(ctx, wait.NextBackOff()); err != nil {
			return fmt.Errorf("%w: entry %s", ErrHidden, own.UUID)
		}
	}
}
