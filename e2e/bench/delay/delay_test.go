package delay

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"testing"
	"time"
)

// echo returns the address of a server that sends back what it gets, and ends
// a connection when its client does.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

func through(t *testing.T, target string, roundTrip time.Duration) *Proxy {
	t.Helper()
	p, err := Listen("127.0.0.1:0", target, roundTrip)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		select {
		case <-p.closing: // by the test
		default:
			p.Close()
		}
	})
	return p
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// A round trip takes what was asked for longer, and the first one of a
// connection once more.
func TestRoundTrip(t *testing.T) {
	const roundTrip = 40 * time.Millisecond
	p := through(t, echo(t), roundTrip)
	began := time.Now() // the proxy may have the connection before Dial returns
	c := dial(t, p)
	shortest := time.Hour
	// A busy machine makes round trips longer, but not each of them for ever.
	for i := 0; i < 10 || shortest > 2*roundTrip && time.Since(began) < 30*time.Second; i++ {
		start := time.Now()
		if i == 0 {
			start = began
		}
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		took, least := time.Since(start), roundTrip
		if i == 0 {
			least = 2 * roundTrip
		}
		if took < least-time.Millisecond { // a timer may be early by a fraction of that
			t.Errorf("round trip %d took %v, want %v at least", i, took, least)
		}
		shortest = min(shortest, took)
	}
	if shortest > 2*roundTrip {
		t.Errorf("the shortest of all round trips took %v, want %v", shortest, roundTrip)
	}
}

// What is carried arrives whole and in order, and much of it is under way at
// the same time.
func TestCarry(t *testing.T) {
	const roundTrip = 400 * time.Millisecond
	sent := make([]byte, 8<<20)
	rand.Read(sent)
	c := dial(t, through(t, echo(t), roundTrip))
	start := time.Now()
	go func() {
		c.Write(sent)
		c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("got %d bytes, %v, want the %d that were sent", len(got), err, len(sent))
	}
	// A chunk or two a round trip would take 25 seconds and more.
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("%d bytes took %v", len(sent), took)
	}
}

// Close ends what is under way, and nobody is left.
func TestClose(t *testing.T) {
	p := through(t, echo(t), time.Hour)
	c := dial(t, p)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	for sides := 0; sides < 2; { // until the connection is forwarded
		p.mu.Lock()
		sides = len(p.conns)
		p.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Close() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("Close does not return while a byte is under way for an hour")
	}
}

// Where the target does not answer, the client's connection ends.
func TestNoTarget(t *testing.T) {
	const nobody = "127.0.0.1:1" // a port that no other test's server can get
	c := dial(t, through(t, nobody, time.Millisecond))
	if b, err := io.ReadAll(c); err == nil && len(b) > 0 {
		t.Errorf("got %q", b)
	}
}
