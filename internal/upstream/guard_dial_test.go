package upstream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// resolving returns a resolver whose answer to the nth look-up of a name is
// what answer says. IPv4 and IPv6 are asked for separately, with one n.
func resolving(t *testing.T, answer func(name string, n int) []string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	asked := map[string]int{} // by name and type
	go func() {
		defer close(ended)
		buffer := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:n]) != nil || len(m.Questions) == 0 {
				continue
			}
			name := m.Questions[0].Name.String()
			key := name + m.Questions[0].Type.String()
			asked[key]++
			names := map[string][]string{name: answer(strings.TrimSuffix(name, "."), asked[key])}
			if reply, err := answerQuery(buffer[:n], names); err == nil {
				_, _ = conn.WriteTo(reply, from)
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

// spellings are hosts that mean loopback to somebody: to inet_aton, to a
// browser, to a resolver, or to what comes after a decoding too many.
var spellings = []string{
	"127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "127.0.0.1.", "127.0.0.01", "127.000.000.001",
	"2130706433", "0x7f000001", "0x7F.0.0.1", "0x7f.1", "0X7f.0x0.0x0.0x1", "017700000001", "0177.0.0.1", "0177.1", "127.0x1", "00000177.0.0.1",
	"4294967295.1", "0", "0.0.0.0", "00.0.0.0", "0x0",
	"localhost", "LOCALHOST", "localhost.", "LocalHost.", "a.localhost", "localhost.localdomain", "ip6-localhost",
	"127.0.0.1.nip.example.org", "metadata.google.internal", "kubernetes.default.svc", "one.example.org", "one.example.org.",
	"[::1]", "[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]", "[::]", "[::0001]", "[::1%25lo]", "[::1%25]",
	"[::127.0.0.1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::FFFF:7F00:0001]", "[::ffff:0.0.0.0]", "[::ffff:0:127.0.0.1]",
	"[64:ff9b::127.0.0.1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[2606:4700::5efe:127.0.0.1]", "[fe80::1%25lo]", "[fec0::1]",
	"%31%32%37.0.0.1", "127%2e0%2e0%2e1", "loc%61lhost", "１２７.0.0.1", "127。0。0。1", "①②⑦.⓪.⓪.①", "ⓛocalhost", "localhost%00.example.org", "127.0.0.1%23.example.org",
}

// Wherever a registry may name an address, and whatever a resolver takes each
// spelling for, loopback is not connected to.
func TestSpellingsOfLoopback(t *testing.T) {
	port := canary(t)
	resolver := resolving(t, func(string, int) []string { return []string{"127.0.0.1", "::1", "0.0.0.0", "::"} })
	for _, host := range spellings {
		for _, where := range []string{"redirect", "third redirect", "realm"} {
			t.Run(where+" "+host, func(t *testing.T) {
				t.Parallel()
				w, c := mapped(t, Config{resolver: resolver})
				target := "https://" + host + ":" + port + "/x"
				switch where {
				case "realm":
					w.gate(target, "{}")
				case "redirect":
					w.open()
					w.mux.HandleFunc("/v2/app/manifests/v1", leads(target))
				default:
					w.open()
					w.mux.HandleFunc("/v2/app/manifests/v1", leads("/hop"))
					w.mux.HandleFunc("/hop", leads(w.URL+"/last"))
					w.mux.HandleFunc("/last", leads(target))
				}
				_, err := c.Manifest(t.Context(), tag(t))
				var e *Error
				if !errors.As(err, &e) || e.Status != 502 && e.Status != 503 || e.Code != "UNAVAILABLE" {
					t.Errorf("error is %v", err)
				}
			})
		}
	}
}

// leads redirects to an address as it is written.
func leads(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
	}
}

// The same spellings as the address that a client is sent to for a blob.
func TestSpellingsInALocation(t *testing.T) {
	for _, host := range spellings {
		if strings.HasSuffix(strings.TrimSuffix(host, "."), ".example.org") || strings.HasSuffix(host, "internal") ||
			strings.HasSuffix(host, ".svc") || strings.HasSuffix(host, "localdomain") || host == "ip6-localhost" {
			continue // a name, which only its look-up tells
		}
		w, c := unmapped(t, Config{})
		w.gate("https://reg.example.com/token", `{"token":"good"}`)
		w.mux.HandleFunc("/v2/app/", leads("https://"+host+"/x"))
		b, err := c.Blob(t.Context(), "GET", blob(t, "reg.example.com"), nil)
		var e *Error
		if !errors.As(err, &e) || e.Status != 502 {
			t.Errorf("%s: %+v, %v", host, b, err)
		}
	}
}

