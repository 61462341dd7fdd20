package upstream

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

const signature = "sha256-0000000000000000000000000000000000000000000000000000000000000001.sig"

func TestPass(t *testing.T) {
	list := `{"name":"app","tags":["a","b"]}`
	for name, test := range map[string]struct {
		method, path, query string
		accept              []string
		answer              string // of the registry
		asked, askedAccept  string
		header, body, next  string
	}{
		"tags": {"GET", "tags/list", "n=2&last=x", nil,
			"Content-Type: text/plain\nSet-Cookie: a=b\nX: y\nLink: </v2/app/tags/list?n=2&last=b>; rel=\"next\"\n\n" + list,
			"GET /v2/app/tags/list?n=2&last=x", "application/json",
			"map[Content-Type:[application/json]]", `{"name":"typed/app","tags":["a","b"]}`, "n=2&last=b"},
		"referrers": {"GET", "referrers/" + blobDigest, "artifactType=a%2Fb", nil,
			"Content-Type: " + indexType + "\nOCI-Filters-Applied: artifactType\nRatelimit-Limit: 9\n\n" + indexJSON,
			"GET /v2/app/referrers/" + blobDigest + "?artifactType=a%2Fb", indexType,
			"map[Content-Type:[" + indexType + "] Oci-Filters-Applied:[artifactType] Ratelimit-Limit:[9]]", indexJSON, ""},
		"signature": {"GET", "manifests/" + signature, "", []string{"a/b", "c/d;q=0.5"},
			"Content-Type: " + manifestType + "\nETag: \"e\"\nOCI-Subject: s\n\n" + imageJSON,
			"GET /v2/app/manifests/" + signature, "a/b, c/d;q=0.5",
			`map[Content-Type:[` + manifestType + `] Docker-Content-Digest:[` + sum([]byte(imageJSON)) + `] Etag:["e"] Oci-Subject:[s]]`, imageJSON, ""},
		"head": {"HEAD", "manifests/" + signature, "", nil,
			"Content-Type: " + manifestType + "\nContent-Length: 7\nDocker-Content-Digest: " + blobDigest + "\n\n",
			"HEAD /v2/app/manifests/" + signature, acceptAll[0],
			"map[Content-Length:[7] Content-Type:[" + manifestType + "] Docker-Content-Digest:[" + blobDigest + "]]", "", ""},
		"head of a liar": {"HEAD", "manifests/" + signature, "", []string{strings.Repeat("x", maxAccept+1)},
			"Content-Type: application/json\nContent-Length: 7\nDocker-Content-Digest: sha256:x\n\n",
			"HEAD /v2/app/manifests/" + signature, acceptAll[0],
			"map[Content-Length:[7] Content-Type:[application/octet-stream]]", "", ""},
		"head of a list": {"HEAD", "tags/list", "", nil, "Content-Length: 7\n\n",
			"HEAD /v2/app/tags/list", "application/json",
			"map[Content-Type:[application/json]]", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, c := mapped(t, Config{})
			w.open()
			w.serve("/v2/app/", 200, test.answer)
			r := request(t, "/v2/reg.example/app/"+test.path)
			a, err := c.Pass(t.Context(), r, Wish{Method: test.method, Query: test.query, Accept: test.accept, Name: "typed/app"})
			if err != nil {
				t.Fatal(err)
			}
			if a.Status != 200 || fmt.Sprint(a.Header) != test.header || string(a.Body) != test.body || a.Next != test.next {
				t.Errorf("answer is %d %v %q %q,\nwant %s %q %q", a.Status, a.Header, a.Body, a.Next, test.header, test.body, test.next)
			}
			got := w.take()[1]
			if line := got.Method + " " + got.URL.RequestURI(); line != test.asked {
				t.Errorf("asked %s, want %s", line, test.asked)
			}
			if accept := strings.Join(got.Header.Values("Accept"), ", "); accept != test.askedAccept {
				t.Errorf("accepts %s, want %s", accept, test.askedAccept)
			}
		})
	}
}

