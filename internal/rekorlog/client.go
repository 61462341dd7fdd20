package rekorlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-openapi/runtime"
	httptransport "github.com/go-openapi/runtime/client"
	"github.com/go-openapi/strfmt"
	rekor "github.com/sigstore/rekor/pkg/generated/client"
	"github.com/sigstore/rekor/pkg/generated/client/entries"
	"github.com/sigstore/rekor/pkg/generated/client/index"
	"github.com/sigstore/rekor/pkg/generated/models"

	"github.com/tlogistry/tlogistry/internal/tally"
)

const (
	// maxAnswer bounds an answer of Rekor that is kept, in bytes. Ten entries
	// with their statements have about 100 KiB, ten thousand search hits 850 KiB.
	maxAnswer = 2 << 20
	// maxLeaf is more than any record has in the log, in bytes. An entry that
	// makes an answer too long to be kept is read up to maxLarge, in passing, to
	// prove that it has more.
	maxLeaf  = 256 << 10
	maxLarge = 64 << 20
	// maxBatch is how many entries Rekor gives at once.
	maxBatch = 10
	// readTries is how often a call that only reads is made at most.
	readTries = 3
	// silence is how long a connection may be silent before it is asked whether
	// it is dead, and then before it is given up. Over HTTP/2 it is the only one.
	silence = 5 * time.Second
)

// errTooLong says that an answer is longer than it may be.
var errTooLong = errors.New("the answer is too long")

// entryID is an entry's ID: the ID of its tree, if given, and its leaf hash.
var entryID = regexp.MustCompile(`^(?:[0-9a-f]{16})?[0-9a-f]{64}$`)

// A client makes Rekor's calls, each with a limit. It checks the form of
// answers, not their truth.
type client struct {
	rekor     *rekor.Rekor
	timeout   time.Duration
	transport http.RoundTripper
}

