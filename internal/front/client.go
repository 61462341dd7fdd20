package front

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	// pieceSize is how much of an answer a client is given the stall time for.
	pieceSize = 32 << 10

	// spareBuffers is how many buffers of a piece are kept: a pull has a dozen
	// blobs.
	spareBuffers = 8

	// takeLimit is how long a client may take for an answer that is held in
	// memory: 4 MiB at 35 kB/s.
	takeLimit = 2 * time.Minute

	// largeRoom bounds the bytes of answers of more than largeAnswer that clients
	// are reading. Nearly all manifests are shorter.
	largeAnswer = 64 << 10
	largeRoom   = 64 << 20

	// bodyWait is how long the connection waits, after the answer, for the rest
	// of a body that nobody reads.
	bodyWait = time.Second
)

// give writes an answer. A client that reads slowly makes the service hold what
// it asked for: so an answer in memory has to be taken within a bounded time,
// and only so many bytes are held at once. What is streamed holds one piece.
func (h *Handler) give(a *answer, w *clientWriter, method string) error {
	if a.stream == nil {
		w.until = time.Now().Add(takeLimit)
	}
	if n := int64(len(a.body)); n > largeAnswer && method != http.MethodHead {
		if !h.room.TryAcquire(n) {
			return errors.Join(errRoom, refuse(errRoom).write(w, method))
		}
		defer h.room.Release(n)
	}
	return a.write(w, method)
}

// A clientWriter writes to a client that may take stall for each piece, and
// remembers what was answered, for the log line.
type clientWriter struct {
	http.ResponseWriter
	stall  time.Duration
	until  time.Time // when all must have been taken; zero: whenever
	limit  time.Time // the deadline that was set last
	status int
	size   int64
}

// extend gives the client its time anew, unless it would get hardly more than
// it has: most answers are written at once, in several steps. net/http takes the
// deadline away after the answer.
func (w *clientWriter) extend() error {
	deadline := time.Now().Add(w.stall)
	if !w.until.IsZero() && w.until.Before(deadline) {
		deadline = w.until
	}
	if !w.limit.IsZero() && deadline.Sub(w.limit) < w.stall/64 {
		return nil
	}
	w.limit = deadline
	err := http.NewResponseController(w.ResponseWriter).SetWriteDeadline(deadline)
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("set the write deadline: %w", err)
	}
	return nil
}

func (w *clientWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	_ = w.extend() // where that fails the connection is gone, and Write says so
	w.ResponseWriter.WriteHeader(status)
}

// Write writes b in pieces.
func (w *clientWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	written := 0
	for {
		piece := b[written:min(written+pieceSize, len(b))]
		if err := w.extend(); err != nil {
			return written, err
		}
		n, err := w.ResponseWriter.Write(piece)
		w.size += int64(n)
		if written += n; err != nil || written == len(b) {
			return written, err
		}
	}
}

// FlushError sends what was written, for http.ResponseController.
func (w *clientWriter) FlushError() error {
	if err := w.extend(); err != nil {
		return err
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap gives http.ResponseController the deadlines of the connection.
func (w *clientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// withoutBody keeps the body of a request, which means nothing here, from
// holding up the answer: net/http would wait for it. What it returns is for the
// end of the handler, and bounds the wait that follows. The wait is there
// because a connection closed on data not read is reset, which can take the
// answer with it.
func withoutBody(w http.ResponseWriter, r *http.Request) (end func()) {
	if r.ContentLength == 0 {
		return func() {}
	}
	rc := http.NewResponseController(w)
	w.Header().Set("Connection", "close")
	_ = rc.EnableFullDuplex() // recorders in tests do not know it, and wait for no body
	return func() { _ = rc.SetReadDeadline(time.Now().Add(bodyWait)) }
}
