package flight

import (
	"fmt"
	"runtime/debug"
)

// A PanicError is a panic that was caught in a goroutine of its own, where it
// would have ended the process.
type PanicError struct {
	Value any
	Stack []byte // of the goroutine, for the log
}

// Error tells the value alone.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Catch calls fn. If fn panics, the error is a *[PanicError]; else it is nil.
func Catch(fn func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: debug.Stack()}
		}
	}()
	fn()
	return nil
}
