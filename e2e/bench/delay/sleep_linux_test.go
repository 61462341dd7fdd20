package delay

import (
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// A signal, as the runtime sends one to preempt, shortens no sleep.
func TestSleepThroughSignals(t *testing.T) {
	p := &Proxy{closing: make(chan struct{})}
	thread, slept := make(chan int), make(chan time.Duration)
	go func() {
		runtime.LockOSThread() // ends with the goroutine
		thread <- syscall.Gettid()
		due := time.Now().Add(50 * time.Millisecond)
		p.sleepUntil(due)
		slept <- time.Since(due)
	}()
	id := <-thread
	for {
		select {
		case late := <-slept:
			if late < 0 {
				t.Errorf("woke %v early", -late)
			}
			return
		case <-time.After(100 * time.Microsecond):
			if err := syscall.Tgkill(os.Getpid(), id, syscall.SIGURG); err != nil {
				t.Fatal(err)
			}
		}
	}
}
