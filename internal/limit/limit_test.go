package limit

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// refused returns how long a refused caller is to wait; zero if it was not.
func refused(t *testing.T, err error) time.Duration {
	t.Helper()
	var e *Error
	if err == nil {
		return 0
	}
	if !errors.As(err, &e) || e.Wait <= 0 {
		t.Fatalf("not a refusal: %v", err)
	}
	return e.Wait
}

// As many as the limit at once, and then one each time that there is a token.
func TestRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRecords(60)
		for i := range 60 {
			if err := r.Take(); err != nil {
				t.Fatalf("record %d: %v", i, err)
			}
		}
		for range 3 { // to be refused costs nothing
			if wait := refused(t, r.Take()); wait != time.Second {
				t.Fatalf("the wait is %v, want 1 s", wait)
			}
		}
		time.Sleep(time.Second - time.Millisecond)
		err := r.Take()
		want := "this instance allows 60 new records a minute; try again in 1 s"
		if err == nil || err.Error() != want {
			t.Fatalf("got %v, want %s", err, want)
		}
		time.Sleep(time.Millisecond)
		if err := r.Take(); err != nil {
			t.Fatal(err)
		}
		if refused(t, r.Take()) == 0 {
			t.Fatal("two records for one token")
		}
		time.Sleep(time.Hour) // a bucket does not run over
		n := 0
		for r.Take() == nil {
			n++
		}
		if n != 60 {
			t.Errorf("%d records after an hour, want 60", n)
		}
	})
}

// However many ask at once, no token is lost and none is made.
func TestRecordsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRecords(10)
		for minute, want := range []int{10, 1, 1} {
			var mu sync.Mutex
			var wg sync.WaitGroup
			taken := 0
			for range 100 {
				wg.Go(func() {
					if r.Take() == nil {
						mu.Lock()
						taken++
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			if taken != want {
				t.Errorf("after %d tokens more, %d records, want %d", minute, taken, want)
			}
			time.Sleep(6 * time.Second)
		}
	})
}

func TestNoLimit(t *testing.T) {
	if NewRecords(0) != nil || NewClients(0, 1) != nil {
		t.Error("zero is a limit")
	}
	var r *Records
	var c *Clients
	if err := errors.Join(r.Take(), c.Take(new(http.Request))); err != nil {
		t.Error(err)
	}
}

func TestRetryAfter(t *testing.T) {
	for wait, want := range map[time.Duration]string{
		1: "1", time.Second: "1", time.Second + 1: "2", time.Minute: "60", 90 * time.Millisecond: "1",
	} {
		if got := (&Error{Wait: wait}).RetryAfter(); got != want {
			t.Errorf("%v: %s, want %s", wait, got, want)
		}
	}
}

func from(address string, forwarded ...string) *http.Request {
	r := &http.Request{RemoteAddr: address, Header: http.Header{}}
	if forwarded != nil {
		r.Header["X-Forwarded-For"] = forwarded
	}
	return r
}

func TestClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClients(2, 0)
		for _, step := range []struct {
			address string
			wait    time.Duration
		}{
			{"192.0.2.1:1", 0}, {"192.0.2.1:2", 0}, {"192.0.2.1:1", 30 * time.Second},
			{"192.0.2.2:1", 0}, {"[::ffff:192.0.2.2]:1", 0}, {"192.0.2.2:1", 30 * time.Second},
			{"[2001:db8::1]:1", 0}, {"[2001:db8::ffff:2%eth0]:1", 0}, {"[2001:db8:0:0:3::]:1", 30 * time.Second},
			{"[2001:db8:0:1::1]:1", 0},
		} {
			if wait := refused(t, c.Take(from(step.address))); wait != step.wait {
				t.Errorf("%s waits %v, want %v", step.address, wait, step.wait)
			}
		}
		time.Sleep(30 * time.Second)
		if err := c.Take(from("192.0.2.1:9")); err != nil {
			t.Error(err)
		}
		want := "this instance allows 2 requests from one address a minute; try again in 30 s"
		if err := c.Take(from("192.0.2.1:9")); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

// nth is one of many addresses.
func nth(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 32)
}

// Where more addresses come than there are buckets for, nobody gets a fresh
// bucket by it: neither one address among them nor all of them together.
func TestManyClients(t *testing.T) {
	const perMinute = 3
	c := NewClients(perMinute, 0)
	start := time.Now()
	taken := 0
	for range perMinute + 2 {
		for n := range 2 * maxClients {
			if c.take(nth(n), start) == 0 {
				taken++
			}
		}
	}
	if want := perMinute * maxClients; taken != want {
		t.Errorf("%d requests, want %d: what the buckets hold", taken, want)
	}
	if n := c.buckets.Len(); n != maxClients {
		t.Errorf("%d buckets", n)
	}
	// An empty bucket that was pushed out comes back empty, and one that had
	// the time to fill comes back full.
	if wait := c.take(nth(0), start); wait != 20*time.Second {
		t.Errorf("a fresh bucket after the flood: the wait is %v", wait)
	}
	later := start.Add(time.Minute)
	got := 0
	for c.take(nth(3*maxClients), later) == 0 {
		got++
	}
	if got != perMinute {
		t.Errorf("a new client a minute after the flood has %d requests, want %d", got, perMinute)
	}
}

