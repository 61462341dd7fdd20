package ociref_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

var (
	hex64  = strings.Repeat("0123456789abcdef", 4)
	digest = "sha256:" + hex64
)

func TestParse(t *testing.T) {
	manifest := func(repo, tag string) ociref.Request {
		return ociref.Request{Kind: ociref.Manifest, Repo: repo, Tag: tag}
	}
	const alpine = "index.docker.io/library/alpine"
	tests := []struct {
		name, path string
		want       ociref.Request
	}{
		{"ping", "/v2/", ociref.Request{}},
		{"ping without slash", "/v2", ociref.Request{}},
		{"tag", "/v2/alpine/manifests/3.16.0", manifest(alpine, "3.16.0")},
		{"manifest by digest", "/v2/alpine/manifests/" + digest, ociref.Request{Kind: ociref.Manifest, Repo: alpine, Digest: digest}},
		{"blob", "/v2/alpine/blobs/" + digest, ociref.Request{Kind: ociref.Blob, Repo: alpine, Digest: digest}},
		{"tag list", "/v2/alpine/tags/list", ociref.Request{Kind: ociref.Tags, Repo: alpine}},
		{"referrers", "/v2/alpine/referrers/" + digest, ociref.Request{Kind: ociref.Referrers, Repo: alpine, Digest: digest}},

		{"other registry", "/v2/ghcr.io/acme/app/manifests/v1", manifest("ghcr.io/acme/app", "v1")},
		{"one component there", "/v2/ghcr.io/app/manifests/v1", manifest("ghcr.io/app", "v1")},
		{"registry with port", "/v2/r.example:5000/app/manifests/v1", manifest("r.example:5000/app", "v1")},
		{"registry known by its port", "/v2/mirror:5000/app/manifests/v1", manifest("mirror:5000/app", "v1")},
		{"highest port", "/v2/r.example:65535/app/manifests/v1", manifest("r.example:65535/app", "v1")},
		{"port 80", "/v2/ghcr.io:80/app/manifests/v1", manifest("ghcr.io:80/app", "v1")},
		{"port that ends in 443", "/v2/ghcr.io:8443/app/manifests/v1", manifest("ghcr.io:8443/app", "v1")},
		{"localhost", "/v2/localhost/app/manifests/v1", manifest("localhost/app", "v1")},
		{"localhost with port", "/v2/localhost:5000/app/manifests/v1", manifest("localhost:5000/app", "v1")},
		{"localhost with port 443", "/v2/localhost:443/app/manifests/v1", manifest("localhost/app", "v1")},
		{"IPv4 address", "/v2/169.254.169.254/app/manifests/v1", manifest("169.254.169.254/app", "v1")},
		{"punycode", "/v2/xn--bcher-kva.example/app/manifests/v1", manifest("xn--bcher-kva.example/app", "v1")},
		{"Docker Hub on another port is another registry", "/v2/docker.io:80/alpine/manifests/v1", manifest("docker.io:80/alpine", "v1")},
		{"registry's name as a Hub repository", "/v2/docker.io/manifests/v1", manifest("index.docker.io/library/docker.io", "v1")},
		{"registry's name behind a registry", "/v2/docker.io/docker.io/app/manifests/v1", manifest("index.docker.io/docker.io/app", "v1")},
		{"library alone", "/v2/library/manifests/v1", manifest("index.docker.io/library/library", "v1")},
		{"user's repository on the Hub", "/v2/acme/app/manifests/v1", manifest("index.docker.io/acme/app", "v1")},
		{"library elsewhere", "/v2/quay.io/library/app/manifests/v1", manifest("quay.io/library/app", "v1")},
		{"deep name", "/v2/ghcr.io/a/b/c/d/e/manifests/v1", manifest("ghcr.io/a/b/c/d/e", "v1")},
		{"separators", "/v2/ghcr.io/a.b_c__d-e---f/manifests/v1", manifest("ghcr.io/a.b_c__d-e---f", "v1")},

		{"manifests as a component", "/v2/ghcr.io/manifests/app/manifests/v1", manifest("ghcr.io/manifests/app", "v1")},
		{"manifests as name and tag", "/v2/manifests/manifests/manifests", manifest("index.docker.io/library/manifests", "manifests")},
		{"path of a blob as a name", "/v2/acme/blobs/app/manifests/v1", manifest("index.docker.io/acme/blobs/app", "v1")},
		{"tags/list as a name", "/v2/tags/list/manifests/v1", manifest("index.docker.io/tags/list", "v1")},
		{"tag list of manifests/list", "/v2/manifests/list/tags/list", ociref.Request{Kind: ociref.Tags, Repo: "index.docker.io/manifests/list"}},

		{"tag of one character", "/v2/alpine/manifests/_", manifest(alpine, "_")},
		{"tag with every kind of character", "/v2/alpine/manifests/V1._-z", manifest(alpine, "V1._-z")},
		{"tag of two dots inside", "/v2/alpine/manifests/a..b", manifest(alpine, "a..b")},
		{"tag of 128 characters", "/v2/alpine/manifests/" + strings.Repeat("x", 128), manifest(alpine, strings.Repeat("x", 128))},
		{"tag that looks like hex", "/v2/alpine/manifests/" + hex64, manifest(alpine, hex64)},

		{"255 characters on the Hub", "/v2/" + strings.Repeat("x", 231) + "/manifests/v1", manifest("index.docker.io/library/"+strings.Repeat("x", 231), "v1")},
		{"255 characters elsewhere", "/v2/ghcr.io/" + strings.Repeat("x", 247) + "/manifests/v1", manifest("ghcr.io/"+strings.Repeat("x", 247), "v1")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ociref.Parse(test.path)
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("Parse(%q)\n got %+v\nwant %+v", test.path, got, test.want)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	long := strings.Repeat("x", 256)
	tests := []struct {
		name, path string
		is         error
		want       string
	}{
		{"empty", "", ociref.ErrPath, `not a path of the registry API: ""`},
		{"root", "/", ociref.ErrPath, `not a path of the registry API: "/"`},
		{"version 1", "/v1/alpine/manifests/v1", ociref.ErrPath, `not a path of the registry API: "/v1/alpine/manifests/v1"`},
		{"no leading slash", "v2/alpine/manifests/v1", ociref.ErrPath, `not a path of the registry API: "v2/alpine/manifests/v1"`},
		{"longer version", "/v22/alpine/manifests/v1", ociref.ErrPath, `not a path of the registry API: "/v22/alpine/manifests/v1"`},
		{"upper-case version", "/V2/alpine/manifests/v1", ociref.ErrPath, `not a path of the registry API: "/V2/alpine/manifests/v1"`},
		{"catalog", "/v2/_catalog", ociref.ErrPath, `not a path of the registry API: "/v2/_catalog"`},
		{"no name", "/v2/manifests/v1", ociref.ErrPath, `not a path of the registry API: "/v2/manifests/v1"`},
		{"name alone", "/v2/alpine", ociref.ErrPath, `not a path of the registry API: "/v2/alpine"`},
		{"no reference", "/v2/alpine/manifests", ociref.ErrPath, `not a path of the registry API: "/v2/alpine/manifests"`},
		{"trailing slash", "/v2/alpine/manifests/v1/", ociref.ErrPath, `not a path of the registry API: "/v2/alpine/manifests/v1/"`},
		{"unknown verb", "/v2/alpine/layers/v1", ociref.ErrPath, `not a path of the registry API: "/v2/alpine/layers/v1"`},
		{"upper-case verb", "/v2/alpine/Manifests/v1", ociref.ErrPath, `not a path of the registry API: "/v2/alpine/Manifests/v1"`},
		{"tags but not list", "/v2/alpine/tags/lists", ociref.ErrPath, `not a path of the registry API: "/v2/alpine/tags/lists"`},
		{"upload", "/v2/alpine/blobs/uploads/", ociref.ErrPath, `not a path of the registry API: "/v2/alpine/blobs/uploads/"`},
		{"two slashes before the version", "//v2/alpine/manifests/v1", ociref.ErrPath, `not a path of the registry API: "//v2/alpine/manifests/v1"`},

		{"no name but its slash", "/v2//manifests/v1", ociref.ErrName, `invalid repository name: ""`},
		{"two slashes in the name", "/v2/acme//app/manifests/v1", ociref.ErrName, `invalid repository name: "acme//app"`},
		{"two slashes before the name", "/v2//alpine/manifests/v1", ociref.ErrName, `invalid repository name: "/alpine"`},
		{"two slashes after the name", "/v2/alpine//manifests/v1", ociref.ErrName, `invalid repository name: "alpine/"`},
		{"two slashes after the registry", "/v2/ghcr.io//app/manifests/v1", ociref.ErrName, `invalid repository name: "/app"`},
		{"registry without a name", "/v2/ghcr.io//manifests/v1", ociref.ErrName, `invalid repository name: ""`},
		{"two slashes before the tag", "/v2/alpine/manifests//v1", ociref.ErrPath, `not a path of the registry API: "/v2/alpine/manifests//v1"`},

		{"encoded slash", "/v2/ghcr.io%2Facme/manifests/v1", ociref.ErrName, `invalid repository name: "/v2/ghcr.io%2Facme/manifests/v1" holds a percent-encoded character`},
		{"encoded slash, lower case", "/v2/acme%2fapp/manifests/v1", ociref.ErrName, `invalid repository name: "/v2/acme%2fapp/manifests/v1" holds a percent-encoded character`},
		{"encoded dots", "/v2/ghcr.io/%2e%2e/manifests/v1", ociref.ErrName, `invalid repository name: "/v2/ghcr.io/%2e%2e/manifests/v1" holds a percent-encoded character`},
		{"encoded letter", "/v2/%61lpine/manifests/v1", ociref.ErrName, `invalid repository name: "/v2/%61lpine/manifests/v1" holds a percent-encoded character`},
		{"encoded CR LF", "/v2/alpine%0d%0a/manifests/v1", ociref.ErrName, `invalid repository name: "/v2/alpine%0d%0a/manifests/v1" holds a percent-encoded character`},
		{"encoded NUL", "/v2/alpine%00/manifests/v1", ociref.ErrName, `invalid repository name: "/v2/alpine%00/manifests/v1" holds a percent-encoded character`},
		{"encoded letter in the tag", "/v2/alpine/manifests/%76", ociref.ErrName, `invalid repository name: "/v2/alpine/manifests/%76" holds a percent-encoded character`},
		{"encoded twice", "/v2/a%252Fb/manifests/v1", ociref.ErrName, `invalid repository name: "/v2/a%252Fb/manifests/v1" holds a percent-encoded character`},
		{"percent sign alone", "/v2/alpine%/manifests/v1", ociref.ErrName, `invalid repository name: "/v2/alpine%/manifests/v1" holds a percent-encoded character`},

		{"CR LF in the name", "/v2/alp\r\nine/manifests/v1", ociref.ErrName, `invalid repository name: "alp\r\nine"`},
		{"LF after the name", "/v2/alpine\n/manifests/v1", ociref.ErrName, `invalid repository name: "alpine\n"`},
		{"LF after the registry", "/v2/ghcr.io\n/app/manifests/v1", ociref.ErrName, `invalid repository name: "ghcr.io\n" is not a registry's host name`},
		{"NUL", "/v2/alpine\x00/manifests/v1", ociref.ErrName, `invalid repository name: "alpine\x00"`},
		{"space", "/v2/al pine/manifests/v1", ociref.ErrName, `invalid repository name: "al pine"`},
		{"backslash", `/v2/acme\app/manifests/v1`, ociref.ErrName, `invalid repository name: "acme\\app"`},
		{"question mark", "/v2/alpine?/manifests/v1", ociref.ErrName, `invalid repository name: "alpine?"`},
		{"not ASCII", "/v2/alpïne/manifests/v1", ociref.ErrName, `invalid repository name: "alp\u00efne"`},
		{"broken UTF-8", "/v2/alp\xffine/manifests/v1", ociref.ErrName, `invalid repository name: "alp\xffine"`},

		{"dots as the name", "/v2/../manifests/v1", ociref.ErrName, `invalid repository name: ".."`},
		{"dots as the registry", "/v2/../app/manifests/v1", ociref.ErrName, `invalid repository name: ".." is not a registry's host name`},
		{"dot as the registry", "/v2/./app/manifests/v1", ociref.ErrName, `invalid repository name: "." is not a registry's host name`},
		{"dots as a component", "/v2/ghcr.io/../app/manifests/v1", ociref.ErrName, `invalid repository name: "../app"`},
		{"dots inside a component", "/v2/acme/a..b/manifests/v1", ociref.ErrName, `invalid repository name: "acme/a..b"`},
		{"dots inside the only component", "/v2/a..b/manifests/v1", ociref.ErrName, `invalid repository name: "a..b"`},
		{"dots inside the first component", "/v2/ghcr.io/a..b/app/manifests/v1", ociref.ErrName, `invalid repository name: "a..b/app"`},
		{"dots inside a registry", "/v2/ghcr..io/app/manifests/v1", ociref.ErrName, `invalid repository name: "ghcr..io" is not a registry's host name`},
		{"dot as a component", "/v2/acme/./app/manifests/v1", ociref.ErrName, `invalid repository name: "acme/./app"`},
		{"leading dot", "/v2/acme/.app/manifests/v1", ociref.ErrName, `invalid repository name: "acme/.app"`},
		{"trailing separator", "/v2/acme/app-/manifests/v1", ociref.ErrName, `invalid repository name: "acme/app-"`},
		{"three underscores", "/v2/acme/a___b/manifests/v1", ociref.ErrName, `invalid repository name: "acme/a___b"`},
		{"mixed separators", "/v2/acme/a.-b/manifests/v1", ociref.ErrName, `invalid repository name: "acme/a.-b"`},
		{"upper case", "/v2/Alpine/manifests/v1", ociref.ErrName, `invalid repository name: "Alpine"`},
		{"upper case behind a registry", "/v2/ghcr.io/Acme/app/manifests/v1", ociref.ErrName, `invalid repository name: "Acme/app"`},
		{"colon in the name", "/v2/acme/app:v1/manifests/v1", ociref.ErrName, `invalid repository name: "acme/app:v1"`},

		{"upper-case registry", "/v2/GHCR.io/app/manifests/v1", ociref.ErrName, `invalid repository name: "GHCR.io" is not a registry's host name`},
		{"upper-case Hub", "/v2/Docker.io/alpine/manifests/v1", ociref.ErrName, `invalid repository name: "Docker.io" is not a registry's host name`},
		{"trailing dot", "/v2/docker.io./alpine/manifests/v1", ociref.ErrName, `invalid repository name: "docker.io." is not a registry's host name`},
		{"trailing dot before the port", "/v2/docker.io.:443/alpine/manifests/v1", ociref.ErrName, `invalid repository name: "docker.io.:443" is not a registry's host name`},
		{"user", "/v2/user@ghcr.io/app/manifests/v1", ociref.ErrName, `invalid repository name: "user@ghcr.io" is not a registry's host name`},
		{"user and password", "/v2/user:secret@ghcr.io/app/manifests/v1", ociref.ErrName, `invalid repository name: "user:secret@ghcr.io" is not a registry's host name`},
		{"IPv6 address", "/v2/[::1]/app/manifests/v1", ociref.ErrName, `invalid repository name: "[::1]" is not a registry's host name`},
		{"IPv6 address with port", "/v2/[::1]:5000/app/manifests/v1", ociref.ErrName, `invalid repository name: "[::1]:5000" is not a registry's host name`},
		{"mapped IPv6 address", "/v2/[::ffff:169.254.169.254]/app/manifests/v1", ociref.ErrName, `invalid repository name: "[::ffff:169.254.169.254]" is not a registry's host name`},
		{"IPv6 address without brackets", "/v2/::1/app/manifests/v1", ociref.ErrName, `invalid repository name: "::1" is not a registry's host name`},
		{"scheme", "/v2/https://ghcr.io/app/manifests/v1", ociref.ErrName, `invalid repository name: "https:" is not a registry's host name`},
		{"empty port", "/v2/ghcr.io:/app/manifests/v1", ociref.ErrName, `invalid repository name: "ghcr.io:" is not a registry's host name`},
		{"port zero", "/v2/ghcr.io:0/app/manifests/v1", ociref.ErrName, `invalid repository name: "ghcr.io:0" is not a registry's host name`},
		{"port with a leading zero", "/v2/ghcr.io:0443/app/manifests/v1", ociref.ErrName, `invalid repository name: "ghcr.io:0443" is not a registry's host name`},
		{"port too high", "/v2/ghcr.io:65536/app/manifests/v1", ociref.ErrName, `invalid repository name: "ghcr.io:65536" has no valid port`},
		{"port too long", "/v2/ghcr.io:100443/app/manifests/v1", ociref.ErrName, `invalid repository name: "ghcr.io:100443" is not a registry's host name`},
		{"two ports", "/v2/ghcr.io:443:443/app/manifests/v1", ociref.ErrName, `invalid repository name: "ghcr.io:443:443" is not a registry's host name`},
		{"port without host", "/v2/:443/app/manifests/v1", ociref.ErrName, `invalid repository name: ":443" is not a registry's host name`},
		{"underscore in a host", "/v2/my_host.example/app/manifests/v1", ociref.ErrName, `invalid repository name: "my_host.example" is not a registry's host name`},
		{"hyphen before a dot", "/v2/a-.example/app/manifests/v1", ociref.ErrName, `invalid repository name: "a-.example" is not a registry's host name`},
		{"registry that would read as a Hub repository", "/v2/acme:443/app/manifests/v1", ociref.ErrName,
			`invalid repository name: "acme:443" has neither a dot nor a port other than 443, by which registries are told from repositories`},

		{"256 characters", "/v2/" + long + "/manifests/v1", ociref.ErrName, "invalid repository name: longer than 255 characters"},
		{"256 characters with the Hub's name", "/v2/" + long[:232] + "/manifests/v1", ociref.ErrName, "invalid repository name: longer than 255 characters with its registry"},
		{"256 characters elsewhere", "/v2/ghcr.io/" + long[:248] + "/manifests/v1", ociref.ErrName, "invalid repository name: longer than 255 characters"},
		{"long and wrong is quoted in part", "/v2/" + strings.Repeat("X", 200) + "/manifests/v1", ociref.ErrName,
			`invalid repository name: "` + strings.Repeat("X", 150) + `" and more`},

		{"tag of 129 characters", "/v2/alpine/manifests/" + long[:129], ociref.ErrTag, `invalid tag: "` + long[:129] + `"`},
		{"tag that begins with a dot", "/v2/alpine/manifests/.v1", ociref.ErrTag, `invalid tag: ".v1"`},
		{"tag that begins with a hyphen", "/v2/alpine/manifests/-v1", ociref.ErrTag, `invalid tag: "-v1"`},
		{"dots as the tag", "/v2/alpine/manifests/..", ociref.ErrTag, `invalid tag: ".."`},
		{"empty tag", "/v2/alpine/manifests/", ociref.ErrTag, `invalid tag: ""`},
		{"LF after the tag", "/v2/alpine/manifests/v1\n", ociref.ErrTag, `invalid tag: "v1\n"`},
		{"plus in the tag", "/v2/alpine/manifests/v1+1", ociref.ErrTag, `invalid tag: "v1+1"`},
		{"at sign before the hex", "/v2/alpine/manifests/@" + hex64, ociref.ErrTag, `invalid tag: "@` + hex64 + `"`},

		{"upper-case hex", "/v2/alpine/manifests/sha256:" + strings.ToUpper(hex64), ociref.ErrDigest,
			`invalid digest: "sha256:` + strings.ToUpper(hex64) + `" is not sha256 and 64 lower-case hex digits`},
		{"upper-case algorithm", "/v2/alpine/blobs/SHA256:" + hex64, ociref.ErrDigest,
			`invalid digest: "SHA256:` + hex64 + `" is not sha256 and 64 lower-case hex digits`},
		{"63 digits", "/v2/alpine/blobs/" + digest[:70], ociref.ErrDigest, `invalid digest: "` + digest[:70] + `" is not sha256 and 64 lower-case hex digits`},
		{"65 digits", "/v2/alpine/blobs/" + digest + "0", ociref.ErrDigest, `invalid digest: "` + digest + `0" is not sha256 and 64 lower-case hex digits`},
		{"sha512", "/v2/alpine/blobs/sha512:" + hex64 + hex64, ociref.ErrDigest,
			`invalid digest: "sha512:` + hex64 + hex64 + `" is not sha256 and 64 lower-case hex digits`},
		{"tag as a blob", "/v2/alpine/blobs/v1", ociref.ErrDigest, `invalid digest: "v1" is not sha256 and 64 lower-case hex digits`},
		{"tag as a referrer", "/v2/alpine/referrers/v1", ociref.ErrDigest, `invalid digest: "v1" is not sha256 and 64 lower-case hex digits`},
		{"empty digest", "/v2/alpine/blobs/", ociref.ErrDigest, `invalid digest: "" is not sha256 and 64 lower-case hex digits`},
		{"LF after the digest", "/v2/alpine/blobs/" + digest + "\n", ociref.ErrDigest, `invalid digest: "` + digest + `\n" is not sha256 and 64 lower-case hex digits`},
		{"word with a colon", "/v2/alpine/manifests/v1:v2", ociref.ErrDigest, `invalid digest: "v1:v2" is not sha256 and 64 lower-case hex digits`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ociref.Parse(test.path)
			if err == nil {
				t.Fatalf("Parse(%q) = %+v, want an error", test.path, got)
			}
			if err.Error() != test.want {
				t.Errorf("Parse(%q)\n got %s\nwant %s", test.path, err, test.want)
			}
			if !errors.Is(err, test.is) {
				t.Errorf("Parse(%q): %q is not %q", test.path, err, test.is)
			}
			if got != (ociref.Request{}) {
				t.Errorf("Parse(%q) returned %+v with its error", test.path, got)
			}
		})
	}
}

// Every spelling of one tag must be one record.
func TestParseOneSpelling(t *testing.T) {
	tests := []struct {
		want  string
		names []string
	}{
		{"index.docker.io/library/alpine:3.16.0", []string{
			"alpine", "library/alpine",
			"docker.io/alpine", "docker.io/library/alpine",
			"index.docker.io/alpine", "index.docker.io/library/alpine",
			"registry-1.docker.io/alpine", "registry-1.docker.io/library/alpine",
			"docker.io:443/alpine", "docker.io:443/library/alpine",
			"index.docker.io:443/alpine", "index.docker.io:443/library/alpine",
			"registry-1.docker.io:443/alpine", "registry-1.docker.io:443/library/alpine",
		}},
		{"index.docker.io/acme/app:3.16.0", []string{
			"acme/app", "docker.io/acme/app", "index.docker.io:443/acme/app", "registry-1.docker.io/acme/app",
		}},
		{"ghcr.io/acme/app:3.16.0", []string{"ghcr.io/acme/app", "ghcr.io:443/acme/app"}},
		{"localhost/app:3.16.0", []string{"localhost/app", "localhost:443/app"}},
	}
	for _, test := range tests {
		for _, name := range test.names {
			t.Run(name, func(t *testing.T) {
				byPath, err := ociref.Parse("/v2/" + name + "/manifests/3.16.0")
				if err != nil {
					t.Fatal(err)
				}
				if got := byPath.String(); got != test.want {
					t.Errorf("by path: %s, want %s", got, test.want)
				}
				byName, err := ociref.ParseReference(name + ":3.16.0")
				if err != nil {
					t.Fatal(err)
				}
				if byName != byPath {
					t.Errorf("by path %+v, by name %+v", byPath, byName)
				}
			})
		}
	}
}
