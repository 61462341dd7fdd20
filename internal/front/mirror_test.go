package front_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/tlogistry/tlogistry/internal/logtest"
)

// asked is the header that says that ns was used.
func asked(a answer, ns string) answer { return a.with("Oci-Namespace", ns) }

// One tag has one record, whether a client names its registry in the path, in
// ns or in both.
func TestMirrorRecord(t *testing.T) {
	s := newSite(t, setup{})
	manifest, digest := image("one")
	s.origin.push(t, "library/alpine", "3.16.0", manifest)
	const path = "/v2/library/alpine/manifests/3.16.0"
	got := s.do("GET", path+"?ns=docker.io")
	sighting := only(t, s.store, "index.docker.io/library/alpine:3.16.0")
	first := served(manifest, sighting)
	check(t, "GET", got, asked(first.with("Tlog-First-Seen", "true"), "docker.io"))
	spellings := map[string]string{ // by path, the ns
		path + "?ns=docker.io":                                                   "docker.io",
		"/v2/alpine/manifests/3.16.0?ns=docker.io":                               "docker.io",
		"/v2/docker.io/library/alpine/manifests/3.16.0?ns=docker.io":             "docker.io",
		"/v2/index.docker.io/alpine/manifests/3.16.0?ns=registry-1.docker.io":    "registry-1.docker.io",
		"/v2/library/alpine/manifests/3.16.0?x=y&ns=index.docker.io%3a443&z=%zz": "index.docker.io:443",
	}
	for path, ns := range spellings {
		s.checkBoth(path, asked(first, ns))
	}
	s.checkBoth(path, first)

	other, moved := image("two")
	s.origin.push(t, "library/alpine", "3.16.0", other)
	refused := s.do("GET", path)
	if refused.status != http.StatusForbidden {
		t.Fatalf("a moved tag: %d %s", refused.status, refused.body)
	}
	for path, ns := range spellings {
		s.checkBoth(path, asked(refused, ns))
	}
	// By digest nothing is compared with the tag.
	for digest, manifest := range map[string]string{digest: manifest, moved: other} {
		s.checkBoth("/v2/library/alpine/manifests/"+digest+"?ns=docker.io", asked(want(http.StatusOK, manifest,
			"Content-Type", manifestType, "Docker-Content-Digest", digest), "docker.io"))
	}
	if n := len(s.store.Entries("index.docker.io/library/alpine:3.16.0")); n != 1 {
		t.Errorf("%d records, want 1", n)
	}
}

func TestMirrorPing(t *testing.T) {
	s := newSite(t, setup{})
	for _, path := range []string{"/v2/", "/v2"} {
		s.checkBoth(path+"?ns=docker.io", asked(want(http.StatusOK, "{}", "Content-Type", "application/json"), "docker.io"))
	}
	s.checkBoth("/v2/?ns=", wantError(400, "NAME_INVALID", `in ns: invalid repository name: "" is not a registry's host name`, ""))
	s.untouched()
}

