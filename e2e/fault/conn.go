package fault

import (
	"net"
	"sync"
	"time"
)

// A conn is a connection that a link carries.
type conn struct {
	client, server net.Conn
	closed         chan struct{}
	end            sync.Once

	// Guarded by the link's mutex.
	left  int  // bytes of answers until it is cut, if the link cuts
	lossy bool // it has lost something, and is to be closed
	lost  bool // nothing comes through any more
}

// carry connects a client to the server, and returns when that has ended.
func (l *Link) carry(from net.Listener, client net.Conn) {
	server, err := net.Dial("tcp", l.target)
	if err != nil {
		client.Close()
		return
	}
	c := &conn{client: client, server: server, closed: make(chan struct{})}
	defer c.close()
	l.mu.Lock()
	current := l.listener == from // else the link went down meanwhile
	if current {
		c.left = l.broken.cut
		l.conns[c] = struct{}{}
	}
	l.mu.Unlock()
	if !current {
		return
	}
	l.work.Go(func() { l.pass(c, server, client, l.request) })
	l.pass(c, client, server, l.answer)
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
}

// pass copies from one side to the other what verdict leaves of it, until one
// side ends or verdict says that the connection does.
func (l *Link) pass(c *conn, to, from net.Conn, verdict func(*conn, int) (n int, ends bool)) {
	defer c.close()
	piece := make([]byte, 32<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 {
			keep, ends := verdict(c, n)
			if _, werr := to.Write(piece[:keep]); werr != nil || ends {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// request says how much of a piece of a request reaches the server.
func (l *Link) request(c *conn, n int) (int, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case c.lost:
		return 0, false
	case l.broken.swallow:
		c.lossy = true
		return 0, false
	}
	return n, false
}

// answer says how much of a piece of an answer reaches the client, when it is
// time for that.
func (l *Link) answer(c *conn, n int) (int, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for delayed := l.broken.delay; delayed > 0; {
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-time.After(delayed):
			delayed = 0
		case <-changed: // perhaps healed
			delayed = -1
		case <-c.closed:
			delayed = 0
		}
		l.mu.Lock()
		if delayed < 0 {
			delayed = l.broken.delay
		}
	}
	switch b := l.broken; {
	case c.lost:
		return 0, false
	case b.mute:
		c.lossy = true
		return 0, false
	case b.reset:
		for _, side := range []net.Conn{c.client, c.server} {
			if tcp, ok := side.(*net.TCPConn); ok {
				// What it cannot set it closes in the ordinary way.
				_ = tcp.SetLinger(0)
			}
		}
		return 0, true
	case b.cut > 0:
		n = min(n, c.left)
		c.left -= n
		return n, c.left == 0
	}
	return n, false
}

func (c *conn) close() {
	c.end.Do(func() {
		close(c.closed)
		c.client.Close()
		c.server.Close()
	})
}
