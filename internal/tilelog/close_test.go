package tilelog_test

import (
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// Nothing that a log started goes on after it is closed.
func TestCloseEndsGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	l := mustOpen(t, tilelog.Config{Dir: t.TempDir()})
	fill(t, l, 0, 20)
	mustClose(t, l)
	for range 3000 { // the driver's end on their own, soon after
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	buf := make([]byte, 1<<20)
	t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
}

// The inclusion proof is of these bytes at this place and of no others.
func TestProve(t *testing.T) {
	l := mustOpen(t, tilelog.Config{Dir: t.TempDir()})
	defer mustClose(t, l)
	s := fill(t, l, 0, 300)[299]
	entry := encode(t, s.Ref, s.Digest, s.Time)
	if err := l.Prove(t.Context(), uint64(s.Index), []byte(entry)); err != nil {
		t.Error(err)
	}
	if err := l.Prove(t.Context(), uint64(s.Index), []byte(entry+" ")); !errors.Is(err, tilelog.ErrDamaged) {
		t.Errorf("other bytes: %v", err)
	}
	if err := l.Prove(t.Context(), uint64(s.Index+1)%300, []byte(entry)); !errors.Is(err, tilelog.ErrDamaged) {
		t.Errorf("another place: %v", err)
	}
}
