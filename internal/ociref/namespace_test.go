package ociref_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

func TestCutNamespace(t *testing.T) {
	tests := []struct{ name, query, ns, rest string }{
		{"no query", "", "", ""},
		{"another parameter", "n=2&last=%41&x=a+b", "", "n=2&last=%41&x=a+b"},
		{"what is no query", "n=%zz&;&&=", "", "n=%zz&;&&="},
		{"a longer name", "nss=docker.io&xns=docker.io&NS=docker.io&ns[]=a", "", "nss=docker.io&xns=docker.io&NS=docker.io&ns[]=a"},
		{"ns in a value", "last=ns=docker.io", "", "last=ns=docker.io"},
		{"ns behind a semicolon", "n=1;ns=docker.io", "", "n=1;ns=docker.io"},

		{"alone", "ns=docker.io", "docker.io", ""},
		{"first", "ns=docker.io&n=2", "docker.io", "n=2"},
		{"last", "n=%zz&ns=docker.io", "docker.io", "n=%zz"},
		{"between", "n=2&ns=docker.io&last=%41", "docker.io", "n=2&last=%41"},
		{"as written, not as it is called in the end", "ns=registry-1.docker.io:443", "registry-1.docker.io:443", ""},
		{"port", "ns=localhost:5000", "localhost:5000", ""},
		{"port as containerd writes it", "ns=localhost%3A5000", "localhost:5000", ""},
		{"port in lower-case hex", "ns=localhost%3a5000", "localhost:5000", ""},
		{"letter encoded", "ns=%64ocker.io", "docker.io", ""},
		{"name encoded", "%6es=docker.io", "docker.io", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ns, rest, err := ociref.CutNamespace(test.query)
			if ns != test.ns || rest != test.rest || err != nil {
				t.Errorf("CutNamespace(%q) = %q, %q, %v, want %q, %q", test.query, ns, rest, err, test.ns, test.rest)
			}
		})
	}
}

func TestCutNamespaceErrors(t *testing.T) {
	host := func(quoted string) string {
		return "in ns: invalid repository name: " + quoted + " is not a registry's host name"
	}
	const twice = "invalid repository name: ns is given more than once"
	tests := []struct{ name, query, rest, want string }{
		{"empty", "ns=", "", host(`""`)},
		{"no value", "n=1&ns", "n=1", host(`""`)},
		{"twice", "ns=docker.io&n=1&ns=ghcr.io", "n=1", twice},
		{"twice the same", "ns=docker.io&ns=docker.io", "", twice},
		{"once more by another spelling of its name", "ns=docker.io&%6e%73=ghcr.io", "", twice},
		{"first empty", "ns=&ns=docker.io", "", twice},
		{"upper case", "ns=Docker.io", "", host(`"Docker.io"`)},
		{"word", "ns=library", "", `in ns: invalid repository name: "library" has neither a dot nor a port other than 443, by which registries are told from repositories`},
		{"two", "ns=docker.io,ghcr.io", "", host(`"docker.io,ghcr.io"`)},
		{"two with a semicolon", "ns=docker.io;ns=ghcr.io", "", host(`"docker.io;ns=ghcr.io"`)},
		{"repository", "ns=docker.io/library", "", host(`"docker.io/library"`)},
		{"URL", "ns=https://docker.io", "", host(`"https://docker.io"`)},
		{"user", "ns=user@docker.io", "", host(`"user@docker.io"`)},
		{"port 0", "ns=docker.io:0", "", host(`"docker.io:0"`)},
		{"port too high", "ns=docker.io:65536", "", `in ns: invalid repository name: "docker.io:65536" has no valid port`},
		{"trailing dot", "ns=docker.io.", "", host(`"docker.io."`)},
		{"IPv6", "ns=[::1]:5000", "", host(`"[::1]:5000"`)},
		{"space", "ns=+docker.io", "", host(`" docker.io"`)},
		{"CR LF", "ns=docker.io%0d%0aX:%20y", "", host(`"docker.io\r\nX: y"`)},
		{"NUL", "ns=docker.io%00", "", host(`"docker.io\x00"`)},
		{"encoded twice", "ns=docker%252eio", "", host(`"docker%2eio"`)},
		{"bad escape", "ns=docker.io%3&n=1", "n=1", `invalid repository name: ns is "docker.io%3", which is not percent-encoded`},
		{"256 characters", "ns=" + strings.Repeat("x", 253) + ".io", "", host(`"` + strings.Repeat("x", 150) + `" and more`)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ns, rest, err := ociref.CutNamespace(test.query)
			if err == nil || err.Error() != test.want || !errors.Is(err, ociref.ErrName) {
				t.Errorf("CutNamespace(%q)\n got %v\nwant %s", test.query, err, test.want)
			}
			if ns != "" || rest != test.rest {
				t.Errorf("CutNamespace(%q) = %q, %q, want no ns and %q", test.query, ns, rest, test.rest)
			}
		})
	}
}

