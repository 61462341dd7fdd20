//go:build !linux

package delay

import "time"

const inexact = 0

// sleepExactly is up to a millisecond late.
func sleepExactly(d time.Duration) { time.Sleep(d) }