func newClient(u *url.URL, timeout time.Duration, t http.RoundTripper) *client {
	if t == nil {
		own := http.DefaultTransport.(*http.Transport).Clone()
		own.MaxResponseHeaderBytes = 64 << 10
		own.MaxIdleConnsPerHost = 32
		own.HTTP2 = &http.HTTP2Config{SendPingTimeout: silence, PingTimeout: silence}
		t = own
	}
	path := u.Path
	if path == "" {
		path = rekor.DefaultBasePath
	}
	rt := httptransport.NewWithClient(u.Host, path, []string{u.Scheme}, &http.Client{
		Transport: boundedTransport{t},
		// What another server answers is not the log's word, and an answer of
		// none would be believed. A redirect is an error.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	})
	rt.Consumers = map[string]runtime.Consumer{runtime.JSONMime: decoder(maxAnswer)}
	return &client{rekor: rekor.New(rt, strfmt.Default), timeout: timeout, transport: t}
}

func (c *client) close() {
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// search returns the IDs of the entries that the index has for the query, each
// once, and the time of the answer by the server's clock, zero if it gave none.
// The answer has at most limit bytes.
func (c *client) search(ctx context.Context, q *models.SearchIndex, limit int64) ([]string, time.Time, error) {
	var date time.Time
	ids, err := read(ctx, c.timeout, func(ctx context.Context) ([]string, error) {
		p := index.NewSearchIndexParamsWithTimeout(c.timeout).WithQuery(q)
		ok, err := c.rekor.Index.SearchIndexContext(ctx, p, func(op *runtime.ClientOperation) {
			op.Reader = searchReader{op.Reader, &date, limit}
		})
		if err != nil {
			return nil, err
		}
		return ok.Payload, nil
	})
	if err != nil {
		return nil, date, fmt.Errorf("search Rekor's index: %w", err)
	}
	// No entries are an empty list. An empty body must not mean the same.
	if ids == nil {
		return nil, date, fmt.Errorf("%w: the index answered no list", ErrLog)
	}
	seen := make(map[string]bool, len(ids))
	var unique []string
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			unique = append(unique, id)
		}
	}
	return unique, date, nil
}

// entries returns the entries of at most maxBatch IDs, by ID. One that is nil is
// too large to be a record. It fails with ErrLog unless these and no others are
// answered.
func (c *client) entries(ctx context.Context, ids []string) (map[string]*models.LogEntryAnon, error) {
	list, err := read(ctx, c.timeout, func(ctx context.Context) ([]models.LogEntry, error) {
		p := entries.NewSearchLogQueryParamsWithTimeout(c.timeout).WithEntry(&models.SearchLogQuery{EntryUUIDs: ids})
		ok, err := c.rekor.Entries.SearchLogQueryContext(ctx, p)
		if err != nil {
			return nil, err
		}
		return ok.Payload, nil
	})
	if errors.Is(err, errTooLong) && len(ids) > 1 {
		// Somebody logs large entries. Each is short enough alone.
		half := len(ids) / 2
		found, err := c.entries(ctx, ids[:half])
		if err != nil {
			return nil, err
		}
		rest, err := c.entries(ctx, ids[half:])
		maps.Copy(found, rest)
		return found, err
	}
	if errors.Is(err, errTooLong) {
		return map[string]*models.LogEntryAnon{ids[0]: nil}, c.oversized(ctx, ids[0])
	}
	if err != nil {
		return nil, fmt.Errorf("fetch %d entries of Rekor: %w", len(ids), err)
	}
	return matched(ids, list)
}

// matched returns the entries of IDs, by ID, if a list has these and no others.
func matched(ids []string, list []models.LogEntry) (map[string]*models.LogEntryAnon, error) {
	found := make(map[string]*models.LogEntryAnon, len(ids))
	answered := 0
	for _, m := range list {
		for id, e := range m {
			answered++
			for _, asked := range ids {
				if !names(asked, id) {
					continue
				}
				found[asked] = &e
				if large(asked, &e) {
					found[asked] = nil
				}
			}
		}
	}
	if len(found) != len(ids) || answered != len(ids) {
		return nil, fmt.Errorf("%w: %d entries were asked for, %d of them answered, %d in all", ErrLog, len(ids), len(found), answered)
	}
	return found, nil
}

// create proposes an entry and returns the one made of it, with its ID.
func (c *client) create(ctx context.Context, e models.ProposedEntry) (string, *models.LogEntryAnon, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	p := entries.NewCreateLogEntryParamsWithTimeout(c.timeout).WithProposedEntry(e)
	ok, err := c.rekor.Entries.CreateLogEntryContext(ctx, p, func(op *runtime.ClientOperation) {
		op.Reader = createReader{op.Reader}
	})
	if err != nil {
		return "", nil, fmt.Errorf("create a Rekor entry: %w", brief(err))
	}
	if len(ok.Payload) != 1 {
		return "", nil, fmt.Errorf("%w: %d entries were answered to a create", ErrLog, len(ok.Payload))
	}
	for id, e := range ok.Payload {
		if !entryID.MatchString(id) {
			return "", nil, fmt.Errorf("%w: the created entry's ID is %.100q", ErrLog, id)
		}
		return id, &e, nil
	}
	panic("unreachable")
}

// read makes a call that only reads, again if the failure may pass.
func read[T any](ctx context.Context, limit time.Duration, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 50 * time.Millisecond
	v, err := backoff.Retry(ctx, func() (T, error) {
		v, err := call(ctx)
		var status interface{ Code() int }
		if errors.As(err, &status) && status.Code() < 500 && status.Code() != http.StatusTooManyRequests ||
			errors.Is(err, errTooLong) || errors.Is(err, ErrLog) {
			return v, backoff.Permanent(err)
		}
		return v, err
	}, backoff.WithBackOff(b), backoff.WithMaxTries(readTries))
	return v, brief(err)
}

// names reports whether an answered ID is that of the entry asked for. One that
// was asked for by its leaf hash alone is answered with its tree's ID too. Else
// the trees must be the same: anyone can log the bytes of an entry again in the
// log's next tree.
func names(asked, answered string) bool {
	return asked == answered || asked == leafOf(answered) && entryID.MatchString(answered)
}

// leafOf returns the leaf hash in an entry's ID, the last 64 digits.
func leafOf(id string) string {
	return id[max(0, len(id)-64):]
}

// A searchReader notes the Date header of an answer, and has a limit of its own.
type searchReader struct {
	runtime.ClientResponseReader
	date  *time.Time
	limit int64
}

func (r searchReader) ReadResponse(resp runtime.ClientResponse, _ runtime.Consumer) (any, error) {
	if t, err := http.ParseTime(resp.GetHeader("Date")); err == nil {
		*r.date = t
	}
	return r.ClientResponseReader.ReadResponse(resp, decoder(r.limit))
}

// A createReader reads no more than a record can make: there may be as many
// answers in memory as writes. Of a longer refusal the status is left.
type createReader struct{ runtime.ClientResponseReader }

func (r createReader) ReadResponse(resp runtime.ClientResponse, _ runtime.Consumer) (any, error) {
	v, err := r.ClientResponseReader.ReadResponse(resp, decoder(maxLeaf))
	if errors.Is(err, errTooLong) && resp.Code() >= 400 {
		return nil, entries.NewCreateLogEntryDefault(resp.Code())
	}
	return v, err
}

// A boundedTransport fails the read of a body that is longer than maxLarge.
type boundedTransport struct{ inner http.RoundTripper }

func (t boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := tally.RoundTrip(t.inner, r, tally.Log)
	if err != nil {
		return nil, err
	}
	resp.Body = newBoundedBody(resp.Body, maxLarge)
	return resp, nil
}

type boundedBody struct {
	io.ReadCloser
	limit, left int64
}

func newBoundedBody(r io.ReadCloser, limit int64) *boundedBody { return &boundedBody{r, limit, limit} }

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("%w: it has %d bytes and more", errTooLong, b.limit)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
