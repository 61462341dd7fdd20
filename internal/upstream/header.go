package upstream

import (
	"net/http"
	"strings"
)

// limits is what the names of quota headers begin with: Docker Hub's
// Ratelimit-Limit and Ratelimit-Remaining, and the IETF draft's Ratelimit and
// Ratelimit-Policy.
const limits = "Ratelimit"

// pick returns a copy of the named headers, the first of each, and of the quota
// headers. Nothing else of an upstream's answer goes on to a client; above all
// neither cookies nor challenges.
func pick(header http.Header, names ...string) http.Header {
	picked := http.Header{}
	for name, values := range header {
		if name == limits || strings.HasPrefix(name, limits+"-") {
			picked[name] = values
		}
	}
	for _, name := range names {
		if values := header.Values(name); len(values) > 0 {
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
