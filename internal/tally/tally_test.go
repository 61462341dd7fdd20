package tally_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tlogistry/tlogistry/internal/tally"
)

// transport answers with a status, or fails, after a time.
type transport struct {
	status int
	after  time.Duration
}

var errDown = errors.New("down")

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(t.after)
	if t.status == 0 {
		return nil, errDown
	}
	return &http.Response{StatusCode: t.status, Request: r}, nil
}

// observed keeps what an observer is told.
type observed struct {
	mu     sync.Mutex
	calls  []tally.Call
	events []int
}

func (o *observed) Called(c tally.Call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls = append(o.calls, c)
}

func (o *observed) Noted(e tally.Event, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, int(e), n)
}

func TestRoundTrip(t *testing.T) { synctest.Test(t, roundTrip) }

func roundTrip(t *testing.T) {
	const wait = 5 * time.Millisecond
	began := time.Now()
	o := &observed{}
	sum := tally.Tally{Observer: o}
	ctx := sum.In(t.Context())
	r := httptest.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodHead, "http://registry.test:5000/v2/", nil)
	if resp, err := tally.RoundTrip(transport{404, wait}, r, tally.Registry); err != nil || resp.StatusCode != 404 {
		t.Errorf("%v, %v", resp, err)
	}
	if resp, err := tally.RoundTrip(transport{}, r, tally.Registry); !errors.Is(err, errDown) || resp != nil {
		t.Errorf("%v, %v", resp, err)
	}
	if _, err := tally.RoundTrip(transport{status: 200}, r, tally.TUF); err != nil {
		t.Error(err)
	}
	for p, want := range map[tally.Peer]int64{tally.Registry: 2, tally.Log: 0, tally.Fulcio: 0, tally.Metadata: 0, tally.TUF: 1} {
		n, took := sum.Calls(p)
		if n != want || took != map[bool]time.Duration{p == tally.Registry: wait}[true] {
			t.Errorf("%v: %d calls in %v, want %d", p, n, took, want)
		}
	}
	if len(o.calls) != 3 {
		t.Fatalf("%d calls were told", len(o.calls))
	}
	for i, want := range []tally.Call{
		{Peer: tally.Registry, Method: "HEAD", Host: "registry.test:5000", Status: 404},
		{Peer: tally.Registry, Method: "HEAD", Host: "registry.test:5000"},
		{Peer: tally.TUF, Method: "HEAD", Host: "registry.test:5000", Status: 200},
	} {
		got := o.calls[i]
		want.Start = began
		if i == 0 {
			want.Took = wait
		} else {
			want.Start = began.Add(wait)
		}
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

// Without a tally requests are sent all the same, and events count nowhere.
func TestWithoutTally(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if resp, err := tally.RoundTrip(transport{status: 200}, r, tally.Log); err != nil || resp.StatusCode != 200 {
		t.Errorf("%v, %v", resp, err)
	}
	tally.Note(t.Context(), tally.RecordHit, 1)
	var sum tally.Tally
	tally.Note(sum.In(t.Context()), tally.RecordHit, 1) // without an observer
}

func TestNote(t *testing.T) {
	o := &observed{}
	sum := tally.Tally{Observer: o}
	tally.Note(sum.In(t.Context()), tally.Ignored, 7)
	if want := []int{int(tally.Ignored), 7}; !slices.Equal(o.events, want) {
		t.Errorf("got %v, want %v", o.events, want)
	}
}

func TestPeerNames(t *testing.T) {
	want := []string{"registry", "log", "fulcio", "metadata", "tuf"}
	for p := range tally.Peers {
		if got := tally.Peer(p).String(); got != want[p] {
			t.Errorf("peer %d is %q, want %q", p, got, want[p])
		}
	}
}
