package front_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/logtest"
)

// untouched fails if the log was asked for anything.
func (s *site) untouched() {
	s.t.Helper()
	for _, c := range []logtest.Call{logtest.Lookup, logtest.Resolve, logtest.Add} {
		if n := s.log.Calls(c); n != 0 {
			s.t.Errorf("the log was asked: %d calls of %d", n, c)
		}
	}
}

func TestPing(t *testing.T) {
	s := newSite(t, setup{allow: []string{"docker.io/nothing"}})
	for _, path := range []string{"/v2/", "/v2", "/v2/?x=y"} {
		s.checkBoth(path, want(http.StatusOK, "{}", "Content-Type", "application/json"))
	}
	s.untouched()
	if asked := s.origin.asked(); len(asked) != 0 {
		t.Errorf("the registry was asked %q", asked)
	}
}

func TestHome(t *testing.T) {
	s := newSite(t, setup{})
	for _, path := range []string{"/", "/index.html", "/v1/", "/v22/", "/x/v2/"} {
		for _, method := range []string{"GET", "POST"} {
			got := s.do(method, path)
			if got.status != http.StatusTeapot || got.body != "home of "+path {
				t.Errorf("%s %s: %d %q", method, path, got.status, got.body)
			}
		}
	}
}

func TestMethods(t *testing.T) {
	s := newSite(t, setup{})
	manifest, _ := image("app")
	s.origin.push(t, "app", "1.0", manifest)
	refused := wantError(http.StatusMethodNotAllowed, "UNSUPPORTED",
		"this registry is read-only: only GET and HEAD are answered", "", "Allow", "GET, HEAD")
	overrides := []string{"X-HTTP-Method-Override", "GET", "X-HTTP-Method", "GET", "X-Method-Override", "GET"}
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get"} {
		for _, path := range []string{"/v2", "/v2/", appPath, "/v2/registry.test/app/blobs/uploads/", "/v2/registry.test/app/tags/list?_method=GET", "/v2/no-such-path"} {
			check(t, method, s.do(method, path), refused)
			check(t, method, s.do(method, path, overrides...), refused)
		}
	}
	s.untouched()
	if asked := s.origin.asked(); len(asked) != 0 {
		t.Errorf("the registry was asked %q", asked)
	}
	got := s.do("GET", appPath+"?_method=DELETE", "X-HTTP-Method-Override", "DELETE", "X-HTTP-Method", "PUT")
	check(t, "GET", got, served(manifest, only(t, s.store, appRef)).with("Tlog-First-Seen", "true"))
}

func TestBadPaths(t *testing.T) {
	hex := strings.Repeat("a", 64)
	tests := []struct {
		path, code, message string
		status              int
	}{
		{"/v2/x", "UNSUPPORTED", `not a path of the registry API: "/v2/x"`, 404},
		{"/v2/registry.test/app/manifests/", "TAG_INVALID", `invalid tag: ""`, 400},
		{"/v2/registry.test/app/manifests/-x", "TAG_INVALID", `invalid tag: "-x"`, 400},
		{"/v2/registry.test/app/manifests/sha256:12", "DIGEST_INVALID", `invalid digest: "sha256:12" is not sha256 and 64 lower-case hex digits`, 400},
		{"/v2/registry.test/app/blobs/sha512:" + hex, "DIGEST_INVALID", `invalid digest: "sha512:` + hex + `" is not sha256 and 64 lower-case hex digits`, 400},
		{"/v2/registry.test/../manifests/1", "NAME_INVALID", `invalid repository name: ".."`, 400},
		{"/v2/registry.test/App/manifests/1", "NAME_INVALID", `invalid repository name: "App"`, 400},
		{"/v2/registry.test/app%2Fx/manifests/1", "NAME_INVALID", `invalid repository name: "/v2/registry.test/app%2Fx/manifests/1" holds a percent-encoded character`, 400},
		{"/v2/REGISTRY.TEST/app/manifests/1", "NAME_INVALID", `invalid repository name: "REGISTRY.TEST" is not a registry's host name`, 400},
		{"/v2/[::1]:80/app/manifests/1", "NAME_INVALID", `invalid repository name: "[::1]:80" is not a registry's host name`, 400},
		{"/v2/_catalog", "UNSUPPORTED", `not a path of the registry API: "/v2/_catalog"`, 404},
		{"/v2/registry.test/app/blobs/uploads/", "UNSUPPORTED", `not a path of the registry API: "/v2/registry.test/app/blobs/uploads/"`, 404},
		{"/v2%2fregistry.test/app/manifests/1", "UNSUPPORTED", `not a path of the registry API: "/v2%2fregistry.test/app/manifests/1"`, 404},
	}
	s := newSite(t, setup{})
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			got := s.do("GET", tt.path)
			check(t, "GET", got, wantError(tt.status, tt.code, tt.message, ""))
			check(t, "HEAD", s.do("HEAD", tt.path), wantError(tt.status, tt.code, tt.message, ""))
		})
	}
	s.untouched()
	if asked := s.origin.asked(); len(asked) != 0 {
		t.Errorf("the registry was asked %q", asked)
	}
}

