package upstream

import (
	"net/http"
	"strings"
)

// limits is what the names of quota headers begin with: Docker Hub's
// Ratelimit-Limit and Ratelimit-Remaining, and the IETF draft's Ratelimit and
// Ratelimit-Policy.
const limits = "Ratelimit"

// Bounds of what goes on of an answer's headers. Proxies refuse an answer of
// whose header they get too much, often 8 KiB.
const (
	maxValue  = 512
	maxLimits = 8
)

// pick returns a copy of the named headers and of the quota headers, the first
// of each. Nothing else of an upstream's answer goes on to a client; above all
// neither cookies nor challenges. What is too long stays behind, and so do
// quota headers that are too many.
func pick(header http.Header, names ...string) http.Header {
	picked := http.Header{}
	for name, values := range header {
		if (name == limits || strings.HasPrefix(name, limits+"-")) && len(name) <= maxValue && len(values[0]) <= maxValue {
			picked[name] = values[:1]
		}
	}
	if len(picked) > maxLimits {
		clear(picked)
	}
	for _, name := range names {
		if values := header.Values(name); len(values) > 0 && len(values[0]) <= maxValue {
			picked[http.CanonicalHeaderKey(name)] = values[:1]
		}
	}
	return picked
}

// without returns a copy of header without the names that begin with prefix.
func without(header http.Header, prefix string) http.Header {
	rest := http.Header{}
	for name, values := range header {
		if !strings.HasPrefix(name, prefix) {
			rest[name] = values
		}
	}
	return rest
}
