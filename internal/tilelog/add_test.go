package tilelog_test

import (
	"context"
	"errors"
	"testing"

	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// add calls Add, and takes a record that was there before for an answer.
func add(ctx context.Context, l *tilelog.Log, ref, digest string) (record.Sighting, error) {
	s, err := l.Add(ctx, ref, digest)
	if errors.Is(err, record.ErrRecorded) {
		err = nil
	}
	return s, err
}

// Who made a record is told from who came later.
func TestAddTellsWhoWrote(t *testing.T) {
	l := mustOpen(t, tilelog.Config{Dir: t.TempDir()})
	defer mustClose(t, l)
	first, err := l.Add(t.Context(), alpine, digest("a"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{digest("a"), digest("b")} {
		if s, err := l.Add(t.Context(), alpine, d); !errors.Is(err, record.ErrRecorded) || s != first {
			t.Errorf("Add again: %+v, %v", s, err)
		}
	}
}