// A client that asks for two registries at once is told so; neither is asked.
func TestMirrorRefusals(t *testing.T) {
	s := newSite(t, setup{})
	digest := digestOf("")
	const bad = "invalid repository name: "
	for _, tt := range []struct{ repo, query, message, ns string }{
		{"quay.io/acme/app", "ns=registry.test", bad + "the path names the registry quay.io and ns names registry.test", "registry.test"},
		{"docker.io/library/app", "ns=registry.test", bad + "the path names the registry docker.io and ns names registry.test", "registry.test"},
		{"registry.test/app", "ns=docker.io", bad + "the path names the registry registry.test and ns names docker.io", "docker.io"},
		{"App", "ns=registry.test", bad + `"App"`, "registry.test"},
		{"app", "ns=registry.test&ns=registry.test", bad + "ns is given more than once", ""},
		{"app", "ns=registry.test&ns=quay.io", bad + "ns is given more than once", ""},
		{"app", "ns=Registry.TEST", "in ns: " + bad + `"Registry.TEST" is not a registry's host name`, ""},
		{"app", "ns=registry.test%0d%0aX-Y:+z", "in ns: " + bad + `"registry.test\r\nX-Y: z" is not a registry's host name`, ""},
	} {
		for _, rest := range []string{"manifests/1", "manifests/" + digest, "blobs/" + digest, "tags/list", "referrers/" + digest} {
			w := wantError(http.StatusBadRequest, "NAME_INVALID", tt.message, "")
			if tt.ns != "" {
				w = asked(w, tt.ns)
			}
			s.checkBoth("/v2/"+tt.repo+"/"+rest+"?"+tt.query, w)
		}
	}
	s.untouched()
	if asked := s.origin.asked(); len(asked) != 0 {
		t.Errorf("the registry was asked %q", asked)
	}
	// Outside the registry API ns is nobody's.
	if got := s.do("GET", "/?ns=&ns="); got.status != http.StatusTeapot || got.header.Get("Oci-Namespace") != "" {
		t.Errorf("the home page with ns: %v", got)
	}
}

func TestMirrorOwnName(t *testing.T) {
	s := newSite(t, setup{})
	self := wantError(http.StatusBadRequest, "NAME_INVALID", "the name leads back to this service: leave its host name out of the path and of ns", "")
	for host, ns := range map[string]string{
		"registry.test": "registry.test", "Registry.TEST:443": "registry.test", "docker.io": "registry-1.docker.io", "front.example:8080": "front.example:8080",
	} {
		s.checkBoth("/v2/app/manifests/1?ns="+ns, asked(self, ns), "Host", host)
	}
	s.untouched()
}

