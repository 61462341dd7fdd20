package tilelog

import (
	"context"
	"fmt"
)

// Origin returns the log's name: the first line of its checkpoints.
func (l *Log) Origin() string { return l.key.signer.Name() }

// VerifierKey returns the key that the log's checkpoints are verified with, in
// the form of golang.org/x/mod/sumdb/note.
func (l *Log) VerifierKey() string { return l.key.text }

// Size returns how many entries the last checkpoint covers.
func (l *Log) Size() int64 { return l.published.Load().Size }

// Close refuses further calls of Add, waits for those under way until ctx
// ends, and lets another process have the directory. Look-ups go on working.
//
// If it fails, a write may not have ended. Then the directory stays locked for
// as long as this process lives. Close must not be called twice.
func (l *Log) Close(ctx context.Context) error {
	defer l.stop()
	done := make(chan struct{})
	go func() { // ends no later than the limit of Add after a failed Close
		defer close(done)
		l.adds.Close()
		l.handed.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("close the tile log: %w", ctx.Err())
	}
	// A checkpoint covers every entry written since the start.
	if err := l.shutdown(ctx); err != nil {
		return fmt.Errorf("close the tile log: %w", err)
	}
	return l.lock.Unlock()
}
