package ociref_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

// checkRequest fails unless every field of a request that was parsed from
// input is canonical. It states the grammar without regular expressions, so
// that it does not repeat the parser's mistakes.
func checkRequest(t *testing.T, input string, r ociref.Request) {
	t.Helper()
	if r.Kind == ociref.Ping {
		if r != (ociref.Request{}) {
			t.Errorf("%q: a ping with fields: %+v", input, r)
		}
		return
	}
	if (r.Tag != "" && r.Digest != "") || (r.Tag == "" && r.Digest == "") != (r.Kind == ociref.Tags) || (r.Tag != "" && r.Kind != ociref.Manifest) {
		t.Errorf("%q: tag and digest do not fit the kind: %+v", input, r)
	}
	if r.Digest != "" {
		digits, ok := strings.CutPrefix(r.Digest, "sha256:")
		if !ok || len(digits) != 64 || strings.Trim(digits, "0123456789abcdef") != "" {
			t.Errorf("%q: digest %q", input, r.Digest)
		}
	}
	if len(r.Tag) > 128 || strings.HasPrefix(r.Tag, ".") || strings.HasPrefix(r.Tag, "-") || !only(r.Tag, ".-_", true) {
		t.Errorf("%q: tag %q", input, r.Tag)
	}
	checkRepo(t, input, r)
}

func checkRepo(t *testing.T, input string, r ociref.Request) {
	t.Helper()
	if len(r.Repo) > 255 || strings.ToLower(r.Repo) != r.Repo || strings.Contains(r.Repo, "..") || r.Repo != r.Registry()+"/"+r.Repository() {
		t.Errorf("%q: repository %q", input, r.Repo)
	}
	host, port, hasPort := strings.Cut(r.Registry(), ":")
	if n, err := strconv.Atoi(port); hasPort && (err != nil || n < 1 || n > 65535 || n == 443 || strconv.Itoa(n) != port) {
		t.Errorf("%q: port of registry %q", input, r.Registry())
	}
	if !strings.Contains(host, ".") && host != "localhost" && !hasPort {
		t.Errorf("%q: registry %q reads as part of a Hub repository", input, r.Registry())
	}
	if r.Registry() == "docker.io" || r.Registry() == "registry-1.docker.io" {
		t.Errorf("%q: registry %q is not the Hub's one name", input, r.Registry())
	}
	for label := range strings.SplitSeq(host, ".") {
		if strings.Trim(label, "-") != label || label == "" || !only(label, "-", false) {
			t.Errorf("%q: registry %q", input, r.Registry())
		}
	}
	if r.Registry() == "index.docker.io" && !strings.Contains(r.Repository(), "/") {
		t.Errorf("%q: Hub repository %q has one component", input, r.Repository())
	}
	for part := range strings.SplitSeq(r.Repository(), "/") {
		if part == "" || strings.Trim(part, ".-_") != part || !only(part, ".-_", false) {
			t.Errorf("%q: component %q", input, part)
		}
	}
}

// only reports whether s has only digits, lower-case letters, the extra
// characters and, if upper is set, upper-case letters.
func only(s, extra string, upper bool) bool {
	for _, c := range s {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', upper && 'A' <= c && c <= 'Z', strings.ContainsRune(extra, c):
		default:
			return false
		}
	}
	return true
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"/v2", "/v2/", "/v2/alpine/manifests/3.16.0", "/v2/docker.io/library/alpine/manifests/latest",
		"/v2/index.docker.io:443/alpine/manifests/latest", "/v2/registry-1.docker.io/a/b/tags/list",
		"/v2/ghcr.io/acme/app/blobs/" + digest, "/v2/localhost:5000/a__b/referrers/" + digest,
		"/v2/mirror:443/app/manifests/v1", "/v2/manifests/manifests/manifests", "/v2/a..b/c/tags/list",
		"/v2/a%2Fb/manifests/v1", "/v2/a//b/manifests/v1", "/v2/[::1]:5000/a/manifests/v1", "/v2/ghcr.io:443:443/a/tags/list",
		"/v2/alpine/manifests/sha256-" + hex64 + ".sig", "/v2/A/manifests/\r\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		r, err := ociref.Parse(path)
		if err != nil {
			if r != (ociref.Request{}) {
				t.Errorf("%q: %+v with error %v", path, r, err)
			}
			return
		}
		checkRequest(t, path, r)
		again, err := ociref.Parse(pathOf(r))
		if err != nil || again != r {
			t.Errorf("%q: %+v\nits own path gives %+v, %v", path, r, again, err)
		}
		if r.Kind != ociref.Manifest {
			return
		}
		named, err := ociref.ParseReference(r.String())
		if err != nil || named != r {
			t.Errorf("%q: %+v\nits name %s gives %+v, %v", path, r, r, named, err)
		}
	})
}

func pathOf(r ociref.Request) string {
	switch r.Kind {
	case ociref.Manifest:
		return "/v2/" + r.Repo + "/manifests/" + r.Tag + r.Digest
	case ociref.Blob:
		return "/v2/" + r.Repo + "/blobs/" + r.Digest
	case ociref.Tags:
		return "/v2/" + r.Repo + "/tags/list"
	case ociref.Referrers:
		return "/v2/" + r.Repo + "/referrers/" + r.Digest
	}
	return "/v2/"
}