func TestForbiddenRegistry(t *testing.T) {
	s := newSite(t, setup{})
	s.checkBoth("/v2/127.0.0.1/app/manifests/1.0", wantError(http.StatusForbidden, "DENIED",
		"registry 127.0.0.1 is at an address that this service does not connect to", ""))
	s.checkBoth("/v2/169.254.169.254/app/tags/list", wantError(http.StatusForbidden, "DENIED",
		"registry 169.254.169.254 is at an address that this service does not connect to", ""))
}

func TestAllow(t *testing.T) {
	s := newSite(t, setup{allow: []string{"docker.io/library/*", "registry.test/acme/**"}})
	manifest, digest := image("app")
	for _, repo := range []string{"library/alpine", "acme/a/b"} {
		s.origin.push(t, repo, "1", manifest)
	}
	for _, path := range []string{"/v2/alpine/manifests/1", "/v2/docker.io/library/alpine/manifests/1", "/v2/registry.test/acme/a/b/manifests/" + digest, "/v2/registry.test/acme/a/b/tags/list"} {
		if got := s.do("GET", path); got.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	calls, asked := s.log.Calls(logtest.Lookup), len(s.origin.asked())
	for repo, name := range map[string]string{
		"acme/alpine":            "index.docker.io/acme/alpine",
		"registry.test/acme":     "registry.test/acme",
		"registry.test/evil/app": "registry.test/evil/app",
		"quay.io/library/alpine": "quay.io/library/alpine",
	} {
		for _, rest := range []string{"manifests/1", "manifests/" + digest, "blobs/" + digest, "tags/list", "referrers/" + digest, "manifests/" + strings.Replace(digest, ":", "-", 1)} {
			s.checkBoth("/v2/"+repo+"/"+rest, wantError(http.StatusForbidden, "DENIED", "repository "+name+" may not be pulled through this service", ""))
		}
	}
	if s.log.Calls(logtest.Lookup) != calls || len(s.origin.asked()) != asked {
		t.Error("log or registry was asked about what may not be pulled")
	}
}

func TestOwnName(t *testing.T) {
	s := newSite(t, setup{})
	self := wantError(http.StatusBadRequest, "NAME_INVALID", "the name leads back to this service: leave its host name out of the path and of ns", "")
	digest := digestOf("")
	for _, tt := range [][2]string{
		{"registry.test", "registry.test/app"},
		{"registry.test:443", "registry.test/app"},
		{"registry.test", "registry.test:443/app"},
		{"Registry.TEST", "registry.test/app"},
		{"registry.test:8443", "registry.test:8443/app"},
		{"docker.io", "alpine"},
		{"front.example", "front.example/ghcr.io/acme/app"},
	} {
		for _, rest := range []string{"manifests/1", "manifests/" + digest, "blobs/" + digest, "tags/list", "referrers/" + digest} {
			s.checkBoth("/v2/"+tt[1]+"/"+rest, self, "Host", tt[0])
		}
	}
	s.untouched()
	if asked := s.origin.asked(); len(asked) != 0 {
		t.Errorf("the registry was asked %q", asked)
	}
	// Another port is another registry.
	got := s.do("GET", "/v2/registry.test/app/manifests/1", "Host", "registry.test:8443")
	check(t, "GET", got, wantError(404, "NAME_UNKNOWN", `registry.test/app:1 is not known to registry registry.test; it says "Unknown name"`, ""))
}

// A digest says all that a record could.
func TestByDigest(t *testing.T) {
	s := newSite(t, setup{})
	s.log.Fail(logtest.Lookup, errors.New("broken"))
	manifest, digest := image("app")
	s.origin.push(t, "app", "1.0", manifest)
	path := "/v2/registry.test/app/manifests/"
	s.checkBoth(path+digest, want(http.StatusOK, manifest, "Content-Type", manifestType, "Docker-Content-Digest", digest))

	_, absent := image("absent")
	s.checkBoth(path+absent, wantError(404, "MANIFEST_UNKNOWN", "registry.test/app@"+absent+` is not known to registry registry.test; it says "Unknown manifest"`, ""))

	s.origin.answers(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", manifestType)
		fmt.Fprint(w, manifest)
	})
	s.checkBoth(path+absent, badAnswer("asked for "+absent+", got bytes of "+digest))
	s.untouched()
}

