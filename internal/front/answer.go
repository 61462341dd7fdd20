package front

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// An answer is a response not yet written.
type answer struct {
	status int
	header http.Header   // with Content-Length where the body is not in body
	body   []byte        // the body, unless stream is set
	stream io.ReadCloser // streamed body
}

// write writes the answer. Its error is for the log: the status is already out.
func (a *answer) write(w http.ResponseWriter, method string, stall time.Duration) error {
	if a.stream != nil {
		defer a.stream.Close()
	}
	h := w.Header()
	maps.Copy(h, a.header)
	h.Set("Docker-Distribution-Api-Version", "registry/2.0")
	h.Set("X-Content-Type-Options", "nosniff")
	// Without a body the length that GET would have is not known here (HEAD).
	if a.stream == nil && h.Get("Content-Length") == "" && (a.body != nil || method != http.MethodHead) {
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
	if method == http.MethodHead {
		return nil
	}
	if a.stream != nil {
		return copyStream(w, a.stream, stall)
	}
	if _, err := w.Write(a.body); err != nil {
		return fmt.Errorf("write to the client: %w", err)
	}
	return nil
}

// copyStream copies a blob to a client, which may take stall for each piece.
// A stream that breaks off breaks the connection, so that no client takes the
// part for the whole.
func copyStream(w http.ResponseWriter, r io.Reader, stall time.Duration) error {
	rc := http.NewResponseController(w)
	buf := make([]byte, 32<<10)
	for {
		n, rerr := r.Read(buf)
		if n > 0 {
			if err := rc.SetWriteDeadline(time.Now().Add(stall)); err != nil && !errors.Is(err, http.ErrNotSupported) {
				return fmt.Errorf("set the write deadline: %w", err)
			}
			if _, err := w.Write(buf[:n]); err != nil {
				return fmt.Errorf("write to the client: %w", err)
			}
		}
		if rerr == io.EOF {
			return nil
		}
		if rerr != nil {
			// The past deadline keeps net/http from ending a chunked body in order.
			_ = rc.SetWriteDeadline(time.Unix(1, 0))
			return fmt.Errorf("read the blob: %w", rerr)
		}
	}
}

// A countingWriter remembers what was answered, for the log line.
type countingWriter struct {
	http.ResponseWriter
	status int
	size   int64
}

func (w *countingWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *countingWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.size += int64(n)
	return n, err
}

// Unwrap gives http.ResponseController the deadlines of the connection.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// clone returns a copy of an upstream's header that can be added to.
func clone(h http.Header) http.Header {
	if h == nil {
		return make(http.Header)
	}
	return h.Clone()
}
