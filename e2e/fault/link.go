package fault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
	"time"
)

// Address is where links listen. No outgoing connection has it for its own
// address, so none takes the port of a link that is down.
const Address = "127.0.77.1"

// A Link carries connections to one server. It starts out healthy. Each method
// that breaks it ends what the one before did, takes effect at once, and for
// the connections that exist as well. Its methods may be called concurrently.
type Link struct {
	URL  string // such as "http://127.0.77.1:40003"
	Host string // host:port of URL

	target string
	work   sync.WaitGroup // goroutines

	setting sync.Mutex // held while the link changes; guards stop
	stop    func()     // ends the flapping; nil if there is none

	mu       sync.Mutex // guards what follows
	listener net.Listener
	broken   broken
	changed  chan struct{} // closed when broken changes
	conns    map[*conn]struct{}
}

// broken says what happens to what a connection carries. The zero value is
// nothing.
type broken struct {
	swallow bool          // requests are lost
	mute    bool          // answers are lost
	reset   bool          // answers reset the connection
	delay   time.Duration // of each piece of an answer
	cut     int           // bytes of answers after which the connection ends
}

// NewLink opens a link to a target, which is a URL without a path or a
// host:port.
func NewLink(target string) (*Link, error) {
	if _, host, ok := strings.Cut(target, "://"); ok {
		target = host
	}
	l := &Link{target: target, changed: make(chan struct{}), conns: make(map[*conn]struct{})}
	if err := l.listen(Address + ":0"); err != nil {
		return nil, err
	}
	l.Host = l.listener.Addr().String()
	l.URL = "http://" + l.Host
	return l, nil
}

// Close ends the link and every connection.
func (l *Link) Close() error {
	err := l.Refuse()
	l.work.Wait()
	return err
}

// Refuse ends every connection and refuses those to come.
func (l *Link) Refuse() error {
	defer l.change()()
	l.breakAs(broken{})
	return l.down()
}

// Heal lets everything through again. Connections that have lost something are
// closed, as they are when a server starts anew.
func (l *Link) Heal() error { return l.become(broken{}) }

// Swallow takes connections and requests, and none of it reaches the server.
func (l *Link) Swallow() error { return l.become(broken{swallow: true}) }

// Mute lets requests through, and no answer back.
func (l *Link) Mute() error { return l.become(broken{mute: true}) }

// Slow holds every piece of an answer back for some time.
func (l *Link) Slow(by time.Duration) error { return l.become(broken{delay: by}) }

// Cut ends every connection after some bytes of answers, at least one.
func (l *Link) Cut(after int) error { return l.become(broken{cut: after}) }

// Reset resets every connection when an answer comes.
func (l *Link) Reset() error { return l.become(broken{reset: true}) }

// Lose leaves the connections that exist without an end and without anything
// that comes through, for ever, as a network does that has forgotten them. Those
// to come are healthy.
func (l *Link) Lose() error {
	defer l.change()()
	l.breakAs(broken{})
	l.mu.Lock()
	for c := range l.conns {
		c.lost = true
	}
	l.mu.Unlock()
	return l.up()
}

// Flap refuses connections and is healthy in turn, beginning with the former.
func (l *Link) Flap(every time.Duration) error {
	defer l.change()()
	l.breakAs(broken{})
	err := l.down()
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { l.flap(ctx, every) })
	l.stop = func() { cancel(); done.Wait() }
	return err
}

func (l *Link) flap(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for turn := l.up; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// Where it cannot come up, healing it tells.
		if err := turn(); err == nil && l.isUp() {
			turn = l.down
		} else {
			turn = l.up
		}
	}
}

// change ends what is wrong with the link, except that it may be down. The
// function returned is to be called when the change is made.
func (l *Link) change() func() {
	l.setting.Lock()
	if l.stop != nil {
		l.stop()
		l.stop = nil
	}
	return l.setting.Unlock
}

func (l *Link) become(b broken) error {
	defer l.change()()
	l.breakAs(b)
	return l.up()
}

// breakAs breaks connections in another way.
func (l *Link) breakAs(b broken) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = b
	close(l.changed)
	l.changed = make(chan struct{})
	for c := range l.conns {
		c.left = b.cut
		if c.lossy {
			c.close()
		}
	}
}

func (l *Link) isUp() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.listener != nil
}

func (l *Link) up() error {
	if l.isUp() {
		return nil
	}
	return l.listen(l.Host)
}

func (l *Link) listen(at string) error {
	listener, err := net.Listen("tcp", at)
	if err != nil {
		return fmt.Errorf("link to %s: %w", l.target, err)
	}
	l.mu.Lock()
	l.listener = listener
	l.mu.Unlock()
	l.work.Go(func() { l.accept(listener) })
	return nil
}

func (l *Link) down() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range maps.Clone(l.conns) {
		c.close()
	}
	if l.listener == nil {
		return nil
	}
	err := l.listener.Close()
	l.listener = nil
	return err
}

func (l *Link) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			l.work.Go(func() { l.carry(listener, client) })
		}
	}
}
