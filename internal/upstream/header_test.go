package upstream

import (
	"fmt"
	"net/http"
	"testing"
)

func TestPick(t *testing.T) {
	header := http.Header{
		"Etag": {"a", "b"}, "Last-Modified": {"c"}, "Set-Cookie": {"d"}, "Www-Authenticate": {"e"}, "Ratelimit": {"f"},
		"Ratelimit-Limit": {"g", "h"}, "Ratelimited": {"i"}, "X-Ratelimit-Limit": {"j"}, "Docker-Ratelimit-Source": {"k"},
	}
	if got, want := fmt.Sprint(pick(header, "ETag", "OCI-Subject")), "map[Etag:[a] Ratelimit:[f] Ratelimit-Limit:[g h]]"; got != want {
		t.Errorf("picked %s, want %s", got, want)
	}
}
