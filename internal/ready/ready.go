// Package ready says whether a service has what it needs to answer pulls, part
// by part, and why not.
//
// Whoever may ask that is a stranger: the reasons are from a fixed list of
// words, and what the error itself says is for the service's own log. And he
// may ask often: an answer is kept for a few seconds, and those who ask
// meanwhile share it.
package ready

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/tlogistry/tlogistry/internal/flight"
)

const (
	// limit is how long a check may take.
	limit = 5 * time.Second
	// kept is how long a report is kept. Probes come every few seconds.
	kept = 5 * time.Second
)

// A Part is something that the service needs.
type Part struct {
	Name string
	// Check returns why the part is not there. It must not write anywhere but
	// in caches, and return soon after ctx ends. An [ErrUnverified] error has a
	// reason of its own, as have those of the net and io/fs packages, and one
	// with a method Code, as clients of go-openapi have it, which returns an
	// HTTP status.
	Check func(ctx context.Context) error
}

// ErrUnverified is to be wrapped by a part's error where an answer was had and
// cannot be verified.
var ErrUnverified = errors.New("unverified")

// A Report is what the parts' checks have returned.
type Report struct {
	Ready bool     `json:"ready"` // every part is
	Parts []Status `json:"parts"`
}

// A Status is one part's.
type Status struct {
	Name   string `json:"name"`
	Ready  bool   `json:"ready"`
	Reason string `json:"reason,omitempty"` // why it is not ready
}

// A Checker checks parts. It is safe for concurrent use.
type Checker struct {
	parts   []Part
	logger  *slog.Logger
	limit   time.Duration
	kept    time.Duration
	flights *flight.Group[Report]

	mu   sync.Mutex
	last Report
	made time.Time // when last was
}

// New returns a checker of parts. Why one is not ready is logged as a warning
// when it is found.
func New(logger *slog.Logger, parts ...Part) *Checker {
	return newChecker(logger, limit, kept, parts)
}

func newChecker(logger *slog.Logger, limit, kept time.Duration, parts []Part) *Checker {
	return &Checker{parts: parts, logger: logger, limit: limit, kept: kept,
		flights: flight.NewGroup[Report](2 * limit)}
}

// Close waits for checks under way. Afterwards nothing is ready.
func (c *Checker) Close() { c.flights.Close() }

// Report checks every part, all at the same time, unless that was done a
// moment ago. It takes 5 s at most. A nil checker has no parts, and is ready.
func (c *Checker) Report(ctx context.Context) Report {
	if c == nil {
		return Report{Ready: true, Parts: []Status{}}
	}
	if r, ok := c.recent(); ok {
		return r
	}
	r, err := c.flights.Do(ctx, "", func(ctx context.Context) (Report, error) {
		if r, ok := c.recent(); ok { // made since the caller looked
			return r, nil
		}
		return c.check(ctx), nil
	})
	if err != nil { // nobody waits for the report, or the service ends
		return Report{}
	}
	return r
}

func (c *Checker) recent() (Report, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, !c.made.IsZero() && time.Since(c.made) < c.kept
}

// check checks every part and keeps the report.
func (c *Checker) check(ctx context.Context) Report {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	r := Report{Ready: true, Parts: make([]Status, len(c.parts))}
	var wg sync.WaitGroup
	for i, p := range c.parts {
		wg.Go(func() { r.Parts[i] = c.status(ctx, p) })
	}
	wg.Wait()
	for _, s := range r.Parts {
		r.Ready = r.Ready && s.Ready
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.made = r, time.Now()
	return r
}

func (c *Checker) status(ctx context.Context, p Part) Status {
	var err error
	var panicked *flight.PanicError
	if caught := flight.Catch(func() { err = p.Check(ctx) }); errors.As(caught, &panicked) {
		err = caught
		c.logger.ErrorContext(ctx, "panic", slog.String("error", fmt.Sprint(panicked.Value)), slog.String("stack", string(panicked.Stack)))
	}
	if err == nil {
		return Status{Name: p.Name, Ready: true}
	}
	s := Status{Name: p.Name, Reason: reason(err)}
	c.logger.WarnContext(ctx, "not ready", slog.String("part", p.Name), slog.String("reason", s.Reason), slog.String("error", err.Error()))
	return s
}

// reason says what is wrong, in words that tell nothing else.
func reason(err error) string {
	var status interface{ Code() int }
	var network net.Error
	var path *fs.PathError
	switch {
	case errors.Is(err, ErrUnverified):
		return "its answer cannot be verified"
	case errors.As(err, &status):
		return fmt.Sprintf("it answers with status %d", status.Code())
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "it does not answer in time"
	case errors.As(err, &path):
		return "its files cannot be used"
	case errors.As(err, &network):
		return "it cannot be reached"
	}
	return "it fails; the service's log says how"
}
