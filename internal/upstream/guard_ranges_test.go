package upstream

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

// A special range, and whether the addresses right before and after it are
// ordinary ones.
type specialRange struct {
	prefix, name  string
	before, after bool
}

// IANA's special-purpose address registries as of 2025, whole, and with them
// multicast and the ranges that were special before.
// https://www.iana.org/assignments/iana-ipv4-special-registry
// https://www.iana.org/assignments/iana-ipv6-special-registry
var specialRanges = []specialRange{
	{"0.0.0.0/8", "this network", false, true},
	{"0.0.0.0/32", "this host", false, false},
	{"10.0.0.0/8", "private", true, true},
	{"100.64.0.0/10", "shared", true, true},
	{"127.0.0.0/8", "loopback", true, true},
	{"169.254.0.0/16", "link-local", true, true},
	{"172.16.0.0/12", "private", true, true},
	{"192.0.0.0/24", "protocol assignments", true, true},
	{"192.0.0.0/29", "service continuity", true, false},
	{"192.0.0.8/32", "dummy", false, false},
	{"192.0.0.9/32", "port control, anycast", false, false},
	{"192.0.0.10/32", "TURN, anycast", false, false},
	{"192.0.0.170/31", "NAT64 discovery", false, false},
	{"192.0.2.0/24", "documentation", true, true},
	{"192.31.196.0/24", "AS112", true, true},
	{"192.52.193.0/24", "AMT", true, true},
	{"192.88.99.0/24", "6to4 relays", true, true},
	{"192.168.0.0/16", "private", true, true},
	{"192.175.48.0/24", "AS112", true, true},
	{"198.18.0.0/15", "benchmarks", true, true},
	{"198.51.100.0/24", "documentation", true, true},
	{"203.0.113.0/24", "documentation", true, true},
	{"224.0.0.0/4", "multicast", true, false},
	{"240.0.0.0/4", "reserved", false, false},
	{"255.255.255.255/32", "broadcast", false, false},
	{"168.63.129.16/32", "Azure's metadata", true, true},

	{"::/128", "unspecified", false, false},
	{"::1/128", "loopback", false, false},
	{"::/96", "IPv4-compatible", false, false},
	{"::ffff:0:0/96", "IPv4-mapped", false, false},
	{"::ffff:0:0:0/96", "IPv4-translated", false, false},
	{"64:ff9b::/96", "NAT64", false, false},
	{"64:ff9b:1::/48", "local NAT64", false, false},
	{"100::/64", "discard", false, false},
	{"100:0:0:1::/64", "dummy", false, false},
	{"::/3", "outside global unicast", false, true},
	{"2001::/23", "protocol assignments", true, true},
	{"2001::/32", "Teredo", true, false},
	{"2001:1::1/128", "port control, anycast", false, false},
	{"2001:1::2/128", "TURN, anycast", false, false},
	{"2001:1::3/128", "DNS-SD, anycast", false, false},
	{"2001:2::/48", "benchmarks", false, false},
	{"2001:3::/32", "AMT", false, false},
	{"2001:4:112::/48", "AS112", false, false},
	{"2001:10::/28", "ORCHID", false, false},
	{"2001:20::/28", "ORCHIDv2", false, false},
	{"2001:30::/28", "drone identities", false, false},
	{"2001:db8::/32", "documentation", true, true},
	{"2002::/16", "6to4", true, true},
	{"2620:4f:8000::/48", "AS112", true, true},
	{"3fff::/20", "documentation", true, true},
	{"4000::/2", "outside global unicast", true, false},
	{"5f00::/16", "segment routing", false, false},
	{"fc00::/7", "unique local", false, false},
	{"fe80::/10", "link-local", false, false},
	{"fec0::/10", "site-local", false, false},
	{"ff00::/8", "multicast", false, false},
}

func TestSpecialRanges(t *testing.T) {
	for _, r := range specialRanges {
		p := netip.MustParsePrefix(r.prefix)
		if p != p.Masked() {
			t.Fatalf("%s has host bits", p)
		}
		first, end := p.Addr(), last(p)
		for _, a := range []netip.Addr{first, end, middle(p)} {
			if public(a) {
				t.Errorf("%s (%s): %s is public", p, r.name, a)
			}
			if err := guard(t.Context(), "tcp", netip.AddrPortFrom(a, 443).String(), nil); !errors.Is(err, ErrForbiddenAddress) {
				t.Errorf("%s (%s): %s passes the guard: %v", p, r.name, a, err)
			}
		}
		if before := first.Prev(); before.IsValid() && public(before) != r.before {
			t.Errorf("%s (%s): %s, before it, is public: %v", p, r.name, before, !r.before)
		}
		if after := end.Next(); after.IsValid() && public(after) != r.after {
			t.Errorf("%s (%s): %s, after it, is public: %v", p, r.name, after, !r.after)
		}
	}
}

