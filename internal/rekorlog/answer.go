package rekorlog

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-openapi/runtime"
	"github.com/sigstore/rekor/pkg/generated/client/entries"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/transparency-dev/merkle/rfc6962"
)

// decoder returns what decodes answers of at most limit bytes.
func decoder(limit int64) runtime.Consumer {
	return runtime.ConsumerFunc(func(r io.Reader, v any) error { return decode(r, v, limit) })
}

// decode reads a JSON answer into v, to its end: one that breaks off after
// what looks whole is none.
func decode(r io.Reader, v any, limit int64) error {
	d := json.NewDecoder(newBoundedBody(io.NopCloser(r), limit))
	if err := decodeValue(d, v); err != nil {
		return err
	}
	t, err := d.Token()
	if err == io.EOF {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("%v after the answer", t)
	}
	return err
}

// decodeValue reads Rekor's lists one element after the other, and no further
// than they can be right: text of a megabyte can make values of fifty.
func decodeValue(d *json.Decoder, v any) error {
	switch v := v.(type) {
	case *[]string:
		return decodeList(d, func() error {
			var s string
			if err := d.Decode(&s); err != nil {
				return err
			}
			if !entryID.MatchString(s) {
				return fmt.Errorf("%w: the index names %.100q, which is no entry's ID", ErrLog, s)
			}
			*v = append(*v, s)
			return nil
		}, func() { *v = []string{} })
	case *[]models.LogEntry:
		answered := 0
		return decodeList(d, func() error {
			var e models.LogEntry
			err := decodeEntries(d, &e)
			if answered += len(e); err == nil && (answered > maxBatch || len(*v) == maxBatch) {
				err = fmt.Errorf("%w: more than %d entries are answered", ErrLog, maxBatch)
			}
			*v = append(*v, e)
			return err
		}, func() { *v = []models.LogEntry{} })
	case *models.LogEntry:
		return decodeEntries(d, v)
	}
	return d.Decode(v)
}

// decodeList reads a list by elements. It calls begin where there is one, and
// not where there is null.
func decodeList(d *json.Decoder, element func() error, begin func()) error {
	t, err := d.Token()
	if err != nil || t == nil {
		return err
	}
	if t != json.Delim('[') {
		return fmt.Errorf("%v in the place of a list", t)
	}
	begin()
	for d.More() {
		if err := element(); err != nil {
			return cutOff(err)
		}
	}
	_, err = d.Token()
	return cutOff(err)
}

// cutOff keeps the end of an answer in its midst from passing for the end of an
// empty one, which the generated client takes for an answer.
func cutOff(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// decodeEntries reads an object of entries by their IDs.
func decodeEntries(d *json.Decoder, v *models.LogEntry) error {
	t, err := d.Token()
	if err != nil || t == nil {
		return err
	}
	if t != json.Delim('{') {
		return fmt.Errorf("%v in the place of entries", t)
	}
	*v = make(models.LogEntry)
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return cutOff(err)
		}
		id, _ := t.(string) // a member's name, or the decoder has failed
		if len(*v) == maxBatch {
			return fmt.Errorf("%w: more than %d entries are answered", ErrLog, maxBatch)
		}
		if _, ok := (*v)[id]; ok {
			return fmt.Errorf("%w: the entry %.100q is answered twice", ErrLog, id)
		}
		// A body that is no text stays as it is: as a value it may be any size.
		var e struct {
			models.LogEntryAnon
			Body json.RawMessage `json:"body"`
		}
		if err := d.Decode(&e); err != nil {
			return cutOff(err)
		}
		var body string
		if e.Body != nil && json.Unmarshal(e.Body, &body) == nil && e.Body[0] == '"' {
			e.LogEntryAnon.Body = body
		} else if e.Body != nil {
			e.LogEntryAnon.Body = e.Body
		}
		(*v)[id] = e.LogEntryAnon
	}
	_, err = d.Token()
	return cutOff(err)
}

// oversized proves that an entry is too large to be a record, without holding
// it in memory. What has an ID's leaf hash is that entry, and there is no other.
func (c *client) oversized(ctx context.Context, id string) error {
	size, err := read(ctx, c.timeout, func(ctx context.Context) (int64, error) {
		p := entries.NewSearchLogQueryParamsWithTimeout(c.timeout).WithEntry(&models.SearchLogQuery{EntryUUIDs: []string{id}})
		leaf := &leafReader{}
		_, err := c.rekor.Entries.SearchLogQueryContext(ctx, p, func(op *runtime.ClientOperation) { op.Reader = leaf })
		if leaf.read && hex.EncodeToString(leaf.hash[:]) == leafOf(id) {
			return leaf.size, nil
		}
		return 0, errors.Join(err, errTooLong)
	})
	if err == nil && size <= maxLeaf {
		err = errTooLong
	}
	return err
}

// large reports whether an answered entry is proved to be too large to be a
// record, as oversized does.
func large(id string, e *models.LogEntryAnon) bool {
	body, ok := e.Body.(string)
	if !ok || len(body) <= base64.StdEncoding.EncodedLen(maxLeaf) {
		return false
	}
	h := sha256.New()
	h.Write([]byte{rfc6962.RFC6962LeafHashPrefix})
	size, err := io.Copy(h, base64.NewDecoder(base64.StdEncoding, strings.NewReader(body)))
	return err == nil && size > maxLeaf && hex.EncodeToString(h.Sum(nil)) == leafOf(id)
}

// A leafReader reads, of an answer of one entry, its leaf's hash and size.
type leafReader struct {
	read bool
	hash [sha256.Size]byte
	size int64
}

// ReadResponse implements [runtime.ClientResponseReader].
func (l *leafReader) ReadResponse(resp runtime.ClientResponse, _ runtime.Consumer) (any, error) {
	if resp.Code() != 200 {
		return nil, entries.NewSearchLogQueryDefault(resp.Code())
	}
	b := bufio.NewReader(resp.Body())
	if err := skipToBody(b); err != nil {
		return nil, err
	}
	h := sha256.New()
	h.Write([]byte{rfc6962.RFC6962LeafHashPrefix})
	size, err := io.Copy(h, base64.NewDecoder(base64.StdEncoding, &quoted{r: b}))
	if err != nil {
		return nil, err
	}
	*l = leafReader{true, [sha256.Size]byte(h.Sum(nil)), size}
	return entries.NewSearchLogQueryOK(), nil
}

// skipToBody reads until the text of a body begins. Rekor's own encoder writes
// no spaces; what is written in another way is not found.
func skipToBody(b *bufio.Reader) error {
	const rest = `body":"` // after a quotation mark
	for {
		_, err := b.ReadSlice('"')
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil {
			return err
		}
		if next, _ := b.Peek(len(rest)); string(next) == rest {
			_, err := b.Discard(len(rest))
			return err
		}
	}
}

// quoted reads until a quotation mark.
type quoted struct {
	r    io.Reader
	done bool
}

func (q *quoted) Read(p []byte) (int, error) {
	if q.done {
		return 0, io.EOF
	}
	n, err := q.r.Read(p)
	if i := bytes.IndexByte(p[:n], '"'); i >= 0 {
		q.done = true
		return i, nil
	}
	return n, err
}