// Tags derived from a digest grow in place by design.
func TestDerivedTags(t *testing.T) {
	s := newSite(t, setup{})
	s.log.Fail(logtest.Lookup, errors.New("broken"))
	hex := strings.Repeat("0123456789abcdef", 4)
	for i, tag := range []string{"sha256-" + hex, "sha256-" + hex + ".sig", "sha256-" + hex + ".att", "sha512-" + hex + ".sbom"} {
		path := "/v2/registry.test/app/manifests/" + tag
		code, says := "MANIFEST_UNKNOWN", `; it says "Unknown manifest"`
		if i == 0 {
			code, says = "NAME_UNKNOWN", `; it says "Unknown name"`
		}
		message := "registry.test/app:" + tag + " is not known to registry registry.test"
		check(t, "GET", s.do("GET", path), wantError(404, code, message+says, ""))
		// HEAD has no body to say it in.
		check(t, "HEAD", s.do("HEAD", path), wantError(404, "MANIFEST_UNKNOWN", message, ""))
		for _, note := range []string{"one", "two"} {
			manifest, digest := image(note)
			s.origin.push(t, "app", tag, manifest)
			s.checkBoth(path, want(http.StatusOK, manifest, "Content-Type", manifestType, "Docker-Content-Digest", digest))
		}
	}
	s.untouched()

	// Not derived: recorded like any other.
	s.log.Fail(logtest.Lookup, nil)
	for _, tag := range []string{"sha256-" + hex[1:], "sha256-" + hex + "x", "sha1-" + hex, "v-sha256-" + hex, "sha256-" + strings.ToUpper(hex)} {
		manifest, _ := image("app")
		s.origin.push(t, "app", tag, manifest)
		s.do("GET", "/v2/registry.test/app/manifests/"+tag)
		only(t, s.store, "registry.test/app:"+tag)
	}
}

// lists answers tag lists and referrers with headers and a body.
func lists(body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		for i := 0; i < len(headers); i += 2 {
			w.Header().Add(headers[i], headers[i+1])
		}
		fmt.Fprint(w, body)
	}
}

func TestTagList(t *testing.T) {
	s := newSite(t, setup{})
	manifest, _ := image("app")
	for _, tag := range []string{"1", "2", "3"} {
		s.origin.push(t, "library/app", tag, manifest)
	}
	for _, name := range []string{"app", "library/app", "docker.io/library/app"} {
		check(t, "GET", s.do("GET", "/v2/"+name+"/tags/list"),
			want(200, `{"name":"`+name+`","tags":["1","2","3"]}`, "Content-Type", "application/json"))
	}
	check(t, "GET", s.do("GET", "/v2/app/tags/list?n=1&last=1"),
		want(200, `{"name":"app","tags":["2"]}`, "Content-Type", "application/json"))
	check(t, "GET", s.do("GET", "/v2/none/tags/list"), wantError(404, "NAME_UNKNOWN",
		`index.docker.io/library/none is not known to registry index.docker.io; it says "Unknown name"`, ""))
	s.untouched()
}

