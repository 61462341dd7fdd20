package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// The special-purpose ranges of IPv4: IANA's registry of them, class D and E.
// Those that it calls globally reachable are here as well (AS112, AMT, 6to4
// relays): none of them is a place for a registry. The last is Azure's, which
// answers its virtual machines there as others do at 169.254.169.254.
var special4 = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8",
	"169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
	"192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",
	"192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"168.63.129.16/32",
)

// IPv6 is the other way round: global unicast is 2000::/3 (RFC 4291), and
// within it are the special ranges of IANA's registry. Everything outside is
// refused, and with it every form that carries an IPv4 address (mapped,
// compatible, NAT64), unique local, site-local, link-local and multicast.
var (
	global6  = netip.MustParsePrefix("2000::/3")
	special6 = prefixes(
		"2001::/23",                  // IETF protocols, Teredo among them
		"2001:db8::/32", "3fff::/20", // documentation
		"2002::/16",         // 6to4 carries an IPv4 address
		"2620:4f:8000::/48", // AS112
	)
)

func prefixes(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// public reports whether an address is an ordinary one of the internet.
func public(a netip.Addr) bool {
	special := special4
	if a.Is6() {
		if !global6.Contains(a) { // nor is an address with a zone in any prefix
			return false
		}
		if isatap(a) {
			return false
		}
		special = special6
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return a.IsValid()
}

// isatap reports whether the interface identifier of an IPv6 address carries an
// IPv4 address (RFC 5214, 6.1). The prefix may be anybody's.
func isatap(a netip.Addr) bool {
	b := a.As16()
	return b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
}

// guard refuses a connection that is about to be made. It sees the address
// itself, after the look-up of the name, so that no name can hide one. Low
// ports other than 443 belong to services that are not registries.
func guard(_ context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrForbiddenAddress, err)
	}
	if !public(to.Addr()) {
		return fmt.Errorf("%w: %s is not on the public internet", ErrForbiddenAddress, to.Addr())
	}
	if to.Port() != 443 && to.Port() < 1024 {
		return fmt.Errorf("%w: port %d", ErrForbiddenAddress, to.Port())
	}
	return nil
}

// Limits of one transport.
const (
	dialTimeout  = 10 * time.Second
	idleTimeout  = 90 * time.Second
	headerBytes  = 64 << 10
	maxConns     = 128       // for one host over HTTP/1.1
	maxIdleConns = 64        // for one host: as many pulls at once find a connection open
	streamBytes  = 128 << 10 // of a body that nobody has read yet, over HTTP/2
	// Over HTTP/1.1 each connection has two buffers of this size, and there are as
	// many connections as requests at once. Nearly all headers fit, and what is
	// longer is read or written in parts; the bytes of blobs go past the buffer.
	bufferBytes = 2 << 10
	// Over HTTP/2 one connection has all requests to a host. One that is dead is
	// noticed when it was silent for so long and a ping is not answered for as long.
	silence = 5 * time.Second
)

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// newTransport returns a transport that connects by dial only. Proxy stays
// nil: a proxy would do the look-up and connect where no guard is.
func newTransport(dial dialFunc, timeout time.Duration, roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		DialContext:            dial,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:    dialTimeout,
		ResponseHeaderTimeout:  timeout,
		MaxResponseHeaderBytes: headerBytes,
		ReadBufferSize:         bufferBytes,
		WriteBufferSize:        bufferBytes,
		MaxConnsPerHost:        maxConns,
		MaxIdleConnsPerHost:    maxIdleConns,
		MaxIdleConns:           4 * maxIdleConns,
		IdleConnTimeout:        idleTimeout,
		DisableCompression:     true, // a digest is over the bytes as they are
		ForceAttemptHTTP2:      true, // a DialContext of one's own turns it off otherwise
		// The default of 4 MiB is for one stream, and there may be hundreds. The
		// connection's own is left alone: all streams would stall with the first few.
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: streamBytes, SendPingTimeout: silence, PingTimeout: silence},
	}
}

// guarded returns the dialer for everything that no operator named.
func guarded(resolver *net.Resolver) *net.Dialer {
	return &net.Dialer{Timeout: dialTimeout, ControlContext: guard, Resolver: resolver}
}

// only returns the dial function of a mapped registry: any address, but of the
// host and port of its base URL alone.
func only(base *url.URL) dialFunc {
	d := &net.Dialer{Timeout: dialTimeout}
	want := hostPort(base)
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if !strings.EqualFold(address, want) {
			return nil, fmt.Errorf("%w: %s is not %s", ErrForbiddenAddress, address, want)
		}
		return d.DialContext(ctx, network, address)
	}
}

// hostPort returns the host and the port, written out, that u connects to.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// sameOrigin reports whether scheme, host and port are equal (RFC 6454).
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && hostPort(a) == hostPort(b)
}