// One that is used stays.
func TestClientsForgetTheOldest(t *testing.T) {
	c := NewClients(2, 0)
	now := time.Now()
	c.take(nth(0), now)
	for n := range maxClients - 1 {
		c.take(nth(n+1), now)
	}
	c.take(nth(0), now)            // now empty, and the youngest
	c.take(nth(maxClients), now)   // takes the bucket of 1, which had one request
	c.take(nth(maxClients+1), now) // and of 2
	for n, want := range map[int]bool{0: false, maxClients: false, maxClients - 1: true} {
		if got := c.take(nth(n), now) == 0; got != want {
			t.Errorf("address %d may ask: %t, want %t", n, got, want)
		}
	}
}

func TestClient(t *testing.T) {
	for _, test := range []struct {
		name      string
		hops      int
		forwarded []string
		want      string
	}{
		{"nobody is trusted", 0, []string{"198.51.100.1"}, "192.0.2.1/32"},
		{"no header", 1, nil, "192.0.2.1/32"},
		{"one proxy", 1, []string{"198.51.100.1"}, "198.51.100.1/32"},
		{"forged before it", 1, []string{"203.0.113.9, 203.0.113.8,198.51.100.1"}, "198.51.100.1/32"},
		{"forged in a line of its own", 1, []string{"203.0.113.9", "198.51.100.1"}, "198.51.100.1/32"},
		{"forged with commas alone", 1, []string{",,,, ,198.51.100.1"}, "198.51.100.1/32"},
		{"two proxies", 2, []string{"203.0.113.9, 198.51.100.1, 203.0.113.200"}, "198.51.100.1/32"},
		{"two proxies, a line each", 2, []string{"203.0.113.9", "198.51.100.1", "203.0.113.200"}, "198.51.100.1/32"},
		{"two proxies, mixed", 2, []string{"203.0.113.9,198.51.100.1", "203.0.113.200"}, "198.51.100.1/32"},
		{"fewer than trusted", 2, []string{"198.51.100.1"}, "192.0.2.1/32"},
		{"spaces", 1, []string{"203.0.113.9,\t 198.51.100.1 \t"}, "198.51.100.1/32"},
		{"a port", 1, []string{"198.51.100.1:443"}, "198.51.100.1/32"},
		{"IPv6", 1, []string{"2001:db8:1:2:3:4:5:6"}, "2001:db8:1:2::/64"},
		{"IPv6 with a port", 1, []string{"[2001:db8:1:2:3:4:5:6]:443"}, "2001:db8:1:2::/64"},
		{"IPv6 with a zone", 1, []string{"fe80::1%eth0"}, "fe80::/64"},
		{"IPv4 in IPv6", 1, []string{"::ffff:198.51.100.1"}, "198.51.100.1/32"},
		{"no address", 1, []string{"198.51.100.1, unknown"}, "192.0.2.1/32"},
		{"nothing", 1, []string{""}, "192.0.2.1/32"},
		{"nothing after a comma", 1, []string{"198.51.100.1,"}, "192.0.2.1/32"},
		{"a name", 1, []string{"localhost"}, "192.0.2.1/32"},
		{"another base", 1, []string{"0x7f000001"}, "192.0.2.1/32"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := client(from("192.0.2.1:1234", test.forwarded...), test.hops).String(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	if got := client(from("@"), 0); got != (netip.Prefix{}) {
		t.Errorf("a Unix socket has the address %v", got)
	}
}

// What a client writes before the address that a trusted proxy appends never
// changes whose bucket is taken from, and no client is broader than one.
func FuzzClient(f *testing.F) {
	for _, s := range [][2]string{
		{"", "198.51.100.1"}, {"203.0.113.9, ", "198.51.100.1:80"}, {",,", "2001:db8::1"}, {"x", "[fe80::1%eth0]:1"}, {"::ffff:1.2.3.4", "::ffff:1.2.3.4"}, {"1.2.3.4", "unknown"},
	} {
		f.Add(s[0], s[1], 1)
		f.Add(s[0], s[1], 2)
	}
	f.Fuzz(func(t *testing.T, forged, appended string, hops int) {
		if hops < 1 || hops > 16 {
			return
		}
		tail := []string{appended} // what the trusted proxies appended
		for n := range hops - 1 {
			tail = append(tail, fmt.Sprintf("203.0.113.%d", n))
		}
		want := client(from("192.0.2.1:1", tail...), hops)
		for _, lines := range [][]string{
			append([]string{forged}, tail...),
			append([]string{forged, forged}, tail...),
			append([]string{forged + "," + tail[0]}, tail[1:]...),
		} {
			if got := client(from("192.0.2.1:1", lines...), hops); got != want {
				t.Errorf("%q makes %v of %v", lines, got, want)
			}
		}
		bits := want.Bits()
		if !want.IsValid() || want != want.Masked() || want.Addr().Zone() != "" || want.Addr().Is4In6() ||
			(want.Addr().Is4() && bits != 32) || (want.Addr().Is6() && bits != 64) {
			t.Errorf("%q is the client %v", appended, want)
		}
		again := client(from("192.0.2.1:1", want.Addr().String()), 1)
		if again != want {
			t.Errorf("%v by its own address is %v", want, again)
		}
	})
}

// The size of a refusal is bounded whatever the wait is.
func FuzzRetryAfter(f *testing.F) {
	f.Add(int64(1))
	f.Add(int64(time.Hour))
	f.Add(int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, wait int64) {
		if wait <= 0 {
			return
		}
		var seconds int64
		if _, err := fmt.Sscan((&Error{Wait: time.Duration(wait)}).RetryAfter(), &seconds); err != nil {
			t.Fatal(err)
		}
		if float64(seconds)*1e9 < float64(wait) || float64(seconds-1)*1e9 > float64(wait) {
			t.Errorf("%d ns are %d s", wait, seconds)
		}
	})
}
