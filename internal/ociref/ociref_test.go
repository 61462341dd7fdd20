package ociref_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

func TestParseReference(t *testing.T) {
	tests := []struct{ name, ref, repo, tag, digest string }{
		{"name", "alpine", "index.docker.io/library/alpine", "latest", ""},
		{"tag", "alpine:3.16.0", "index.docker.io/library/alpine", "3.16.0", ""},
		{"digest", "alpine@" + digest, "index.docker.io/library/alpine", "", digest},
		{"the digest counts", "alpine:3.16.0@" + digest, "index.docker.io/library/alpine", "", digest},
		{"registry", "ghcr.io/acme/app:v1", "ghcr.io/acme/app", "v1", ""},
		{"port and no tag", "localhost:5000/app", "localhost:5000/app", "latest", ""},
		{"port and tag", "localhost:5000/app:v1", "localhost:5000/app", "v1", ""},
		{"port, tag and digest", "localhost:5000/app:v1@" + digest, "localhost:5000/app", "", digest},
		{"a word and a tag, not a port", "localhost:5000", "index.docker.io/library/localhost", "5000", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ociref.ParseReference(test.ref)
			if err != nil {
				t.Fatal(err)
			}
			want := ociref.Request{Kind: ociref.Manifest, Repo: test.repo, Tag: test.tag, Digest: test.digest}
			if got != want {
				t.Errorf("ParseReference(%q)\n got %+v\nwant %+v", test.ref, got, want)
			}
		})
	}
}

func TestParseReferenceErrors(t *testing.T) {
	tests := []struct {
		name, ref string
		is        error
		want      string
	}{
		{"empty", "", ociref.ErrName, `invalid repository name: ""`},
		{"tag alone", ":v1", ociref.ErrName, `invalid repository name: ""`},
		{"digest alone", "@" + digest, ociref.ErrName, `invalid repository name: ""`},
		{"empty tag", "alpine:", ociref.ErrTag, `invalid tag: ""`},
		{"empty digest", "alpine@", ociref.ErrDigest, `invalid digest: ""`},
		{"bad tag", "alpine:.v1", ociref.ErrTag, `invalid tag: ".v1"`},
		{"bad tag beside a digest", "alpine:.v1@" + digest, ociref.ErrTag, `invalid tag: ".v1"`},
		{"empty tag beside a digest", "alpine:@" + digest, ociref.ErrTag, `invalid tag: ""`},
		{"bad digest", "alpine@sha256:0", ociref.ErrDigest, `invalid digest: "sha256:0"`},
		{"two digests", "alpine@" + digest + "@" + digest, ociref.ErrDigest, `invalid digest: "` + digest + "@" + digest + `"`},
		{"user", "user@ghcr.io/app", ociref.ErrDigest, `invalid digest: "ghcr.io/app"`},
		{"scheme", "https://ghcr.io/app", ociref.ErrName, `invalid repository name: "https:" is not a registry's host name`},
		{"upper case", "Alpine", ociref.ErrName, `invalid repository name: "Alpine"`},
		{"dots", "ghcr.io/../app:v1", ociref.ErrName, `invalid repository name: "../app"`},
		{"two tags", "alpine:v1:v2", ociref.ErrName, `invalid repository name: "alpine:v1"`},
		{"percent sign", "acme%2fapp", ociref.ErrName, `invalid repository name: "acme%2fapp"`},
		{"registry that would read as a Hub repository", "acme:443/app", ociref.ErrName,
			`invalid repository name: "acme:443" has neither a dot nor a port other than 443, by which registries are told from repositories`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ociref.ParseReference(test.ref)
			if err == nil {
				t.Fatalf("ParseReference(%q) = %+v, want an error", test.ref, got)
			}
			if err.Error() != test.want {
				t.Errorf("ParseReference(%q)\n got %s\nwant %s", test.ref, err, test.want)
			}
			if !errors.Is(err, test.is) {
				t.Errorf("ParseReference(%q): %q is not %q", test.ref, err, test.is)
			}
			if got != (ociref.Request{}) {
				t.Errorf("ParseReference(%q) returned %+v with its error", test.ref, got)
			}
		})
	}
}

