package front_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// What a client writes makes no line longer than it has to be.
func TestLongLogLine(t *testing.T) {
	s := newSite(t, setup{})
	long := strings.Repeat("x", 10_000)
	s.do("GET", "/v2/registry.test/"+long+"/manifests/1", "User-Agent", long)
	var line struct {
		HTTPRequest struct{ RequestURL, UserAgent string }
		Error       string
	}
	text := s.lines.wait(t, 1)[0]
	if err := json.Unmarshal([]byte(text), &line); err != nil {
		t.Fatal(err)
	}
	const most = 2048
	for name, got := range map[string]string{"requestUrl": line.HTTPRequest.RequestURL, "userAgent": line.HTTPRequest.UserAgent} {
		if cut, ok := strings.CutSuffix(got, "…"); !ok || len(cut) != most || !strings.HasSuffix(cut, "xxx") {
			t.Errorf("%s has %d bytes: %.60s", name, len(got), got)
		}
	}
	if line.Error == "" || len(text) > 3*most {
		t.Errorf("a line of %d bytes: %.300s", len(text), text)
	}
}
