package tilelog

import "context"

// Ready returns why the log cannot be read or written now. It writes nothing.
func (l *Log) Ready(ctx context.Context) error {
	if err := l.files.writable(); err != nil {
		return err
	}
	_, err := l.files.ReadCheckpoint(ctx)
	return err
}
