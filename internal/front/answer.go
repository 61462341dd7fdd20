package front

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// An answer is a response not yet written. Its header is in three parts, of
// which a later one wins: a map costs more than all else in the answers that are
// given most often.
type answer struct {
	status int
	shared http.Header   // of an upstream's answer; not to be changed
	fields []field       // what goes with most answers
	header http.Header   // what goes with few
	body   []byte        // the body, unless stream is set
	stream io.ReadCloser // streamed body; then the header has its Content-Length
	spare  buffers       // for stream
}

// A field is a line of a header. Its name is in the form that net/http gives it.
type field struct{ name, value string }

// Fields of every answer. Nobody changes them.
var (
	apiVersion = []string{"registry/2.0"}
	noSniff    = []string{"nosniff"}
)

// lay puts the header where it goes out.
func (a *answer) lay(h http.Header) {
	maps.Copy(h, a.shared)
	values := make([]string, len(a.fields))
	for i, f := range a.fields {
		values[i] = f.value
		h[f.name] = values[i : i+1 : i+1]
	}
	maps.Copy(h, a.header)
	h["Docker-Distribution-Api-Version"] = apiVersion
	h["X-Content-Type-Options"] = noSniff
}

// write writes the answer. Its error is for the log: the status is already out.
func (a *answer) write(w http.ResponseWriter, method string) error {
	if a.stream != nil {
		defer a.stream.Close()
	}
	h := w.Header()
	a.lay(h)
	// Without a body the length that GET would have is not known here (HEAD).
	if a.stream == nil && h.Get("Content-Length") == "" && (a.body != nil || method != http.MethodHead) {
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
	if method == http.MethodHead {
		return nil
	}
	if a.stream != nil {
		return copyStream(w, a.stream, a.spare)
	}
	if _, err := w.Write(a.body); err != nil {
		return fmt.Errorf("write to the client: %w", err)
	}
	// The client need not wait until the log line is written.
	_ = http.NewResponseController(w).Flush() // an error is of the connection, and the next to use it meets it
	return nil
}

// buffers keeps a few buffers that are not in use. It is safe for concurrent use.
// A sync.Pool would keep as many as there were streams at once, and the garbage
// collector would let the heap grow by twice their bytes. Nil keeps none.
type buffers chan *[pieceSize]byte

// take returns a buffer for the caller alone.
func (b buffers) take() *[pieceSize]byte {
	select {
	case buffer := <-b:
		return buffer
	default:
		return new([pieceSize]byte)
	}
}

// give takes a buffer back that the caller does not use any more.
func (b buffers) give(buffer *[pieceSize]byte) {
	select {
	case b <- buffer:
	default: // enough are there
	}
}

// copyStream copies a blob to a client. A stream that breaks off breaks the
// connection, so that no client takes the part for the whole.
func copyStream(w http.ResponseWriter, r io.Reader, spare buffers) error {
	piece := spare.take()
	defer spare.give(piece)
	for {
		n, rerr := r.Read(piece[:])
		if n > 0 {
			if _, err := w.Write(piece[:n]); err != nil {
				return fmt.Errorf("write to the client: %w", err)
			}
		}
		if rerr == io.EOF {
			return nil
		}
		if rerr != nil {
			// A client that has seen nothing of an answer asks again, for ever.
			_ = http.NewResponseController(w).Flush()
			breakOff(w)
			return fmt.Errorf("read the blob: %w", rerr)
		}
	}
}

// breakOff ends the connection when the handler returns: with the deadline past,
// net/http cannot end a chunked body in order.
func breakOff(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0)) // recorders in tests have none
}

// clone returns a copy of an upstream's header that can be added to.
func clone(h http.Header) http.Header {
	if h == nil {
		return make(http.Header)
	}
	return h.Clone()
}