func TestPassOfRubbish(t *testing.T) {
	const bad = "registry reg.example gave a bad answer: "
	for name, test := range map[string]struct{ path, answer, text string }{
		"HTML":            {"tags/list", "Content-Type: text/html\n\n<html>", "the list is not a JSON object"},
		"half an object":  {"tags/list", "\n\n{", "the list is not a JSON object"},
		"an array":        {"tags/list", "\n\n[]", "the list is not a JSON object"},
		"many members":    {"tags/list", "\n\n{" + strings.Repeat(`"a":1,`, 100) + `"b":1}`, "more than 100 members"},
		"gzip":            {"tags/list", "Content-Encoding: gzip\n\n{}", `content encoding "gzip" was not asked for`},
		"too long":        {"tags/list", "\n\n" + strings.Repeat(" ", maxBody+1), "longer than 4194304 bytes"},
		"empty":           {"tags/list", "", "empty"},
		"bad link":        {"tags/list", "Link: <x; rel=next\n\n{}", "bad Link header: the target has no end"},
		"link elsewhere":  {"tags/list", "Link: </v2/_catalog?n=1>; rel=next\n\n{}", `bad Link header: "/v2/_catalog?n=1" is no further page`},
		"other digest":    {"manifests/" + signature, "Content-Type: " + manifestType + "\n" + digestHeader + ": x\n\n" + imageJSON, `header Docker-Content-Digest says "x", the bytes have ` + sum([]byte(imageJSON))},
		"HTML manifest":   {"manifests/" + signature, "Content-Type: text/html\n\n<html>", `content type "text/html" is none of a manifest`},
		"other own type":  {"manifests/" + signature, "Content-Type: " + manifestType + "\n\n" + indexJSON, `content type "` + manifestType + `", but the manifest says it is "` + indexType + `"`},
		"redirect inside": {"tags/list", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, c := mapped(t, Config{})
			w.open()
			if test.text == "" {
				w.mux.Handle("/v2/app/", http.RedirectHandler("https://169.254.169.254/", http.StatusTemporaryRedirect))
			} else {
				w.serve("/v2/app/", 200, test.answer)
			}
			_, err := c.Pass(t.Context(), request(t, "/v2/reg.example/app/"+test.path), Wish{Method: "GET"})
			if test.text == "" {
				wantError(t, err, 502, "UNAVAILABLE", "registry reg.example leads to an address that this service does not connect to: "+
					"dial tcp 169.254.169.254:443: forbidden address: 169.254.169.254 is not on the public internet")
				return
			}
			wantError(t, err, 502, "UNAVAILABLE", bad+test.text)
		})
	}
}

// A 404 stays one: clients fall back to tags where there are no referrers, and
// take a missing signature for what it is.
func TestPassOfNothing(t *testing.T) {
	w, c := mapped(t, Config{})
	w.open()
	for path, test := range map[string]struct{ code, text string }{
		"tags/list":               {"NAME_UNKNOWN", "reg.example/app is not known to registry reg.example"},
		"referrers/" + blobDigest: {"MANIFEST_UNKNOWN", "reg.example/app@" + blobDigest + " is not known to registry reg.example"},
		"manifests/" + signature:  {"MANIFEST_UNKNOWN", "reg.example/app:" + signature + " is not known to registry reg.example"},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			_, err := c.Pass(t.Context(), request(t, "/v2/reg.example/app/"+path), Wish{Method: method})
			wantError(t, err, 404, test.code, test.text)
		}
	}
}

// Registries without referrers say so in many ways. Clients go on with the tag
// that is derived from the digest after one of them.
func TestPassWithoutReferrers(t *testing.T) {
	const text = "reg.example/app@" + blobDigest + " is not known to registry reg.example"
	for name, test := range map[string]struct {
		status       int
		answer, says string
	}{
		"400":            {400, "", ""},
		"405":            {405, "", ""},
		"406":            {406, "", ""},
		"501":            {501, "", ""},
		"a page":         {200, "Content-Type: text/html\n\n<html>", ""},
		"errors":         {200, "Content-Type: application/json\n\n" + `{"errors":[{"code":"UNSUPPORTED","message":"no"}]}`, `; it says "no"`},
		"an array":       {200, "\n\n[]", ""},
		"half an object": {200, "\n\n{", ""},
		"an image":       {200, "Content-Type: " + manifestType + "\n\n" + imageJSON, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, c := mapped(t, Config{})
			w.open()
			w.serve("/v2/app/", test.status, test.answer)
			_, err := c.Pass(t.Context(), request(t, "/v2/reg.example/app/referrers/"+blobDigest), Wish{Method: "GET"})
			wantError(t, err, 404, "MANIFEST_UNKNOWN", text+test.says)
		})
	}
	for _, status := range []int{401, 403, 429, 500, 503} {
		w, c := mapped(t, Config{})
		w.open()
		w.serve("/v2/app/", status, "")
		var known *Error
		if _, err := c.Pass(t.Context(), request(t, "/v2/reg.example/app/referrers/"+blobDigest), Wish{Method: "GET"}); !errors.As(err, &known) || known.Status == 404 {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestPassOfBadQuery(t *testing.T) {
	w, c := mapped(t, Config{})
	for _, query := range []string{"a b", "a\r\nX: y", "%zz", "a;b", "n=1#f", "é", `"`, strings.Repeat("x", maxQuery+1)} {
		_, err := c.Pass(t.Context(), ociref.Request{Kind: ociref.Tags, Repo: "reg.example/app"}, Wish{Method: "GET", Query: query})
		wantError(t, err, 400, "UNSUPPORTED", "the query is not one, or too long")
	}
	want(t, w.requests())
	if slices.ContainsFunc([]string{"", "n=1", "n=1&last=a%20b", "artifactType=application/vnd.x+json", "ns=docker.io"}, func(s string) bool { return !isQuery(s) }) {
		t.Error("a good query is refused")
	}
}
