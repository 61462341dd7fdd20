// Package delay stands in front of a server as distance does: what passes it
// arrives later, in order, and as fast as before.
package delay

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	// chunk is the most that is read at once, in bytes.
	chunk = 32 << 10
	// underWay is how many chunks one direction of a connection holds at most:
	// 32 MiB, which in 10 ms is more than loopback carries. So the delay takes
	// no bandwidth.
	underWay = 1024
)

// A Proxy forwards TCP connections to one address and adds to each round trip.
// A new connection costs one more round trip before its first byte arrives, as
// the handshake of a real one does; the client's own handshake with the proxy
// takes no time.
type Proxy struct {
	listener net.Listener
	target   string
	oneWay   time.Duration
	closing  chan struct{} // closed by Close

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
	done   sync.WaitGroup
}

// Listen starts a proxy on the address that adds roundTrip, half of it in each
// direction.
func Listen(address, target string, roundTrip time.Duration) (*Proxy, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("delay: %w", err)
	}
	p := &Proxy{
		listener: l,
		target:   target,
		oneWay:   roundTrip / 2,
		closing:  make(chan struct{}),
		conns:    make(map[net.Conn]struct{}),
	}
	p.done.Go(p.accept)
	return p, nil
}

// Addr returns the address that the proxy listens on.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close cuts every connection off and waits until nothing of the proxy runs.
// It is called once.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	p.closed = true
	close(p.closing)
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.done.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(time.Millisecond) // out of descriptors, perhaps for a moment
			continue
		}
		p.done.Go(func() { p.serve(c) })
	}
}

// serve forwards one connection until either side ends it.
func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	if !p.keep(client) {
		return
	}
	defer p.drop(client)
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	if !p.keep(server) {
		return
	}
	defer p.drop(server)
	handshake := time.Now().Add(2 * p.oneWay)
	var both sync.WaitGroup
	both.Go(func() { p.carry(server, client, handshake) })
	both.Go(func() { p.carry(client, server, time.Time{}) })
	both.Wait()
}

// keep remembers a connection for Close, unless that was called already.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = struct{}{}
	return !p.closed
}

func (p *Proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// A piece is what was read at one moment.
type piece struct {
	due   time.Time
	bytes []byte
}

// carry copies from one side to the other, each piece oneWay after it came and
// none of them before notBefore. It ends the writing side with the reading one.
func (p *Proxy) carry(to, from net.Conn, notBefore time.Time) {
	pieces := make(chan piece, underWay)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(pieces)
		for {
			b := make([]byte, chunk)
			n, err := from.Read(b)
			due := time.Now()
			if due.Before(notBefore) {
				due = notBefore
			}
			if n > 0 {
				pieces <- piece{due.Add(p.oneWay), b[:n:n]}
			}
			if err != nil {
				return
			}
		}
	})
	for next := range pieces {
		p.sleepUntil(next.due)
		if _, err := to.Write(next.bytes); err != nil {
			from.Close() // ends the reader
			for range pieces {
			}
			break
		}
	}
	reader.Wait()
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		// The other direction may go on. A failure means that it has ended.
		_ = half.CloseWrite()
	}
}

// sleepUntil returns at t, or at once when the proxy is closed.
func (p *Proxy) sleepUntil(t time.Time) {
	if left := time.Until(t) - inexact; left > 0 {
		wait := time.NewTimer(left)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-p.closing:
			return
		}
	}
	for left := time.Until(t); left > 0; left = time.Until(t) {
		sleepExactly(left)
	}
}
