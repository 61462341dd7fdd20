package fault_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/fault"
)

// answerSize is more than any header.
const answerSize = 64 << 10

// A server counts requests and answers with many bytes.
type server struct {
	*httptest.Server
	asked atomic.Int64
	link  *fault.Link
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := new(server)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.asked.Add(1)
		io.WriteString(w, strings.Repeat("x", answerSize))
	}))
	t.Cleanup(s.Close)
	var err error
	if s.link, err = fault.NewLink(s.URL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.link.Close() })
	return s
}

// patience is more than a machine can need for what does happen, and quiet is
// how long something is watched that does not.
const (
	patience = time.Minute
	quiet    = 200 * time.Millisecond
)

// get asks the server on a new connection.
func (s *server) get(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return s.ask(ctx)
}

// ask is get until ctx ends.
func (s *server) ask(ctx context.Context) error {
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.link.URL, nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && len(b) != answerSize {
		err = fmt.Errorf("%d bytes", len(b))
	}
	return err
}

// silence asks the server, which must get so many requests in all, and gives up
// when nothing came back for a while. It returns how the request ended.
func (s *server) silence(t *testing.T, asked int64) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.ask(ctx) }()
	for deadline := time.Now().Add(patience); s.asked.Load() < asked && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-ended:
		return fmt.Errorf("not silent: %v", err)
	case <-time.After(quiet):
	}
	cancel()
	return <-ended
}

func TestLink(t *testing.T) {
	is := func(want error) func(error) bool {
		return func(err error) bool { return errors.Is(err, want) }
	}
	for name, tc := range map[string]struct {
		fail  func(*fault.Link) error
		want  func(error) bool // nil: nothing comes back
		asked int64
	}{
		"refused":   {(*fault.Link).Refuse, is(syscall.ECONNREFUSED), 0},
		"swallowed": {(*fault.Link).Swallow, nil, 0},
		"muted":     {(*fault.Link).Mute, nil, 1},
		"slow":      {func(l *fault.Link) error { return l.Slow(time.Hour) }, nil, 1},
		"cut":       {func(l *fault.Link) error { return l.Cut(1000) }, is(io.ErrUnexpectedEOF), 1},
		"reset":     {(*fault.Link).Reset, is(syscall.ECONNRESET), 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			for range 2 {
				if err := s.get(patience); err != nil {
					t.Fatalf("healthy: %v", err)
				}
				s.asked.Store(0)
				if err := tc.fail(s.link); err != nil {
					t.Fatal(err)
				}
				if tc.want == nil {
					if err := s.silence(t, tc.asked); !errors.Is(err, context.Canceled) {
						t.Errorf("broken: %v", err)
					}
				} else if err := s.get(patience); !tc.want(err) {
					t.Errorf("broken: %v", err)
				}
				if n := s.asked.Load(); n != tc.asked {
					t.Errorf("the server was asked %d times, want %d", n, tc.asked)
				}
				if err := s.link.Heal(); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.get(patience); err != nil {
				t.Errorf("healed: %v", err)
			}
		})
	}
}

// TestLinkSlow: what is late comes.
func TestLinkSlow(t *testing.T) {
	s := newServer(t)
	const late = 50 * time.Millisecond
	if err := s.link.Slow(late); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := s.get(patience); err != nil || time.Since(began) < late {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

func TestLinkFlap(t *testing.T) {
	s := newServer(t)
	if err := s.link.Flap(20 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	var down, up bool
	for deadline := time.Now().Add(patience); !down || !up; {
		if err := s.get(patience); err == nil {
			up = true
		} else {
			down = true
		}
		if time.Now().After(deadline) {
			t.Fatalf("within %v it was down: %v, and up: %v", patience, down, up)
		}
	}
	if err := s.link.Heal(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := s.get(patience); err != nil {
			t.Fatalf("healed: %v", err)
		}
	}
}

// TestLinkHeals ends what is stuck when the link heals.
func TestLinkHeals(t *testing.T) {
	s := newServer(t)
	// An answer that comes after the end of the fault is not stuck: then again,
	// with more time for it to come before.
	for pause := time.Millisecond; ; pause *= 2 {
		err := s.stuck(t, pause)
		if err == nil && pause < patience/4 {
			continue
		}
		if err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it ended with %v", err)
		}
		return
	}
}

// stuck asks the server while it is muted, and heals the link some time after
// the server was asked. It returns how the request ended.
func (s *server) stuck(t *testing.T, pause time.Duration) error {
	t.Helper()
	if err := s.link.Mute(); err != nil {
		t.Fatal(err)
	}
	s.asked.Store(0)
	ended := make(chan error, 1)
	go func() { ended <- s.get(time.Hour) }()
	for s.asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(pause)
	if err := s.link.Heal(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(patience):
		t.Fatal("a request is stuck after the link healed")
		return nil
	}
}

// TestLinkLoses: what exists is silent, whatever becomes of the link, and what
// is new is healthy.
func TestLinkLoses(t *testing.T) {
	s := newServer(t)
	old, err := net.Dial("tcp", s.link.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	in := bufio.NewReader(old)
	ask := func(limit time.Duration) (int64, error) {
		if _, err := io.WriteString(old, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return 0, err
		}
		if err := old.SetReadDeadline(time.Now().Add(limit)); err != nil {
			return 0, err
		}
		if _, err := in.Peek(1); err != nil {
			return 0, err
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return 1, err
		}
		return io.Copy(io.Discard, resp.Body) // to its end
	}
	if n, err := ask(patience); n != answerSize || err != nil {
		t.Fatalf("before: %d bytes, %v", n, err)
	}
	if err := s.link.Lose(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if n, err := ask(quiet); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("lost: %d bytes, %v", n, err)
		}
		if err := s.get(patience); err != nil {
			t.Errorf("new: %v", err)
		}
		if err := s.link.Heal(); err != nil {
			t.Fatal(err)
		}
	}
}