func TestTagListPages(t *testing.T) {
	s := newSite(t, setup{})
	s.origin.answers(lists(`{ "tags": ["a","b"], "name": "hub/app", "more": {"x": 1} }`,
		"Content-Type", "text/html",
		"Link", `<https://inside.example/v2/hub/app/tags/list?last=b&n=2>; rel="next"`,
		"ETag", `"tag"`))
	w := want(200, `{ "tags": ["a","b"], "name": "registry.test/app", "more": {"x": 1} }`,
		"Content-Type", "application/json", "ETag", `"tag"`,
		"Link", `</v2/registry.test/app/tags/list?last=b&n=2>; rel="next"`)
	check(t, "GET", s.do("GET", "/v2/registry.test/app/tags/list?n=2&last=%41&x=a+b"), w)
	// The length of the list with its new name is not known to HEAD.
	check(t, "HEAD", s.do("HEAD", "/v2/registry.test/app/tags/list?n=2"), w.without("Content-Length"))
	s.origin.saw(t, "GET /v2/app/tags/list?n=2&last=%41&x=a+b", 1)
	s.origin.saw(t, "HEAD /v2/app/tags/list?n=2", 1)

	for body, renamed := range map[string]string{
		`{"tags":["a"]}`:                           `{"tags":["a"]}`, // no name to rename
		`{"name":null,"tags":null}`:                `{"name":"registry.test/app","tags":null}`,
		`{"name":"x","tags":["<&>"]}`:              `{"name":"registry.test/app","tags":["<&>"]}`,
		`{"name":["x"],"tags":[9007199254740993]}`: `{"name":"registry.test/app","tags":[9007199254740993]}`,
	} {
		s.origin.answers(lists(body))
		check(t, "GET", s.do("GET", "/v2/registry.test/app/tags/list"), want(200, renamed, "Content-Type", "application/json"))
	}
	s.origin.answers(lists(`["a"]`))
	check(t, "GET", s.do("GET", "/v2/registry.test/app/tags/list"), badAnswer("the list is not a JSON object"))
	check(t, "GET", s.do("GET", "/v2/registry.test/app/tags/list?n=%zz"), wantError(400, "UNSUPPORTED", "the query is not one, or too long", ""))
	s.untouched()
}

func TestReferrers(t *testing.T) {
	s := newSite(t, setup{})
	digest := digestOf("subject")
	path := "/v2/registry.test/app/referrers/" + digest
	index := `{"schemaVersion":2, "mediaType":"` + indexType + `","name":"stays","manifests":[]}`
	s.origin.answers(lists(index, "Content-Type", indexType, "OCI-Filters-Applied", "artifactType",
		"Link", "</v2/app/referrers/"+digest+"?artifactType=a%2Fb&token=2>; rel=next"))
	w := want(200, index, "Content-Type", indexType, "OCI-Filters-Applied", "artifactType",
		"Link", "<"+path+`?artifactType=a%2Fb&token=2>; rel="next"`)
	s.checkBoth(path+"?artifactType=a%2Fb", w)
	s.origin.saw(t, "GET /v2/app/referrers/"+digest+"?artifactType=a%2Fb", 1)

	s.origin.answers(lists(""))
	check(t, "GET", s.do("GET", path), badAnswer("empty"))
	s.origin.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			w.WriteHeader(404)
		}
	})
	s.checkBoth(path, wantError(404, "MANIFEST_UNKNOWN", "registry.test/app@"+digest+" is not known to registry registry.test", ""))
	s.untouched()
}

// The registry of go-containerregistry, with a referrer in it.
func TestReferrersOfRealRegistry(t *testing.T) {
	s := newSite(t, setup{})
	subject, digest := image("subject")
	s.origin.push(t, "app", "1.0", subject)
	referrer := strings.TrimSuffix(subject, "}") + `,"subject":{"mediaType":"` + manifestType + `","digest":"` + digest + `","size":1}}`
	s.origin.push(t, "app", digestOf(referrer), referrer)
	got := s.do("GET", "/v2/registry.test/app/referrers/"+digest)
	if got.status != 200 || !strings.Contains(got.body, digestOf(referrer)) || got.header.Get("Content-Type") != indexType {
		t.Errorf("%v", got)
	}
}
