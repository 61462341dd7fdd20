package limit

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// maxClients is how many addresses have a bucket of their own at a time. A
// bucket takes about 250 bytes.
const maxClients = 16384

// Clients limits the requests of each client. A client is an IPv4 address or
// an IPv6 network of 64 bits, which is the least that one customer gets. It is
// safe for concurrent use. A nil one limits nothing.
type Clients struct {
	perMinute int
	hops      int

	mu      sync.Mutex // guards buckets, and is held for take
	buckets *simplelru.LRU[netip.Prefix, *rate.Limiter]
}

// NewClients returns a limit of requests for each client; zero is no limit.
// hops is how many proxies in front of this process add an address to
// X-Forwarded-For: the one that the first of them added is the client's, and
// what the client wrote there itself stands before it and is not read. With
// zero, or where there are fewer addresses than that, it is the connection's
// other end.
func NewClients(perMinute, hops int) *Clients {
	if perMinute == 0 {
		return nil
	}
	buckets, err := simplelru.NewLRU[netip.Prefix, *rate.Limiter](maxClients, nil)
	if err != nil { // a constant size above zero cannot fail
		panic(err)
	}
	return &Clients{perMinute: perMinute, hops: hops, buckets: buckets}
}

// Take counts a request of its client. Its error is an [*Error].
func (c *Clients) Take(r *http.Request) error {
	if c == nil {
		return nil
	}
	if wait := c.take(client(r, c.hops), time.Now()); wait > 0 {
		return &Error{What: "requests from one address", PerMinute: c.perMinute, Wait: wait}
	}
	return nil
}

func (c *Clients) take(from netip.Prefix, now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return take(c.bucket(from), now)
}

// bucket returns a client's bucket. Where all are given away, a new client gets
// the bucket that was not used for longest, as full as that is. It is full
// where it was not used for a minute. So a client that makes others' requests
// push its bucket out wins nothing, and all clients together get no more than
// their number of buckets allows, however many they are.
func (c *Clients) bucket(from netip.Prefix) *rate.Limiter {
	if b, ok := c.buckets.Get(from); ok {
		return b
	}
	var b *rate.Limiter
	if c.buckets.Len() >= maxClients {
		_, b, _ = c.buckets.RemoveOldest()
	} else {
		b = newBucket(c.perMinute)
	}
	c.buckets.Add(from, b)
	return b
}
