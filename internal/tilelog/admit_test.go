package tilelog_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// One record is admitted once, however many ask for it, and what is in the log
// already is not asked about. What is not admitted is not written.
func TestAdmit(t *testing.T) {
	full := errors.New("no more")
	var asked atomic.Int32
	l := mustOpen(t, tilelog.Config{Dir: t.TempDir(), Admit: func() error {
		if asked.Add(1) > 2 {
			return full
		}
		return nil
	}})
	defer mustClose(t, l)
	for n := range 2 {
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, err := add(t.Context(), l, numbered(n), digest("a")); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := int(asked.Load()); got != n+1 {
			t.Fatalf("asked %d times for %d records", got, n+1)
		}
	}
	if s, err := l.Add(t.Context(), numbered(2), digest("a")); !errors.Is(err, full) {
		t.Errorf("Add of one too many: %+v, %v", s, err)
	}
	if s, err := l.Lookup(t.Context(), numbered(2)); err != nil || len(s) > 0 {
		t.Errorf("it was written: %+v, %v", s, err)
	}
	if _, err := l.Add(t.Context(), numbered(1), digest("b")); !errors.Is(err, record.ErrRecorded) {
		t.Errorf("Add of what is recorded: %v", err)
	}
	if got := asked.Load(); got != 3 {
		t.Errorf("asked %d times, want 3", got)
	}
}
