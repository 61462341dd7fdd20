package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

func TestPublic(t *testing.T) {
	for _, a := range []string{
		// IPv4: first and last address of each range
		"0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255",
		"127.0.0.1", "127.255.255.255", "169.254.0.0", "169.254.169.254", "169.254.255.255",
		"172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.255", "192.0.2.1", "192.31.196.1",
		"192.52.193.1", "192.88.99.1", "192.168.0.0", "192.168.255.255", "192.175.48.1",
		"198.18.0.0", "198.19.255.255", "198.51.100.1", "203.0.113.1",
		"224.0.0.0", "239.255.255.255", "240.0.0.0", "255.255.255.255",
		// IPv6
		"::", "::1", "::7f00:1", "::127.0.0.1", "::8.8.8.8",
		"::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:8.8.8.8", "::ffff:0:8.8.8.8",
		"64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "64:ff9b:1:ffff::1",
		"100::1", "100:0:0:1::1", "2001::1", "2001:0:53aa:64c::1", "2001:1ff:ffff::1", "2001:20::1",
		"2001:db8::1", "2002::1", "2002:7f00:1::1", "2002:a9fe:a9fe::", "2620:4f:8000::1", "3fff::1",
		"4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fdff::1", "fe80::1", "fe80::1%eth0",
		"febf::1", "fec0::1", "feff::1", "ff02::1", "ff0e::1", "2606:4700::1111%eth0",
	} {
		if public(netip.MustParseAddr(a)) {
			t.Errorf("%s is public", a)
		}
	}
	for _, a := range []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
		"126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0",
		"192.0.1.0", "192.0.3.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
		"2000::1", "2001:200::1", "2001:4860:4860::8888", "2003::1", "2606:4700:4700::1111", "2a00:1450::1", "3ffe:ffff::1",
	} {
		if !public(netip.MustParseAddr(a)) {
			t.Errorf("%s is not public", a)
		}
	}
	if public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

func TestGuardPorts(t *testing.T) {
	for port, want := range map[int]bool{0: false, 1: false, 22: false, 25: false, 80: false, 442: false, 443: true, 444: false, 1023: false, 1024: true, 5000: true, 65535: true} {
		err := guard(t.Context(), "tcp4", fmt.Sprintf("8.8.8.8:%d", port), nil)
		if (err == nil) != want {
			t.Errorf("port %d: %v", port, err)
		}
		if err != nil && !errors.Is(err, ErrForbiddenAddress) {
			t.Errorf("port %d: %v is not ErrForbiddenAddress", port, err)
		}
	}
	if err := guard(t.Context(), "tcp4", "no address", nil); !errors.Is(err, ErrForbiddenAddress) {
		t.Errorf("no address: %v", err)
	}
}

// Names that lead to where nobody may connect to, by their spelling or by what
// their look-up answers. The error is the registry's own: 403.
func TestForbiddenRegistries(t *testing.T) {
	port := canary(t)
	var lookups atomic.Int32
	c := New(Config{resolver: nameServer(t, &lookups, map[string][]string{
		"loop.example.org.":                        {"127.0.0.1"},
		"two.example.org.":                         {"10.0.0.1", "127.0.0.1"},
		"metadata.google.internal.":                {"169.254.169.254"},
		"six.example.org.":                         {"::1"},
		"mapped.example.org.":                      {"::ffff:127.0.0.1"},
		"nat64.example.org.":                       {"64:ff9b::7f00:1"},
		"sixtofour.example.org.":                   {"2002:7f00:1::"},
		"127.0.0.1.nip.example.org.":               {"127.0.0.1"},
		"host-with-a-long-name.sub.d.example.org.": {"100.64.0.1"},
	})})
	defer c.Close()
	for _, host := range []string{
		"127.0.0.1:" + port, "localhost:" + port, "10.0.0.1", "169.254.169.254", "0.0.0.0:" + port, "100.100.100.200",
		"loop.example.org:" + port, "two.example.org:" + port, "metadata.google.internal", "six.example.org:" + port,
		"mapped.example.org:" + port, "nat64.example.org:" + port, "sixtofour.example.org:" + port,
		"127.0.0.1.nip.example.org:" + port, "host-with-a-long-name.sub.d.example.org",
	} {
		for _, path := range []string{"/manifests/v1", "/tags/list", "/blobs/" + blobDigest} {
			r := request(t, "/v2/"+host+"/app"+path)
			var err error
			switch path {
			case "/manifests/v1":
				_, err = c.Manifest(t.Context(), r)
			case "/tags/list":
				_, err = c.Pass(t.Context(), r, Wish{Method: "GET"})
			default:
				_, err = c.Blob(t.Context(), "GET", r, nil)
			}
			var e *Error
			if !errors.As(err, &e) || e.Status != 403 || e.Code != "DENIED" || !errors.Is(err, ErrForbiddenAddress) ||
				e.Message != "registry "+host+" is at an address that this service does not connect to" {
				t.Errorf("%s%s: %v", host, path, err)
			}
		}
	}
	if lookups.Load() == 0 {
		t.Error("the test's name server was not asked")
	}
}

