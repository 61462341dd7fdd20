package limit

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// client returns whose bucket a request is taken from. Requests without a
// readable address, such as over a Unix socket, share one, the zero prefix.
func client(r *http.Request, hops int) netip.Prefix {
	address, ok := forwarded(r.Header["X-Forwarded-For"], hops)
	if !ok {
		address, _ = parseAddress(r.RemoteAddr)
	}
	bits := 32
	if address.Is6() {
		bits = 64
	}
	network, _ := address.Prefix(bits) // fails for the zero address alone
	return network
}

// forwarded returns the address that is hops from the end of an
// X-Forwarded-For header, whose lines are one list (RFC 9110, section 5.3).
// Each proxy appends the address that it was asked from. It is not read where
// it is not one: then the proxies are not those that were configured.
func forwarded(lines []string, hops int) (netip.Addr, bool) {
	if hops == 0 {
		return netip.Addr{}, false
	}
	for _, line := range slices.Backward(lines) {
		for {
			comma := strings.LastIndexByte(line, ',')
			if hops--; hops == 0 {
				return parseAddress(strings.Trim(line[comma+1:], " \t"))
			}
			if comma < 0 {
				break
			}
			line = line[:comma]
		}
	}
	return netip.Addr{}, false
}

// parseAddress reads an address with or without a port; some proxies append
// one. IPv4 in IPv6 is IPv4, and a zone is of no meaning elsewhere.
func parseAddress(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().WithZone(""), true
	}
	if a, err := netip.ParseAddrPort(s); err == nil {
		return a.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
}