func TestRegistry(t *testing.T) {
	tests := []struct{ host, want, err string }{
		{"docker.io", "index.docker.io", ""},
		{"index.docker.io", "index.docker.io", ""},
		{"registry-1.docker.io", "index.docker.io", ""},
		{"docker.io:443", "index.docker.io", ""},
		{"index.docker.io:443", "index.docker.io", ""},
		{"registry-1.docker.io:443", "index.docker.io", ""},
		{"docker.io:5000", "docker.io:5000", ""},
		{"registry-1.docker.io:80", "registry-1.docker.io:80", ""},
		{"registry-2.docker.io", "registry-2.docker.io", ""},
		{"ghcr.io:443", "ghcr.io", ""},
		{"ghcr.io:1443", "ghcr.io:1443", ""},
		{"localhost", "localhost", ""},
		{"localhost:443", "localhost", ""},
		{"localhost:1", "localhost:1", ""},
		{"mirror:5000", "mirror:5000", ""},
		{"127.0.0.1:5000", "127.0.0.1:5000", ""},
		{"ghcr.io:65535", "ghcr.io:65535", ""},

		{"", "", `invalid repository name: "" is not a registry's host name`},
		{"GHCR.io", "", `invalid repository name: "GHCR.io" is not a registry's host name`},
		{"ghcr.io.", "", `invalid repository name: "ghcr.io." is not a registry's host name`},
		{"ghcr.io/app", "", `invalid repository name: "ghcr.io/app" is not a registry's host name`},
		{"user@ghcr.io", "", `invalid repository name: "user@ghcr.io" is not a registry's host name`},
		{"[::1]:5000", "", `invalid repository name: "[::1]:5000" is not a registry's host name`},
		{"ghcr.io\n", "", `invalid repository name: "ghcr.io\n" is not a registry's host name`},
		{"ghcr.io:65536", "", `invalid repository name: "ghcr.io:65536" has no valid port`},
		{"ghcr.io:99999", "", `invalid repository name: "ghcr.io:99999" has no valid port`},
		{"mirror", "", `invalid repository name: "mirror" has neither a dot nor a port other than 443, by which registries are told from repositories`},
		{"mirror:443", "", `invalid repository name: "mirror:443" has neither a dot nor a port other than 443, by which registries are told from repositories`},
		{strings.Repeat("a.", 127) + "aa", "", `invalid repository name: "` + strings.Repeat("a.", 75) + `" and more is not a registry's host name`},
	}
	for _, test := range tests {
		t.Run(test.host, func(t *testing.T) {
			got, err := ociref.Registry(test.host)
			if test.err != "" {
				if err == nil || err.Error() != test.err {
					t.Errorf("Registry(%q) = %q, %v\nwant %s", test.host, got, err, test.err)
				}
				if !errors.Is(err, ociref.ErrName) {
					t.Errorf("Registry(%q): %v is not ErrName", test.host, err)
				}
				return
			}
			if err != nil || got != test.want {
				t.Errorf("Registry(%q) = %q, %v, want %q", test.host, got, err, test.want)
			}
		})
	}
}

func TestRequestParts(t *testing.T) {
	tests := []struct{ path, registry, repository, text string }{
		{"/v2/", "", "", "/v2/"},
		{"/v2/alpine/manifests/3.16.0", "index.docker.io", "library/alpine", "index.docker.io/library/alpine:3.16.0"},
		{"/v2/alpine/manifests/" + digest, "index.docker.io", "library/alpine", "index.docker.io/library/alpine@" + digest},
		{"/v2/r.example:5000/a/b/blobs/" + digest, "r.example:5000", "a/b", "r.example:5000/a/b@" + digest},
		{"/v2/ghcr.io/a/b/tags/list", "ghcr.io", "a/b", "ghcr.io/a/b"},
		{"/v2/ghcr.io/a/b/referrers/" + digest, "ghcr.io", "a/b", "ghcr.io/a/b@" + digest},
	}
	for _, test := range tests {
		r, err := ociref.Parse(test.path)
		if err != nil {
			t.Fatal(err)
		}
		if r.Registry() != test.registry || r.Repository() != test.repository || r.String() != test.text {
			t.Errorf("%s: registry %q, repository %q, String %q\nwant %q, %q, %q",
				test.path, r.Registry(), r.Repository(), r.String(), test.registry, test.repository, test.text)
		}
	}
}

func TestDerived(t *testing.T) {
	tests := []struct {
		last string
		want bool
	}{
		{"sha256-" + hex64, true},
		{"sha512-" + hex64, true},
		{"sha256-" + hex64 + ".sig", true},
		{"sha256-" + hex64 + ".att", true},
		{"sha256-" + hex64 + ".sbom", true},
		{"sha256-" + hex64 + ".a.B_c-1", true},
		{"sha256-" + hex64 + "..", true},
		{"latest", false},
		{hex64, false},
		{"sha256-" + hex64[1:], false},
		{"sha256-" + hex64 + "0", false},
		{"sha256-" + hex64 + ".", false},
		{"sha256-" + hex64 + "-sig", false},
		{"sha256-" + strings.ToUpper(hex64), false},
		{"SHA256-" + hex64, false},
		{"sha384-" + hex64, false},
		{"sha1-" + hex64, false},
		{"sha256_" + hex64, false},
		{"v1-sha256-" + hex64, false},
		{"sha256-latest", false},
		{digest, false},
	}
	for _, test := range tests {
		t.Run(test.last, func(t *testing.T) {
			r, err := ociref.Parse("/v2/alpine/manifests/" + test.last)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Derived(); got != test.want {
				t.Errorf("Derived() = %t, want %t", got, test.want)
			}
		})
	}
}

func TestIsDigest(t *testing.T) {
	for s, want := range map[string]bool{
		digest:                              true,
		"":                                  false,
		hex64:                               false,
		digest + "0":                        false,
		digest + "\n":                       false,
		" " + digest:                        false,
		digest[:70]:                         false,
		"sha256:" + strings.ToUpper(hex64):  false,
		"sha256:" + strings.Repeat("g", 64): false,
		"sha512:" + hex64:                   false,
	} {
		if got := ociref.IsDigest(s); got != want {
			t.Errorf("IsDigest(%q) = %t, want %t", s, got, want)
		}
	}
}

func TestKindString(t *testing.T) {
	for kind, want := range map[ociref.Kind]string{
		ociref.Ping:      "ping",
		ociref.Manifest:  "manifest",
		ociref.Blob:      "blob",
		ociref.Tags:      "tags",
		ociref.Referrers: "referrers",
		5:                "Kind(5)",
		-1:               "Kind(-1)",
	} {
		if got := kind.String(); got != want {
			t.Errorf("Kind %d is %q, want %q", int(kind), got, want)
		}
	}
}
