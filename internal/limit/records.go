package limit

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Records limits the new records of an instance. It is safe for concurrent
// use. A nil one limits nothing.
type Records struct {
	perMinute int

	mu     sync.Mutex // held for take
	bucket *rate.Limiter
}

// NewRecords returns a limit of new records; zero is no limit.
func NewRecords(perMinute int) *Records {
	if perMinute == 0 {
		return nil
	}
	return &Records{perMinute: perMinute, bucket: newBucket(perMinute)}
}

// Take is for a log to call when it is about to write a record. Its error is
// an [*Error], and then nothing may be written.
func (r *Records) Take() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if wait := take(r.bucket, time.Now()); wait > 0 {
		return &Error{What: "new records", PerMinute: r.perMinute, Wait: wait}
	}
	return nil
}
