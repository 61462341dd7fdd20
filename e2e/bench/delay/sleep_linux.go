package delay

import (
	"syscall"
	"time"
)

// inexact is more than a timer of the runtime's is late: where nothing else
// runs it waits in whole milliseconds.
const inexact = 2 * time.Millisecond

// sleepExactly has the kernel wait, which is some 60 µs late. A signal ends it
// early, and the runtime sends one to a goroutine that it preempts: the caller
// looks at the clock.
func sleepExactly(d time.Duration) {
	pause := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&pause, nil)
}
