package e2e

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"
)

// An outsider sends requests from outside of a synctest's bubble. Time in the
// bubble stands still while a request is on its way, and passes in between
// however fast connections are: none belongs to the bubble.
type outsider struct{ wires chan wire }

// A wire takes one request at a time. Its channels are not the bubble's.
type wire struct {
	requests chan *http.Request
	answers  chan outsideAnswer
}

type outsideAnswer struct {
	resp *http.Response // with its body read
	err  error
}

const wires = 16 // requests at the same time

// newOutsider returns an outsider that ends with the test.
func newOutsider(t *testing.T) *outsider {
	t.Helper()
	o := &outsider{make(chan wire, wires)}
	transport := new(http.Transport)
	t.Cleanup(transport.CloseIdleConnections)
	for range wires {
		l := wire{make(chan *http.Request), make(chan outsideAnswer)}
		go func() {
			for r := range l.requests {
				resp, err := send(transport, r)
				l.answers <- outsideAnswer{resp, err}
			}
		}()
		t.Cleanup(func() { close(l.requests) })
		o.wires <- l
	}
	return o
}

// indexing is time for Rekor to fill its index, as the bubble's waits for that
// are over at once.
const indexing = 50 * time.Millisecond

// send sends a request and reads the answer to its end.
func send(transport *http.Transport, r *http.Request) (*http.Response, error) {
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(bytes.NewReader(b))
	if resp.StatusCode == http.StatusCreated {
		time.Sleep(indexing)
	}
	return resp, err
}

// RoundTrip has a request sent. It does not end with the request's context,
// which is the bubble's.
func (o *outsider) RoundTrip(r *http.Request) (*http.Response, error) {
	var body io.Reader
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body.Close()
		body = bytes.NewReader(b)
	}
	out, err := http.NewRequest(r.Method, r.URL.String(), body)
	if err != nil {
		return nil, err
	}
	out.Header = r.Header.Clone()
	l := <-o.wires
	defer func() { o.wires <- l }()
	l.requests <- out
	a := <-l.answers
	if a.err != nil {
		return nil, a.err
	}
	a.resp.Request = r
	return a.resp, nil
}
