package rekorlog

import (
	"context"

	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/tally"
)

// Recall returns what Lookup would return for ref, if that is remembered.
func (l *Log) Recall(ctx context.Context, ref string) ([]record.Sighting, bool) {
	s, ok := l.memory.get(ref)
	if ok {
		tally.Note(ctx, tally.RecordHit, 1)
	}
	return s, ok
}