// last returns the last address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// middle returns the address in the middle of a prefix.
func middle(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	if i := p.Bits(); i < 8*len(b) {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// Every form in which an IPv6 address carries an IPv4 address is refused,
// whatever that address is: it is not known what is made of it on the way.
func TestEmbeddedAddresses(t *testing.T) {
	for _, four := range []string{"127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "8.8.8.8"} {
		b := netip.MustParseAddr(four).As4()
		hex := fmt.Sprintf("%x:%x", int(b[0])<<8|int(b[1]), int(b[2])<<8|int(b[3]))
		for form, text := range map[string]string{
			"mapped":              "::ffff:" + four,
			"mapped, hex":         "::ffff:" + hex,
			"mapped, long":        "0:0:0:0:0:ffff:" + hex,
			"mapped, zeros":       "0000:0000:0000:0000:0000:FFFF:" + four,
			"mapped, zone":        "::ffff:" + four + "%lo",
			"compatible":          "::" + four,
			"translated":          "::ffff:0:" + four,
			"NAT64":               "64:ff9b::" + four,
			"NAT64, hex":          "64:ff9b::" + hex,
			"local NAT64, /48":    fmt.Sprintf("64:ff9b:1:%02x%02x:%02x:%02x00::", b[0], b[1], b[2], b[3]),
			"local NAT64, /64":    fmt.Sprintf("64:ff9b:1:ffff:%x:%02x%02x:%02x00:0", b[0], b[1], b[2], b[3]),
			"local NAT64, /96":    "64:ff9b:1:ffff:ffff::" + four,
			"6to4":                "2002:" + hex + "::1",
			"Teredo, server":      "2001:0:" + hex + ":0:ffff:f7f7:f7f7",
			"Teredo, client":      fmt.Sprintf("2001:0:808:808:0:ffff:%02x%02x:%02x%02x", ^b[0], ^b[1], ^b[2], ^b[3]),
			"ISATAP":              "2606:4700::5efe:" + hex,
			"ISATAP, dotted":      "2606:4700:1:2:0:5efe:" + four,
			"ISATAP, unique":      "2606:4700:1:2:200:5efe:" + hex,
			"ISATAP, link-local":  "fe80::5efe:" + hex,
			"site-local":          "fec0::" + four,
			"zone":                "2606:4700::" + hex + "%lo",
			"6rd's documentation": "2001:db8:" + hex + "::1",
		} {
			if a, err := netip.ParseAddr(text); err != nil || public(a) {
				t.Errorf("%s in %s: %s is public; %v", four, form, text, err)
			}
		}
	}
	for _, ordinary := range []string{"2606:4700::5eff:808:808", "2606:4700::1:5efe:808:808", "2606:4700::100:5efe:808:808", "2606:4700::808:808"} {
		if !public(netip.MustParseAddr(ordinary)) {
			t.Errorf("%s is not public", ordinary)
		}
	}
}

// A name for every range, in A or AAAA records. The guard sees what it means.
func TestNamesOfSpecialAddresses(t *testing.T) {
	names := map[string][]string{}
	for i, r := range specialRanges {
		p := netip.MustParsePrefix(r.prefix)
		names[fmt.Sprintf("first%d.example.org.", i)] = []string{p.Addr().String()}
		names[fmt.Sprintf("last%d.example.org.", i)] = []string{last(p).String()}
	}
	c := New(Config{resolver: nameServer(t, new(atomic.Int32), names)})
	defer c.Close()
	for name, addresses := range names {
		host := strings.TrimSuffix(name, ".")
		_, err := c.Manifest(t.Context(), request(t, "/v2/"+host+"/app/manifests/v1"))
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, ErrForbiddenAddress) || e.Status != 403 || e.Code != "DENIED" ||
			e.Message != "registry "+host+" is at an address that this service does not connect to" {
			t.Errorf("a name of %s: %v", addresses, err)
		}
	}
}