// A name means the same whether the registry is in the path, or in ns, or in both.
func TestParseMirrored(t *testing.T) {
	tests := []struct{ name, ns, repo, want string }{
		{"no ns", "", "alpine", "index.docker.io/library/alpine"},
		{"no ns, registry in the path", "", "ghcr.io/acme/app", "ghcr.io/acme/app"},
		{"Hub", "docker.io", "library/alpine", "index.docker.io/library/alpine"},
		{"Hub without library", "docker.io", "alpine", "index.docker.io/library/alpine"},
		{"Hub by its second name", "index.docker.io", "library/alpine", "index.docker.io/library/alpine"},
		{"Hub by its third name", "registry-1.docker.io:443", "library/alpine", "index.docker.io/library/alpine"},
		{"user's on the Hub", "docker.io", "acme/app", "index.docker.io/acme/app"},
		{"Hub in both", "docker.io", "docker.io/library/alpine", "index.docker.io/library/alpine"},
		{"Hub in both, without library", "docker.io", "docker.io/alpine", "index.docker.io/library/alpine"},
		{"Hub in both, by different names", "docker.io", "registry-1.docker.io/library/alpine", "index.docker.io/library/alpine"},
		{"elsewhere", "ghcr.io", "acme/app", "ghcr.io/acme/app"},
		{"elsewhere one component", "registry.k8s.io", "pause", "registry.k8s.io/pause"},
		{"elsewhere no library", "quay.io", "library/app", "quay.io/library/app"},
		{"elsewhere in both", "ghcr.io", "ghcr.io/acme/app", "ghcr.io/acme/app"},
		{"port 443 goes away", "ghcr.io:443", "acme/app", "ghcr.io/acme/app"},
		{"port 443 in one of both", "ghcr.io", "ghcr.io:443/acme/app", "ghcr.io/acme/app"},
		{"port", "localhost:5000", "app", "localhost:5000/app"},
		{"localhost", "localhost", "app", "localhost/app"},
		{"localhost in both", "localhost", "localhost/app", "localhost/app"},
		{"only component with a dot", "ghcr.io", "a.b", "ghcr.io/a.b"},
		{"only component that is a registry's name", "ghcr.io", "ghcr.io", "ghcr.io/ghcr.io"},
		{"later component with a dot", "ghcr.io", "acme/a.b", "ghcr.io/acme/a.b"},
		{"first component with a dot needs ns in the path", "gcr.io", "gcr.io/google.com/sdk/cli", "gcr.io/google.com/sdk/cli"},
		{"255 characters", "ghcr.io", strings.Repeat("x", 247), "ghcr.io/" + strings.Repeat("x", 247)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for rest, want := range map[string]ociref.Request{
				"/manifests/v1":        {Kind: ociref.Manifest, Repo: test.want, Tag: "v1"},
				"/manifests/" + digest: {Kind: ociref.Manifest, Repo: test.want, Digest: digest},
				"/blobs/" + digest:     {Kind: ociref.Blob, Repo: test.want, Digest: digest},
				"/referrers/" + digest: {Kind: ociref.Referrers, Repo: test.want, Digest: digest},
				"/tags/list":           {Kind: ociref.Tags, Repo: test.want},
			} {
				got, err := ociref.ParseMirrored(test.ns, "/v2/"+test.repo+rest)
				if err != nil || got != want {
					t.Errorf("ParseMirrored(%q, %q)\n got %+v, %v\nwant %+v", test.ns, "/v2/"+test.repo+rest, got, err, want)
				}
			}
		})
	}
	for _, path := range []string{"/v2", "/v2/"} {
		if got, err := ociref.ParseMirrored("docker.io", path); err != nil || got != (ociref.Request{}) {
			t.Errorf("ping %s: %+v, %v", path, got, err)
		}
	}
}

