package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// wire sends a request line and headers as they are, which clients would not,
// and returns the answer.
func (s *service) wire(t *testing.T, method, target string, headers ...string) hit {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", method, target, s.host)
	for _, h := range headers {
		fmt.Fprintf(conn, "%s\r\n", h)
	}
	fmt.Fprint(conn, "\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return hit{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return hit{answer: answer{resp.StatusCode, resp.Header, string(b)}, err: err}
}

// TestHostileNames plays with names. Each is refused before anybody is asked,
// or means what its plain spelling means.
func TestHostileNames(t *testing.T) {
	s := newSiege(t, []string{"honest"})
	reg, digest := registryOf("honest"), honestDigest
	long := strings.Repeat("x", 300)
	name := func(what string) ruling { return ruling{400, "NAME_INVALID", "invalid repository name: " + what} }
	host := func(what string) ruling { return name(`"` + what + `" is not a registry's host name`) }
	encoded := func(path string) ruling { return name(`"` + path + `" holds a percent-encoded character`) }
	path := func(what string) ruling {
		return ruling{404, "UNSUPPORTED", `not a path of the registry API: "` + what + `"`}
	}
	tag := func(what string) ruling { return ruling{400, "TAG_INVALID", "invalid tag: " + what} }
	refused := func(what string) ruling {
		return ruling{403, "DENIED", "registry " + what + " is at an address that this service does not connect to"}
	}
	port := s.listen(t)
	rulings := map[string]ruling{
		"/v2/REG%2Fapp/manifests/v1":                  encoded("/v2/REG%2Fapp/manifests/v1"),
		"/v2/REG/app%2f..%2fother/manifests/v1":       encoded("/v2/REG/app%2f..%2fother/manifests/v1"),
		"/v2/REG/%2e%2e/app/manifests/v1":             encoded("/v2/REG/%2e%2e/app/manifests/v1"),
		"/v2/REG/app/manifests/%76%31":                encoded("/v2/REG/app/manifests/%76%31"),
		"/v2/REG/app/manifests/v1%0d%0aX-Evil:1":      encoded("/v2/REG/app/manifests/v1%0d%0aX-Evil:1"),
		"/v2/REG/app%00/manifests/v1":                 encoded("/v2/REG/app%00/manifests/v1"),
		"/v2/REG/app/manifests/..":                    tag(`".."`),
		"/v2/REG/app/manifests/" + long[:129]:         tag(`"` + long[:129] + `"`),
		"/v2/REG/../../etc/manifests/v1":              name(`"../../etc"`),
		"/v2/REG/./app/manifests/v1":                  name(`"./app"`),
		"/v2/REG//app/manifests/v1":                   name(`"/app"`),
		"/v2//REG/app/manifests/v1":                   name(`"/REG/app"`),
		"/v2/REG/app//manifests/v1":                   name(`"app/"`),
		"/v2/REG/App/manifests/v1":                    name(`"App"`),
		"/v2/REG/app:v1/manifests/v1":                 name(`"app:v1"`),
		"/v2/REG/app@" + digest + "/manifests/v1":     name(`"app@` + digest + `"`),
		"/v2/REG/" + long + "/manifests/v1":           name("longer than 255 characters"),
		"/v2/user:secret@REG/app/manifests/v1":        host("user:secret@REG"),
		"/v2/REG./app/manifests/v1":                   host("REG."),
		"/v2/[::1]/app/manifests/v1":                  host("[::1]"),
		"/v2/[::ffff:7f00:1]:443/app/manifests/v1":    host("[::ffff:7f00:1]:443"),
		"/v2/REG:0/app/manifests/v1":                  host("REG:0"),
		"/v2/REG:+443/app/manifests/v1":               host("REG:+443"),
		"/v2/REG:443:443/app/manifests/v1":            host("REG:443:443"),
		"/v2/https://REG/app/manifests/v1":            host("https:"),
		"/v2/REG/app/manifests/SHA256:" + digest[7:]:  {400, "DIGEST_INVALID", `invalid digest: "SHA256:` + digest[7:] + `" is not sha256 and 64 lower-case hex digits`},
		"/v2/REG/app/blobs/../../manifests/v1":        name(`"app/blobs/../.."`),
		"/v2/REG/app/manifests/v1/":                   path("/v2/REG/app/manifests/v1/"),
		"/v2/_catalog":                                path("/v2/_catalog"),
		"/v2/REG/app/blobs/uploads/":                  path("/v2/REG/app/blobs/uploads/"),
		"/v2%2fREG/app/manifests/v1":                  path("/v2%2fREG/app/manifests/v1"),
		"/v2/127.0.0.1:" + port + "/app/manifests/v1": refused("127.0.0.1:" + port),
		"/v2/localhost:" + port + "/app/manifests/v1": refused("localhost:" + port),
		"/v2/0.0.0.0:" + port + "/app/manifests/v1":   refused("0.0.0.0:" + port),
		"/v2/REG/app/manifests/v1?ns=evil.example":    name("the path names the registry REG and ns names evil.example"),
		"/v2/app/manifests/v1?ns=a%0d%0aX-Evil:1":     {400, "NAME_INVALID", `in ns: invalid repository name: "a\r\nX-Evil:1" is not a registry's host name`},
		"/v2/app/manifests/v1?ns=localhost:" + port:   refused("localhost:" + port),
		"/v2/app/manifests/v1?ns=169.254.169.254":     refused("169.254.169.254"),
		"/v2/169.254.169.254/app/manifests/v1":        refused("169.254.169.254"),
		"/v2/10.0.0.1/app/tags/list":                  refused("10.0.0.1"),
		"/v2/100.64.0.1/app/blobs/" + digest:          refused("100.64.0.1"),
		"/v2/8.8.8.8:22/app/manifests/v1":             refused("8.8.8.8:22"),
		"/v2/" + s.service.host + "/app/manifests/v1": {400, "NAME_INVALID", "the name leads back to this service: leave its host name out of the path and of ns"},
	}
	for target, want := range rulings {
		target, want.message = strings.ReplaceAll(target, "REG", reg), strings.ReplaceAll(want.message, "REG", reg)
		for _, method := range []string{"GET", "HEAD"} {
			got := s.service.wire(t, method, target)
			got.mustRelayNothing(t)
			if method == "HEAD" && got.status != want.status {
				t.Errorf("HEAD %.200s: %d, want %d", target, got.status, want.status)
			} else if code, message := got.said(""); method == "GET" && (ruling{got.status, code, message}) != want {
				t.Errorf("GET %.200s: %d %s: %s\nwant %d %s: %s", target, got.status, code, message, want.status, want.code, want.message)
			}
		}
	}
	// What is not HTTP is not even looked at.
	for _, target := range []string{"/v2/" + reg + "/app\x00/manifests/v1", "/v2/" + reg + "/app\r/manifests/v1", "/v2/" + reg + "/a pp/manifests/v1", "v2/"} {
		if got := s.service.wire(t, "GET", target); got.status != 400 {
			t.Errorf("GET %q: %d", target, got.status)
		}
	}
	// Spellings that stay within what a name may be.
	if asked := s.registries["honest"].Requests(); len(asked) != 0 {
		t.Errorf("the registry was asked %v", asked)
	}
	if s.creates() != 0 {
		t.Error("the log was written to")
	}
	s.oneRecord(t, reg)
}

// oneRecord has many spellings of one tag pulled at once, with other headers,
// methods that mean others, and a manifests component. There is one record.
func (s *siege) oneRecord(t *testing.T, reg string) {
	t.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	uuids := map[string]int{}
	for i := range 24 {
		target := "/v2/" + []string{reg, reg + ":443"}[i%2] + "/manifests/app/manifests/v1" + []string{"", "?ns=" + reg, "?_method=DELETE", "?" + strings.Repeat("x", 5000)}[i%4]
		headers := []string{"Accept: application/vnd.docker.distribution.manifest.v1+json", "X-HTTP-Method-Override: DELETE", "Content-Length: 0", "X-Original-URL: /v2/other/manifests/v1",
			"X-Forwarded-Host: evil.example", "X-Rewrite-Url: /v2/other/manifests/v1"}
		all.Go(func() {
			got := s.service.wire(t, []string{"GET", "GET", "HEAD"}[i%3], target, headers...)
			if got.status != 200 || got.header.Get("Docker-Content-Digest") != honestDigest {
				t.Errorf("%.100s: %d %s", target, got.status, got.body)
			}
			mu.Lock()
			defer mu.Unlock()
			uuids[got.header.Get("Tlog-Uuid")]++
		})
	}
	all.Wait()
	if len(uuids) != 1 || s.creates() != 1 {
		t.Errorf("records %v, %d written", uuids, s.creates())
	}
	before := len(s.registries["honest"].Requests())
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "PROPFIND"} {
		got := s.service.wire(t, method, "/v2/"+reg+"/manifests/app/manifests/v1", "X-HTTP-Method-Override: GET")
		code, message := got.said("")
		if got.status != 405 && method != "CONNECT" || got.status < 400 || got.status == 405 && (code != "UNSUPPORTED" || message != "this registry is read-only: only GET and HEAD are answered") {
			t.Errorf("%s: %d %s", method, got.status, got.body)
		}
	}
	if after := s.registries["honest"].Requests(); len(after) != before {
		t.Errorf("the registry was asked %v", after[before:])
	}
	mustAskPlainly(t, s.registries["honest"], 30)
}
