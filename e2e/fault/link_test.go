package fault_test

import (
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

// get asks the server on a new connection.
func (s *server) get(limit time.Duration) error {
	client := &http.Client{Transport: new(http.Transport), Timeout: limit}
	defer client.CloseIdleConnections()
	resp, err := client.Get(s.link.URL)
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

func TestLink(t *testing.T) {
	silent := func(err error) bool {
		var timeout net.Error
		return errors.As(err, &timeout) && timeout.Timeout()
	}
	is := func(want error) func(error) bool {
		return func(err error) bool { return errors.Is(err, want) }
	}
	for name, tc := range map[string]struct {
		fail  func(*fault.Link) error
		want  func(error) bool
		asked int64
	}{
		"refused":   {(*fault.Link).Refuse, is(syscall.ECONNREFUSED), 0},
		"swallowed": {(*fault.Link).Swallow, silent, 0},
		"muted":     {(*fault.Link).Mute, silent, 1},
		"slow":      {func(l *fault.Link) error { return l.Slow(time.Minute) }, silent, 1},
		"cut":       {func(l *fault.Link) error { return l.Cut(1000) }, is(io.ErrUnexpectedEOF), 1},
		"reset":     {(*fault.Link).Reset, is(syscall.ECONNRESET), 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			for range 2 {
				if err := s.get(10 * time.Second); err != nil {
					t.Fatalf("healthy: %v", err)
				}
				s.asked.Store(0)
				if err := tc.fail(s.link); err != nil {
					t.Fatal(err)
				}
				if err := s.get(200 * time.Millisecond); !tc.want(err) {
					t.Errorf("broken: %v", err)
				}
				if n := s.asked.Load(); n != tc.asked {
					t.Errorf("the server was asked %d times, want %d", n, tc.asked)
				}
				if err := s.link.Heal(); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.get(10 * time.Second); err != nil {
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
	if err := s.get(10 * time.Second); err != nil || time.Since(began) < late {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

func TestLinkFlap(t *testing.T) {
	s := newServer(t)
	if err := s.link.Flap(20 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	var down, up bool
	for deadline := time.Now().Add(10 * time.Second); !down || !up; {
		if err := s.get(time.Second); err == nil {
			up = true
		} else {
			down = true
		}
		if time.Now().After(deadline) {
			t.Fatalf("within 10 s it was down: %v, and up: %v", down, up)
		}
	}
	if err := s.link.Heal(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := s.get(10 * time.Second); err != nil {
			t.Fatalf("healed: %v", err)
		}
	}
}

// TestLinkHeals ends what is stuck when the link heals.
func TestLinkHeals(t *testing.T) {
	s := newServer(t)
	if err := s.link.Mute(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.get(time.Minute) }()
	for s.asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := s.link.Heal(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("a request is stuck after the link healed")
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
	ask := func() (int, error) {
		if _, err := io.WriteString(old, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return 0, err
		}
		if err := old.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			return 0, err
		}
		return io.ReadFull(old, make([]byte, answerSize))
	}
	if n, err := ask(); err != nil {
		t.Fatalf("before: %d bytes, %v", n, err)
	}
	io.Copy(io.Discard, old) // to the deadline
	if err := s.link.Lose(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if n, err := ask(); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("lost: %d bytes, %v", n, err)
		}
		if err := s.get(10 * time.Second); err != nil {
			t.Errorf("new: %v", err)
		}
		if err := s.link.Heal(); err != nil {
			t.Fatal(err)
		}
	}
}
