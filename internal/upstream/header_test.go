package upstream

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestPick(t *testing.T) {
	header := http.Header{
		"Etag": {"a", "b"}, "Last-Modified": {"c"}, "Set-Cookie": {"d"}, "Www-Authenticate": {"e"}, "Ratelimit": {"f"},
		"Ratelimit-Limit": {"g", "h"}, "Ratelimited": {"i"}, "X-Ratelimit-Limit": {"j"}, "Docker-Ratelimit-Source": {"k"},
	}
	if got, want := fmt.Sprint(pick(header, "ETag", "OCI-Subject")), "map[Etag:[a] Ratelimit:[f] Ratelimit-Limit:[g]]"; got != want {
		t.Errorf("picked %s, want %s", got, want)
	}
}

// What would make the answer one that proxies refuse stays behind.
func TestPickBounds(t *testing.T) {
	long := strings.Repeat("x", maxValue+1)
	header := http.Header{"Etag": {long[1:]}, "Last-Modified": {long}, "Ratelimit-Limit": {long}, "Ratelimit-" + long: {"a"}, "Ratelimit": {"b"}}
	if got, want := fmt.Sprint(pick(header, "ETag", "Last-Modified")), "map[Etag:["+long[1:]+"] Ratelimit:[b]]"; got != want {
		t.Errorf("picked %s, want %s", got, want)
	}
	for i := range maxLimits {
		header.Set(fmt.Sprint("Ratelimit-", i), "c")
	}
	if got := pick(header); len(got) != 0 {
		t.Errorf("picked %d quota headers", len(got))
	}
}
