package upstream

import (
	"net/http"
	"strings"
)

// A registry can name this service as its token service, or redirect a manifest
// to it, for another manifest of its own, and so on without end; and a client
// can name it as a registry, by another of its hosts. So requests carry CDN-Loop
// (RFC 8586). Those to the origin of a mapped registry do not: an operator may
// well map one such service to another.
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
