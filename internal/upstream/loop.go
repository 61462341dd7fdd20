package upstream

import (
	"net/http"
	"strings"
)

// A registry can name this service as its token service, or redirect a manifest
// to it, for another manifest of its own, and so on without end. So requests
// that go anywhere but to a registry's own origin carry CDN-Loop (RFC 8586).
// Those to its own do not: one such service may well be mapped to another.
const (
	loopHeader = "CDN-Loop"
	loopID     = "tlogistry"
)

// Looped reports whether a request with this header was sent by a service like
// this one because a registry had led it there. It is not to be answered.
func Looped(header http.Header) bool {
	for _, value := range header.Values(loopHeader) {
		for who := range strings.SplitSeq(value, ",") {
			id, _, _ := strings.Cut(who, ";")
			if strings.EqualFold(strings.TrimSpace(id), loopID) {
				return true
			}
		}
	}
	return false
}