// ALLOW is about the repository that is pulled, however it is asked for.
func TestMirrorAllow(t *testing.T) {
	s := newSite(t, setup{allow: []string{"docker.io/library/*"}})
	manifest, _ := image("app")
	s.origin.push(t, "library/alpine", "1", manifest)
	for _, path := range []string{"/v2/library/alpine/manifests/1", "/v2/alpine/tags/list"} {
		if got := s.do("GET", path+"?ns=docker.io"); got.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	// What the path alone would name may be pulled, and what it names may not.
	s.checkBoth("/v2/library/alpine/manifests/1?ns=registry.test", asked(wantError(http.StatusForbidden, "DENIED",
		"repository registry.test/library/alpine may not be pulled through this service", ""), "registry.test"))
}

func TestMirrorErrors(t *testing.T) {
	s := newSite(t, setup{})
	manifest, _ := image("app")
	s.origin.push(t, "app", "1.0", manifest)
	s.checkBoth("/v2/none/manifests/1?ns=registry.test", asked(wantError(404, "NAME_UNKNOWN",
		`registry.test/none:1 is not known to registry registry.test; it says "Unknown name"`, ""), "registry.test"))
	s.log.Fail(logtest.Lookup, errors.New("broken"))
	s.checkBoth("/v2/app/manifests/1.0?ns=registry.test", asked(wantError(http.StatusServiceUnavailable, "UNAVAILABLE",
		"the transparency log could not be used to look up this tag, so it is not served; try again later", "", "Retry-After", "10"), "registry.test"))
}

// ns is for this service: a registry is not asked with it, and a client finds
// the next page with it.
func TestMirrorLists(t *testing.T) {
	s := newSite(t, setup{})
	digest := digestOf("subject")
	for _, tt := range []struct{ name, list, typed, body, contentType string }{
		{"tags", "app/tags/list", "app/tags/list", `{"name":"app","tags":["a"],"manifests":[]}`, "application/json"},
		{"tags, ns in the path", "app/tags/list", "registry.test/app/tags/list", `{"name":"registry.test/app","tags":["a"],"manifests":[]}`, "application/json"},
		{"referrers", "app/referrers/" + digest, "app/referrers/" + digest, `{"name":"app","tags":["a"],"manifests":[]}`, indexType},
	} {
		for query, w := range map[string]struct{ sent, link string }{
			"":                {"", "?last=b&n=2&ns=registry.test"},
			"n=2&":            {"?n=2", "?last=b&n=2&ns=registry.test"},
			"n=2&last=%41&":   {"?n=2&last=%41", "?last=b&n=2&ns=registry.test"},
			"artifactType=x&": {"?artifactType=x", "?last=b&n=2&ns=registry.test"},
		} {
			t.Run(tt.name+" "+query, func(t *testing.T) {
				// What a registry says of ns is nothing to go by.
				for _, link := range []string{"?last=b&n=2", "?last=b&n=2&ns=evil.example", "?ns=evil.example&last=b&%6es=x&n=2"} {
					s.origin.answers(lists(`{"name":"app","tags":["a"],"manifests":[]}`, "Link", "</v2/"+tt.list+link+`>; rel="next"`))
					check(t, "GET", s.do("GET", "/v2/"+tt.typed+"?"+query+"ns=registry.test"), asked(want(200, tt.body, "Content-Type", tt.contentType,
						"Link", "</v2/"+tt.typed+w.link+`>; rel="next"`), "registry.test"))
				}
				s.origin.saw(t, "GET /v2/"+tt.list+w.sent, 3)
			})
		}
	}
	t.Run("without ns", func(t *testing.T) {
		s.origin.answers(lists(`{"name":"app"}`, "Link", `</v2/app/tags/list?last=b&ns=evil.example>; rel="next"`))
		check(t, "GET", s.do("GET", "/v2/registry.test/app/tags/list"), want(200, `{"name":"registry.test/app"}`,
			"Content-Type", "application/json", "Link", `</v2/registry.test/app/tags/list?last=b>; rel="next"`))
	})
	t.Run("no further page", func(t *testing.T) {
		s.origin.answers(lists(`{"name":"app"}`, "Link", `</v2/app/tags/list?ns=evil.example>; rel="next"`))
		for _, ns := range []string{"", "registry.test"} {
			if got := s.do("GET", "/v2/registry.test/app/tags/list?n=1"+map[bool]string{true: "&ns=" + ns}[ns != ""]); got.header["Link"] != nil {
				t.Errorf("ns %q: a link to the first page: %v", ns, got)
			}
		}
	})
	s.untouched()
}

// The next page is found where ns has a port, which is encoded in a query.
func TestMirrorListPort(t *testing.T) {
	s := newSite(t, setup{allow: []string{"registry.test/**"}})
	s.checkBoth("/v2/app/tags/list?ns=localhost%3A5000", asked(wantError(http.StatusForbidden, "DENIED",
		"repository localhost:5000/app may not be pulled through this service", ""), "localhost:5000"))
	s.origin.answers(lists(`{"name":"app"}`, "Link", `</v2/app/tags/list?last=b>; rel="next"`))
	got := s.do("GET", "/v2/app/tags/list?ns=registry.test%3A443")
	check(t, "GET", got, asked(want(200, `{"name":"app"}`, "Content-Type", "application/json",
		"Link", `</v2/app/tags/list?last=b&ns=registry.test%3A443>; rel="next"`), "registry.test:443"))
}

func TestMirrorBlob(t *testing.T) {
	s := newSite(t, setup{})
	const blob = "the blob"
	digest := digestOf(blob)
	s.origin.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			fmt.Fprint(w, blob)
		}
	})
	check(t, "GET", s.do("GET", "/v2/app/blobs/"+digest+"?ns=registry.test"), asked(want(200, blob,
		"Content-Type", "application/octet-stream", "Docker-Content-Digest", digest), "registry.test"))
	s.origin.saw(t, "GET /v2/app/blobs/"+digest, 1)
	s.untouched()
}