// Spellings of addresses that some resolvers read as such are no way around:
// whatever they are taken for, nothing connects to loopback.
func TestOddSpellingsOfLoopback(t *testing.T) {
	port := canary(t)
	c := New(Config{})
	defer c.Close()
	for _, host := range []string{"2130706433", "0x7f000001", "017700000001", "127.1", "0177.0.0.1", "0x7f.1"} {
		if _, err := c.Manifest(t.Context(), request(t, "/v2/"+host+":"+port+"/app/manifests/v1")); err == nil {
			t.Errorf("%s is served", host)
		}
	}
}

// What a registry names (realm, redirect of a realm, redirect of a manifest)
// is held to the same rule. The error is a bad answer: 502.
func TestForbiddenRealmsAndRedirects(t *testing.T) {
	port := canary(t)
	lookups := new(atomic.Int32)
	resolver := nameServer(t, lookups, map[string][]string{"loop.example.org.": {"127.0.0.1"}})
	for _, target := range []string{
		"https://127.0.0.1:" + port + "/x", "https://localhost:" + port + "/x", "https://[::1]:" + port + "/x",
		"https://[::ffff:127.0.0.1]:" + port + "/x", "https://[64:ff9b::7f00:1]/x", "https://[2002:7f00:1::]/x", "https://[fe80::1%25lo]:" + port + "/x",
		"https://[fec0::1]/x", "https://loop.example.org:" + port + "/x", "https://169.254.169.254/x", "https://8.8.8.8:22/x",
		"http://127.0.0.1:" + port + "/x", "http://localhost:" + port + "/x", "http://example.org/x",
		"https://user@localhost:" + port + "/x", "file:///etc/passwd", "gopher://localhost:" + port, "https:///x",
	} {
		for _, where := range []string{"ping", "realm", "token", "manifest"} {
			t.Run(where+" "+target, func(t *testing.T) {
				w, c := mapped(t, Config{resolver: resolver})
				to := func(rw http.ResponseWriter, _ *http.Request) {
					rw.Header().Set("Location", target)
					rw.WriteHeader(http.StatusTemporaryRedirect)
				}
				switch where {
				case "ping":
					w.mux.HandleFunc("/v2/{$}", to)
				case "realm":
					w.gate(target, "{}")
				case "token":
					w.gate(w.URL+"/other", "{}")
					w.mux.HandleFunc("/other", to)
				default:
					w.open()
					w.mux.HandleFunc("/v2/app/manifests/v1", to)
				}
				_, err := c.Manifest(t.Context(), tag(t))
				var e *Error
				if !errors.As(err, &e) || e.Status != 502 {
					t.Errorf("error is %v", err)
				}
			})
		}
	}
}

// A mapped registry's exemption is its own. Another registry that names the
// same origin does not get there.
func TestExemptionIsNotShared(t *testing.T) {
	a, _ := mapped(t, Config{})
	b, _ := mapped(t, Config{})
	both := New(Config{Mirrors: mirrors(t, map[string]string{"a.example": a.URL, "b.example": b.URL})})
	defer both.Close()
	a.mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	b.open()
	port := a.URL[strings.LastIndexByte(a.URL, ':')+1:]
	for i, target := range []string{a.URL, "https://127.0.0.1:" + port, "https://localhost:" + port} {
		b.mux.Handle(fmt.Sprintf("/v2/app%d/", i), http.RedirectHandler(target+"/v2/app/manifests/v1", http.StatusTemporaryRedirect))
		if _, err := both.Manifest(t.Context(), request(t, fmt.Sprintf("/v2/b.example/app%d/manifests/v1", i))); err == nil {
			t.Errorf("%s is served", target)
		}
		// The registry at that very address, without a mapping, is not served either.
		if _, err := both.Manifest(t.Context(), request(t, "/v2/127.0.0.1:"+port+"/app/manifests/v1")); !errors.Is(err, ErrForbiddenAddress) {
			t.Errorf("unmapped: %v", err)
		}
	}
	want(t, a.requests())
}

// A mapped registry's transport connects to its base URL's host and port only.
func TestOnly(t *testing.T) {
	port := canary(t)
	for _, base := range []string{"http://localhost:1", "http://localhost", "https://localhost", "http://127.0.0.1:" + port} {
		dial := only(parse(t, base))
		if conn, err := dial(t.Context(), "tcp", "localhost:"+port); !errors.Is(err, ErrForbiddenAddress) {
			t.Errorf("%s: %v %v", base, conn, err)
		}
	}
}

func TestNoProxy(t *testing.T) {
	_, c := mapped(t, Config{})
	if c.guarded.Proxy != nil || c.mirrors["reg.example"].own.Proxy != nil || c.mirrors["reg.example"].blobs.Proxy != nil {
		t.Error("a proxy would connect where no guard is")
	}
}

// nameServer returns a resolver whose names are those of a table.
func nameServer(t *testing.T, asked *atomic.Int32, names map[string][]string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buffer := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			asked.Add(1)
			if answer, err := answerQuery(buffer[:n], names); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-ended
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func answerQuery(query []byte, names map[string][]string) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil, err
	}
	q := m.Questions[0]
	m.Header = dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}
	m.Additionals = nil
	addresses, ok := names[q.Name.String()]
	if !ok {
		m.RCode = dnsmessage.RCodeNameError
	}
	for _, address := range addresses {
		a := netip.MustParseAddr(address)
		header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 0}
		switch {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	return m.Pack()
}
