package registry

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
)

// maxRequests bounds the memory of a registry under load; counts go on.
const maxRequests = 10_000

// Counts says how many requests of each kind arrived, answered or refused.
// Two Counts can be compared with ==.
type Counts struct {
	Ping         int // GET or HEAD /v2/
	Token        int // the token server
	ManifestHead int // by tag or digest
	ManifestGet  int
	BlobHead     int // at the registry
	BlobGet      int
	TagList      int
	Referrers    int
	Store        int // at the store that blobs redirect to
	Other        int // anything else, pushes included
}

// String lists the kinds that are not zero, such as "token 1, manifest HEAD 2".
func (c Counts) String() string {
	var parts []string
	for _, kind := range []struct {
		name string
		n    int
	}{
		{"ping", c.Ping},
		{"token", c.Token},
		{"manifest HEAD", c.ManifestHead},
		{"manifest GET", c.ManifestGet},
		{"blob HEAD", c.BlobHead},
		{"blob GET", c.BlobGet},
		{"tag list", c.TagList},
		{"referrers", c.Referrers},
		{"store", c.Store},
		{"other", c.Other},
	} {
		if kind.n != 0 {
			parts = append(parts, fmt.Sprintf("%s %d", kind.name, kind.n))
		}
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// Total returns the number of all requests.
func (c Counts) Total() int {
	return c.Ping + c.Token + c.ManifestHead + c.ManifestGet + c.BlobHead + c.BlobGet +
		c.TagList + c.Referrers + c.Store + c.Other
}

// A Request is a request as it arrived.
type Request struct {
	Method string
	Host   string // as in the Host header
	URI    string // path and query, as sent
	Header http.Header
}

// traffic is the record of what arrived.
type traffic struct {
	mu    sync.Mutex
	count Counts
	seen  []Request
}

func (t *traffic) add(req *http.Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*t.count.of(req)++
	if len(t.seen) == maxRequests {
		t.seen = t.seen[1:]
	}
	t.seen = append(t.seen, Request{req.Method, req.Host, req.RequestURI, req.Header.Clone()})
}

func (t *traffic) counts() Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}

func (t *traffic) requests() []Request {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]Request(nil), t.seen...)
}

func (t *traffic) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count, t.seen = Counts{}, nil
}

var (
	manifestPath  = regexp.MustCompile(`^/v2/.+/manifests/[^/]+$`)
	blobPath      = regexp.MustCompile(`^/v2/.+/blobs/[^/]+:[^/]+$`)
	tagListPath   = regexp.MustCompile(`^/v2/.+/tags/list$`)
	referrersPath = regexp.MustCompile(`^/v2/(.+)/referrers/([^/]+)$`)
)

// of returns the field that req counts for.
func (c *Counts) of(req *http.Request) *int {
	path, head := req.URL.Path, req.Method == http.MethodHead
	switch {
	case path == tokenPath:
		return &c.Token
	case !head && req.Method != http.MethodGet:
		return &c.Other
	case storedPath.MatchString(path):
		return &c.Store
	case path == "/v2/":
		return &c.Ping
	case tagListPath.MatchString(path):
		return &c.TagList
	case referrersPath.MatchString(path):
		return &c.Referrers
	case manifestPath.MatchString(path) && head:
		return &c.ManifestHead
	case manifestPath.MatchString(path):
		return &c.ManifestGet
	case blobPath.MatchString(path) && head:
		return &c.BlobHead
	case blobPath.MatchString(path):
		return &c.BlobGet
	}
	return &c.Other
}