func TestParseMirroredErrors(t *testing.T) {
	tests := []struct {
		name, ns, path string
		is             error
		want           string
	}{
		{"Hub and another", "docker.io", "/v2/ghcr.io/acme/app/manifests/v1", ociref.ErrName,
			"invalid repository name: the path names the registry ghcr.io and ns names docker.io"},
		{"another and the Hub", "ghcr.io", "/v2/docker.io/library/alpine/manifests/v1", ociref.ErrName,
			"invalid repository name: the path names the registry docker.io and ns names ghcr.io"},
		{"another and the Hub's second name", "ghcr.io", "/v2/index.docker.io/library/alpine/tags/list", ociref.ErrName,
			"invalid repository name: the path names the registry index.docker.io and ns names ghcr.io"},
		{"another port", "ghcr.io", "/v2/ghcr.io:8443/acme/app/manifests/v1", ociref.ErrName,
			"invalid repository name: the path names the registry ghcr.io:8443 and ns names ghcr.io"},
		{"component with a dot reads as a registry", "gcr.io", "/v2/google.com/sdk/cli/manifests/v1", ociref.ErrName,
			"invalid repository name: the path names the registry google.com and ns names gcr.io"},
		{"component localhost reads as a registry", "ghcr.io", "/v2/localhost/app/manifests/v1", ociref.ErrName,
			"invalid repository name: the path names the registry localhost and ns names ghcr.io"},
		{"component with a bad host name", "ghcr.io", "/v2/a..b/app/manifests/v1", ociref.ErrName,
			`invalid repository name: "a..b" is not a registry's host name`},
		{"ns that is none", "library", "/v2/app/manifests/v1", ociref.ErrName,
			`invalid repository name: "library" has neither a dot nor a port other than 443, by which registries are told from repositories`},
		{"too long with ns", "ghcr.io", "/v2/" + strings.Repeat("x", 248) + "/manifests/v1", ociref.ErrName,
			"invalid repository name: longer than 255 characters with its registry"},
		{"tag", "ghcr.io", "/v2/app/manifests/.v1", ociref.ErrTag, `invalid tag: ".v1"`},
		{"digest", "ghcr.io", "/v2/app/blobs/v1", ociref.ErrDigest, `invalid digest: "v1" is not sha256 and 64 lower-case hex digits`},
		{"path", "ghcr.io", "/v2/_catalog", ociref.ErrPath, `not a path of the registry API: "/v2/_catalog"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ociref.ParseMirrored(test.ns, test.path)
			if err == nil || err.Error() != test.want || !errors.Is(err, test.is) || got != (ociref.Request{}) {
				t.Errorf("ParseMirrored(%q, %q) = %+v\n got %v\nwant %s", test.ns, test.path, got, err, test.want)
			}
		})
	}
}

// Whatever the query, no ns is left in it, and what is parsed is of the
// registry that ns names, and the same when the path names it too.
func FuzzParseMirrored(f *testing.F) {
	for _, s := range [][2]string{
		{"ns=docker.io", "/v2/library/alpine/manifests/3.16.0"}, {"ns=docker.io", "/v2/docker.io/alpine/manifests/latest"},
		{"ns=ghcr.io", "/v2/docker.io/library/alpine/tags/list"}, {"n=1&ns=localhost%3A5000&x", "/v2/app/referrers/" + digest},
		{"ns=a&ns=b", "/v2/"}, {"ns=", "/v2/"}, {"%6Es=ghcr.io%zz", "/v2/a.b/c/blobs/" + digest}, {"ns=gcr.io;ns=a.b", "/v2/a.b/manifests/v1"},
		{"", "/v2/alpine/manifests/latest"}, {"ns=docker.io:443", "/v2/a/manifests/v1"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, query, path string) {
		ns, rest, err := ociref.CutNamespace(query)
		if again, same, err := ociref.CutNamespace(rest); again != "" || same != rest || err != nil {
			t.Errorf("%q leaves %q, which leaves %q, %q, %v", query, rest, again, same, err)
		}
		values, malformed := url.ParseQuery(query)
		if malformed == nil && err == nil && (len(values["ns"]) > 1 || values.Get("ns") != ns || values.Has("ns") != (ns != "")) {
			t.Errorf("%q has ns %q, want %q", query, ns, values["ns"])
		}
		if err != nil {
			if ns != "" || !errors.Is(err, ociref.ErrName) {
				t.Errorf("%q: %q with error %v", query, ns, err)
			}
			return
		}
		r, err := ociref.ParseMirrored(ns, path)
		if err != nil {
			if r != (ociref.Request{}) {
				t.Errorf("%q %q: %+v with error %v", ns, path, r, err)
			}
			return
		}
		checkRequest(t, path, r)
		if ns == "" || r.Kind == ociref.Ping {
			if plain, err := ociref.Parse(path); plain != r || err != nil {
				t.Errorf("%q: %+v, without ns %+v, %v", path, r, plain, err)
			}
			return
		}
		if registry, err := ociref.Registry(ns); registry != r.Registry() || err != nil {
			t.Errorf("%q %q: registry %s, want %s, %v", ns, path, r.Registry(), registry, err)
		}
		if again, err := ociref.ParseMirrored(ns, pathOf(r)); again != r || err != nil {
			t.Errorf("%q %q: %+v\nits own path gives %+v, %v", ns, path, r, again, err)
		}
	})
}
