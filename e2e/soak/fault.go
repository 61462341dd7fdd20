package soak

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Fault is what happens to one request. The zero value is nothing.
type Fault struct {
	Status int           // answered instead of the server
	Delay  time.Duration // before the request reaches the server
	Hold   time.Duration // between the server's answer and the client
	// Cut resets the connection: the request is lost, or the answer to it if
	// the server has had the request.
	Cut  bool
	Lost bool // with Cut: it is the answer that is lost
}

// kind names a fault for the count.
func (f Fault) kind() string {
	switch {
	case f.Status != 0:
		return fmt.Sprint(f.Status)
	case f.Lost:
		return "answer lost"
	case f.Cut:
		return "reset"
	case f.Hold > 0:
		return "answer slow"
	case f.Delay > 0:
		return "slow"
	}
	return ""
}

// Faults draws the faults of one server. The nth request gets the same fault
// for the same seed and the same rate then. It is safe for concurrent use.
type Faults struct {
	stall time.Duration

	mu     sync.Mutex
	random *rand.Rand
	rate   float64
	counts map[string]int
}

// NewFaults returns the faults of a server, by a seed and a stream of its own.
// There are none before the first SetRate. Some requests are slower than
// stall, which is to be more than the client's limit.
func NewFaults(seed, stream uint64, stall time.Duration) *Faults {
	return &Faults{stall: stall, random: rand.New(rand.NewPCG(seed, stream)), counts: make(map[string]int)}
}

// SetRate sets how many faults there are per request.
func (f *Faults) SetRate(rate float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rate = rate
}

// Next draws the fault of the next request.
func (f *Faults) Next() Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	// All is drawn for every request: so the nth does not depend on what the
	// rate was for those before it.
	chance, what, slow := f.random.Float64(), f.random.IntN(40), time.Duration(f.random.Int64N(int64(400*time.Millisecond)))
	if chance >= f.rate {
		return Fault{}
	}
	fault := draw(what, slow)
	if what == 0 {
		fault = Fault{Delay: f.stall}
	}
	f.counts[fault.kind()]++
	return fault
}

func draw(what int, slow time.Duration) Fault {
	statuses := []int{http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusTooManyRequests}
	switch what % 8 {
	case 0, 1, 2, 3:
		return Fault{Status: statuses[what%4]}
	case 4:
		return Fault{Cut: true}
	case 5:
		return Fault{Cut: true, Lost: true}
	case 6:
		return Fault{Delay: slow}
	}
	return Fault{Hold: slow}
}

// Count returns how many faults there were.
func (f *Faults) Count() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.counts {
		n += c
	}
	return n
}

// String lists the faults, such as "502 1, reset 3".
func (f *Faults) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(f.counts)) {
		parts = append(parts, fmt.Sprint(kind, " ", f.counts[kind]))
	}
	return strings.Join(parts, ", ")
}
