// Package limit bounds what strangers can make an instance do: how many
// requests come from one address, and how many new records are written.
//
// Both are token buckets. A limit of n a minute is a bucket of n tokens that
// gets one more every n-th part of a minute: n at once, and n a minute from
// then on. What is over a limit is refused at once, with the time to wait.
// Nothing waits here: clients that are told to come back do so by themselves,
// and a request that waits holds a connection.
package limit

import (
	"fmt"
	"strconv"
	"time"

	"golang.org/x/time/rate"
)

// An Error refuses what is over a limit.
type Error struct {
	What      string        // what is limited, such as "requests from one address"
	PerMinute int           // how many of it
	Wait      time.Duration // until one more is within the limit, above zero
}

func (e *Error) Error() string {
	return fmt.Sprintf("this instance allows %d %s a minute; try again in %s s", e.PerMinute, e.What, e.RetryAfter())
}

// RetryAfter returns the wait in whole seconds, rounded up, as the header of
// that name has it (RFC 9110, section 10.2.3).
func (e *Error) RetryAfter() string {
	return strconv.FormatInt(int64((e.Wait-1)/time.Second)+1, 10)
}

// newBucket returns a full bucket.
func newBucket(perMinute int) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(perMinute)/60, perMinute)
}

// take takes a token, or returns how long it is until there is one. Calls for
// one bucket must not run at once: to give back what was reserved is exact
// only where nothing else was reserved meanwhile.
func take(b *rate.Limiter, now time.Time) time.Duration {
	r := b.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}
