package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
)

// roomBytes bounds the bytes of all bodies that are being read and checked at
// the same time, apart from the first 32 KiB of each: one that does not say how
// long it is, and others of a mebibyte in all. The process takes a multiple of
// it, as what was read is garbage for a while. Where one is slow, other long
// ones wait; the short ones, as nearly all manifests are, do not.
const roomBytes = maxBody + 1 + 1<<20

// errNoRoom says that others' long bodies took all the time that there was.
var errNoRoom = errors.New("no room for the answer")

// A body is the body of an answer, read whole.
type body struct {
	*bytes.Reader
	text []byte // all of it; not to be changed
}

func (body) Close() error { return nil }

// read reads a body to its end or one byte past the limit: 4 MiB if large
// bodies are wanted and the status is 200, else 64 KiB, which errors, token
// services and pings do not need. A body that says that it is longer than 4 MiB
// is not read. The room for a long one is held until ctx ends, which is when the
// exchange does: what was read is checked by then.
func (t *trip) read(ctx context.Context, resp *http.Response) ([]byte, error) {
	wanted := t.large && resp.StatusCode == http.StatusOK
	if wanted && resp.ContentLength > maxBody {
		return nil, nil
	}
	first := int64(otherBody)
	if wanted {
		first = smallBody
	}
	head, err := io.ReadAll(io.LimitReader(resp.Body, first+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBadBody, err)
	}
	if !wanted || len(head) <= smallBody {
		return head, nil
	}
	size := int64(maxBody + 1)
	if resp.ContentLength >= 0 {
		size = resp.ContentLength
	}
	if err := t.client.room.Acquire(ctx, size); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoRoom, err)
	}
	release := func() { t.client.room.Release(size) }
	held := context.AfterFunc(ctx, release)
	text := bytes.NewBuffer(t.client.spare.take(size))
	text.Write(head)
	switch _, err := text.ReadFrom(io.LimitReader(resp.Body, size-int64(len(head)))); {
	case err != nil:
		if held() { // it may be read again
			release()
		}
		t.client.spare.put(text.Bytes())
		return nil, fmt.Errorf("%w: %w", errBadBody, err)
	case text.Len() > maxBody:
		resp.ContentLength = int64(text.Len())
		t.client.spare.put(text.Bytes())
		return nil, nil
	case text.Len() < text.Cap()/2:
		short := bytes.Clone(text.Bytes()) // it may be kept, and what it did not fill not with it
		t.client.spare.put(text.Bytes())
		return short, nil
	}
	return text.Bytes(), nil
}

// A spare is a buffer for the next body of unknown length. Bodies without end
// would make garbage of 4 MiB each, faster than it is collected.
type spare struct {
	buffer atomic.Pointer[[]byte]
}

// take returns an empty buffer for a body of a size.
func (s *spare) take(size int64) []byte {
	if size > maxBody {
		if b := s.buffer.Swap(nil); b != nil {
			return (*b)[:0]
		}
	}
	return make([]byte, 0, size+bytes.MinRead)
}

// put takes back a buffer that nobody else has seen.
func (s *spare) put(b []byte) {
	if cap(b) > maxBody {
		s.buffer.Store(&b)
	}
}