func FuzzParseReference(f *testing.F) {
	for _, s := range []string{
		"alpine", "alpine:3.16.0", "docker.io/library/alpine", "ghcr.io/acme/app@" + digest, "a:b@" + digest,
		"localhost:5000", "localhost:5000/a", "mirror:443/a/b:c", "docker.io:443/a", "index.docker.io/docker.io/a:b",
		"a..b/c", "[::1]:5000/a", ":", "@", "a@b", "A",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		r, err := ociref.ParseReference(ref)
		if err != nil {
			if r != (ociref.Request{}) {
				t.Errorf("%q: %+v with error %v", ref, r, err)
			}
			return
		}
		checkRequest(t, ref, r)
		again, err := ociref.ParseReference(r.String())
		if err != nil || again != r || again.String() != r.String() {
			t.Errorf("%q: %+v\nits own name gives %+v, %v", ref, r, again, err)
		}
	})
}

// A pattern without asterisks selects what the same name pulls, and nothing
// else; a pattern with asterisks only ever selects within its registry.
func FuzzParsePattern(f *testing.F) {
	for _, s := range [][2]string{
		{"docker.io/library/*", "alpine"}, {"ghcr.io/acme/**", "ghcr.io/acme/a/b"}, {"docker.io/alpine", "library/alpine"},
		{"docker.io/**", "acme/app"}, {"docker.io/*", "alpine"}, {"ghcr.io/a*b*c/d", "ghcr.io/abc/d"}, {"a/b", "a/b"},
		{"mirror:443/a", "mirror/a"}, {"ghcr.io/[a]", "ghcr.io/a"}, {"ghcr.io/**/x", "ghcr.io/x/x"}, {"/", "/"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, s, name string) {
		p, err := ociref.ParsePattern(s)
		if err != nil {
			if p.Match(name) {
				t.Errorf("%q is no pattern and matches %q", s, name)
			}
			return
		}
		if r, err := ociref.ParseReference(s); err == nil && r.Tag == "latest" && !p.Match(r.Repo) {
			t.Errorf("pattern %q does not match repository %s, which that name pulls", s, r.Repo)
		}
		if p.Match(name) && !strings.Contains(name, "/") {
			t.Errorf("pattern %q matches %q, which is no repository", s, name)
		}
		r, err := ociref.ParseReference(name)
		if err != nil || !p.Match(r.Repo) {
			return
		}
		host, _, _ := strings.Cut(s, "/")
		if registry, err := ociref.Registry(host); err != nil || registry != r.Registry() {
			t.Errorf("pattern %q matches %s of another registry", s, r.Repo)
		}
		if named, err := ociref.ParseReference(s); err == nil && named.Repo != r.Repo {
			t.Errorf("pattern %q without asterisks matches %s and names %s", s, r.Repo, named.Repo)
		}
	})
}

// The grammar of tags and digests as the specifications write it.
var (
	tagRE     = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	digestRE  = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	derivedRE = regexp.MustCompile(`^sha(?:256|512)-[0-9a-f]{64}(?:\.[A-Za-z0-9._-]+)?$`)
)

// FuzzReference compares what is taken for a tag, a digest and a derived tag
// with that grammar.
func FuzzReference(f *testing.F) {
	hash := strings.Repeat("0123456789abcdef", 4)
	for _, s := range []string{
		"", "v1", "_", ".a", "-a", "a-", "a.", "A_b.c-D", "a b", "a\n", "é", strings.Repeat("a", 128), strings.Repeat("a", 129),
		"sha256:" + hash, "sha256:" + hash + "0", "sha256:" + hash[1:], "sha256:" + strings.ToUpper(hash), "sha512:" + hash + hash, "sha256:" + hash + "\n", hash,
		"sha256-" + hash, "sha512-" + hash, "sha1-" + hash, "sha256-" + hash + ".sig", "sha256-" + hash + ".", "sha256-" + hash + "..",
		"sha256-" + hash + ".a.b", "sha256-" + hash + ".é", "sha256-" + hash + "-a", "sha256-" + hash[1:] + ".0", "sha256." + hash, "-" + hash,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := ociref.IsDigest(s), digestRE.MatchString(s); got != want {
			t.Errorf("%q is a digest: %t, want %t", s, got, want)
		}
		if got, want := (ociref.Request{Tag: s}).Derived(), derivedRE.MatchString(s); got != want {
			t.Errorf("%q is derived: %t, want %t", s, got, want)
		}
		if strings.ContainsAny(s, "/:%@") {
			return
		}
		for name, parse := range map[string]func() (ociref.Request, error){
			"path":      func() (ociref.Request, error) { return ociref.Parse("/v2/ghcr.io/app/manifests/" + s) },
			"reference": func() (ociref.Request, error) { return ociref.ParseReference("ghcr.io/app:" + s) },
		} {
			if r, err := parse(); (err == nil) != tagRE.MatchString(s) || err == nil && r.Tag != s {
				t.Errorf("%s of tag %q: %v, %v", name, s, r, err)
			}
		}
	})
}
