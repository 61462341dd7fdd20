package delay

import (
	"syscall"
	"time"
)

// inexact is more than a timer of the runtime's is late: where nothing else
// runs it waits in whole milliseconds.
const inexact = 2 * time.Millisecond

// sleepExactly has the kernel wait, which is some 60 µs late. An error would be
// a shorter sleep.
func sleepExactly(d time.Duration) {
	pause := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&pause, nil)
}
