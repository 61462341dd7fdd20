package upstream

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
)

// roomBytes bounds the bytes of all bodies that are being read and checked at
// the same time, apart from the first 64 KiB of each. Two that do not say how
// long they are have room. Where they are slow, other long ones wait; the short
// ones, as nearly all manifests are, do not.
const roomBytes = 2 * (maxBody + 1)

// A body is the body of an answer, read whole.
type body struct {
	*bytes.Reader
	text []byte // all of it; not to be changed
}

func (body) Close() error { return nil }

// read reads a body to its end or one byte past the limit: 4 MiB if large
// bodies are wanted and the status is 200, else 64 KiB. A body that says that
// it is longer than 4 MiB is not read. The room for a long one is held until
// ctx ends, which is when the exchange does: what was read is checked by then.
func (t *trip) read(ctx context.Context, resp *http.Response) ([]byte, error) {
	wanted := t.large && resp.StatusCode == http.StatusOK
	if wanted && resp.ContentLength > maxBody {
		return nil, nil
	}
	head, err := io.ReadAll(io.LimitReader(resp.Body, smallBody+1))
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
		return nil, err
	}
	release := func() { t.client.room.Release(size) }
	held := context.AfterFunc(ctx, release)
	text := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	text.Write(head)
	if _, err := text.ReadFrom(io.LimitReader(resp.Body, size-int64(len(head)))); err != nil {
		if held() { // it may be read again
			release()
		}
		return nil, fmt.Errorf("%w: %w", errBadBody, err)
	}
	if resp.ContentLength < 0 && text.Len() <= maxBody {
		return bytes.Clone(text.Bytes()), nil // it may be kept, and the rest of the room not
	}
	return text.Bytes(), nil
}
