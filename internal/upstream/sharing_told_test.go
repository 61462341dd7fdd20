package upstream

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// A tag that moves after HEAD was answered is what it was then.
func TestTagThatMovesAfterHead(t *testing.T) {
	shelved(t, Config{}, map[string]string{"a": image(1), "b": image(2), "old": image(2)}, func(t *testing.T, s *shelf) {
		s.pull("a")
		s.answer = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodGet {
				s.mu.Lock()
				s.tags["b"] = image(3)
				s.mu.Unlock()
			}
			return false
		}
		m, err := s.Manifest(t.Context(), s.reference("b"))
		if err != nil || m.Digest != digestOf(2) || m.Header.Get("Ratelimit-Remaining") != "GET "+digestOf(2) {
			t.Errorf("%v, %v", m, err)
		}
		s.pull("b")
		s.wantAsked(map[string]int{"GET a": 1, "HEAD b": 2, "GET " + digestOf(2): 1, "GET " + digestOf(3): 1})
		delete(s.tags, "b")
		_, err = s.Manifest(t.Context(), s.reference("b"))
		wantError(t, err, 404, "MANIFEST_UNKNOWN", "reg.example/app:b is not known to registry reg.example")
		s.wantAsked(map[string]int{"HEAD b": 1}) // that is believed of a tag that was served
	})
}

// Where GET by the digest that HEAD tells is refused, or brings something else,
// the tag decides. Where the registry cannot answer, it is not asked again.
func TestDigestThatIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		text   string
		tag    bool
		err    string
	}{
		"unknown":           {404, "", true, ""},
		"gone":              {410, "", true, ""},
		"denied":            {403, "", true, ""},
		"bad request":       {400, "", true, ""},
		"not allowed":       {405, "", true, ""},
		"broken":            {500, "", true, ""},
		"other bytes":       {200, "Content-Type: " + indexType + "\n\n" + image(3), true, ""},
		"another type":      {200, "Content-Type: " + manifestType + "\n\n" + image(2), true, ""},
		"HTML":              {200, "Content-Type: text/html\n\n<html>", true, ""},
		"another in header": {200, "Content-Type: " + indexType + "\n" + digestHeader + ": " + blobDigest + "\n\n" + image(2), true, ""},
		"redirect":          {302, "Location: http://127.0.0.1:1/", true, ""},
		"quota":             {429, "", false, "429 registry reg.example limits the requests of this service"},
		"unavailable":       {503, "", false, "503 registry reg.example answered with status 503"},
		"out of time":       {504, "", false, "504 registry reg.example answered with status 504"},
	} {
		t.Run(name, func(t *testing.T) {
			shelved(t, Config{}, map[string]string{"a": image(1), "b": image(2)}, func(t *testing.T, s *shelf) {
				s.serve("/v2/app/manifests/"+digestOf(2), test.status, test.text)
				s.pull("a")
				s.asked()
				m, err := s.Manifest(t.Context(), s.reference("b"))
				asked := s.asked()
				if got := asked["GET b"] == 1; got != test.tag || asked["HEAD b"] != 1 || asked["GET "+digestOf(2)] < 1 {
					t.Errorf("asked %v", asked)
				}
				if test.tag && (err != nil || string(m.Bytes) != image(2) || m.Header.Get("Ratelimit-Remaining") != "GET b") {
					t.Errorf("%v, %v", m, err)
				}
				var e *Error
				if !test.tag && (!errors.As(err, &e) || fmt.Sprint(e.Status, " ", e) != test.err) {
					t.Errorf("error is %v", err)
				}
			})
		})
	}
}

// A digest that is none is not asked for.
func TestHeadThatTellsNoDigest(t *testing.T) {
	for name, said := range map[string]string{
		"nothing":      "",
		"sha512":       "sha512:" + strings.Repeat("0", 128),
		"upper case":   "SHA256:" + strings.Repeat("0", 64),
		"too short":    "sha256:00",
		"a tag":        "b",
		"a path":       "../../other/manifests/" + digestOf(2),
		"two at once":  digestOf(2) + ", " + digestOf(2),
		"with a query": digestOf(2) + "?",
	} {
		t.Run(name, func(t *testing.T) {
			shelved(t, Config{}, map[string]string{"a": image(1), "b": image(2)}, func(t *testing.T, s *shelf) {
				s.pull("a")
				s.answer = func(rw http.ResponseWriter, r *http.Request) bool {
					if r.Method == http.MethodHead {
						rw.Header().Set(digestHeader, said)
					}
					return r.Method == http.MethodHead
				}
				s.pull("b")
				s.wantAsked(map[string]int{"GET a": 1, "HEAD b": 1, "GET b": 1})
			})
		})
	}
}