// watchedDial dials as the service does, but no further than the guard's consent.
func watchedDial(resolver *net.Resolver) (dialFunc, func() []string) {
	var mu sync.Mutex
	var allowed []string
	d := guarded(resolver)
	check := d.ControlContext
	d.ControlContext = func(ctx context.Context, network, address string, c syscall.RawConn) error {
		if err := check(ctx, network, address, c); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		allowed = append(allowed, address)
		return errors.New("far enough for a test")
	}
	return d.DialContext, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return allowed
	}
}

// A name that is public when it is looked up first and private afterwards. The
// look-up before a connection counts, and no other.
func TestRebinding(t *testing.T) {
	port := canary(t)
	public := []string{"8.8.8.8"}
	for name, test := range map[string]struct {
		answers [][]string
		allowed []string
		status  int
	}{
		"then loopback":      {[][]string{public, {"127.0.0.1"}}, []string{"8.8.8.8:" + port}, 403},
		"then metadata":      {[][]string{public, public, {"169.254.169.254"}}, []string{"8.8.8.8:" + port, "8.8.8.8:" + port}, 403},
		"then loopback, six": {[][]string{public, {"::1"}}, []string{"8.8.8.8:" + port}, 403},
		"then mapped":        {[][]string{public, {"::ffff:127.0.0.1"}}, []string{"8.8.8.8:" + port}, 403},
		"loopback first":     {[][]string{{"127.0.0.1"}, public}, nil, 403},
		"public throughout":  {[][]string{public}, []string{"8.8.8.8:" + port, "8.8.8.8:" + port, "8.8.8.8:" + port}, 503},
	} {
		t.Run(name, func(t *testing.T) {
			dial, allowed := watchedDial(resolving(t, func(_ string, n int) []string {
				return test.answers[min(n, len(test.answers))-1]
			}))
			c := New(Config{dial: dial})
			defer c.Close()
			_, err := c.Manifest(t.Context(), request(t, "/v2/rebind.example.org:"+port+"/app/manifests/v1"))
			var e *Error
			if !errors.As(err, &e) || e.Status != test.status || (test.status == 403) != errors.Is(err, ErrForbiddenAddress) {
				t.Errorf("error is %v, want %d", err, test.status)
			}
			if got := allowed(); !slices.Equal(got, test.allowed) {
				t.Errorf("allowed %q, want %q", got, test.allowed)
			}
		})
	}
}

// The same for what a registry leads to: its own name was fine.
func TestRebindingOfRealmAndRedirect(t *testing.T) {
	port := canary(t)
	for _, where := range []string{"realm", "manifest", "token"} {
		t.Run(where, func(t *testing.T) {
			dial, allowed := watchedDial(resolving(t, func(_ string, n int) []string {
				if n == 1 {
					return []string{"8.8.8.8"}
				}
				return []string{"127.0.0.1"}
			}))
			w, c := mapped(t, Config{dial: dial})
			target := "https://rebind.example.org:" + port + "/x"
			switch where {
			case "realm":
				w.gate(target, "{}")
			case "token":
				w.gate(w.URL+"/moved", "{}")
				w.mux.HandleFunc("/moved", leads(target))
			default:
				w.open()
				w.mux.HandleFunc("/v2/app/manifests/v1", leads(target))
			}
			_, err := c.Manifest(t.Context(), tag(t))
			wantError(t, err, 502, "UNAVAILABLE", "registry reg.example leads to an address that this service does not connect to: "+
				"dial tcp 127.0.0.1:"+port+": forbidden address: 127.0.0.1 is not on the public internet")
			if got := allowed(); !slices.Equal(got, []string{"8.8.8.8:" + port}) {
				t.Errorf("allowed %q", got)
			}
		})
	}
}
