package ociref_test

import (
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

func TestTagPattern(t *testing.T) {
	for _, test := range []struct {
		pattern    string
		match, not []string // references as typed
	}{
		{"docker.io/library/*:latest",
			[]string{"alpine", "alpine:latest", "docker.io/library/alpine:latest", "registry-1.docker.io:443/library/alpine:latest"},
			[]string{"alpine:3.16.0", "alpine:latest2", "alpine:xlatest", "alpine:Latest", "acme/app:latest", "ghcr.io/library/alpine:latest"}},
		{"docker.io/alpine:3.*",
			[]string{"alpine:3.16.0", "library/alpine:3."},
			[]string{"alpine:3", "alpine:3x16", "alpine:13.1", "acme/alpine:3.16.0"}},
		{"ghcr.io/acme/**:nightly-*",
			[]string{"ghcr.io/acme/app:nightly-1", "ghcr.io/acme/a/b:nightly-", "ghcr.io:443/acme/app:nightly-x.y"},
			[]string{"ghcr.io/acme/app:nightly", "ghcr.io/acme/app:v-nightly-1", "ghcr.io/acme2/app:nightly-1"}},
		{"registry.example/team/app:dev",
			[]string{"registry.example/team/app:dev"},
			[]string{"registry.example/team/app:dev2", "registry.example/team/app/x:dev", "registry.example:80/team/app:dev"}},
		{"localhost:5000/app:*", []string{"localhost:5000/app", "localhost:5000/app:v1"}, []string{"localhost:5001/app:v1"}},
		{"ghcr.io/acme/app:*-rc*", []string{"ghcr.io/acme/app:1-rc", "ghcr.io/acme/app:1-rc.2"}, []string{"ghcr.io/acme/app:rc", "ghcr.io/acme/app:1rc"}},
	} {
		t.Run(test.pattern, func(t *testing.T) {
			p, err := ociref.ParseTagPattern(test.pattern)
			if err != nil {
				t.Fatal(err)
			}
			for is, refs := range map[bool][]string{true: test.match, false: test.not} {
				for _, ref := range refs {
					r, err := ociref.ParseReference(ref)
					if err != nil {
						t.Fatal(err)
					}
					if p.Match(r) != is {
						t.Errorf("of %s it says %v", ref, !is)
					}
					r.Tag, r.Digest = "", "sha256:"+strings.Repeat("0", 64)
					if p.Match(r) {
						t.Errorf("it matches %s", r)
					}
				}
			}
		})
	}
	if r, err := ociref.ParseReference("alpine"); err != nil || (ociref.TagPattern{}).Match(r) {
		t.Errorf("the zero pattern matches %s, %v", r, err)
	}
}

func TestParseTagPatternErrors(t *testing.T) {
	const names, want = " names no tag: want registry/repository:tag", " is neither a tag nor one with asterisks"
	for pattern, text := range map[string]string{
		"":                           `pattern ""` + names,
		"docker.io/library/alpine":   `pattern "docker.io/library/alpine"` + names,
		"docker.io/**":               `pattern "docker.io/**"` + names,
		"localhost:5000/app":         `pattern "localhost:5000/app"` + names,
		"docker.io/library/alpine:":  `pattern "docker.io/library/alpine:": ""` + want,
		"ghcr.io/acme/app:**":        `pattern "ghcr.io/acme/app:**": "**"` + want,
		"ghcr.io/acme/app:-x":        `pattern "ghcr.io/acme/app:-x": "-x"` + want,
		"ghcr.io/acme/app:[ab]":      `pattern "ghcr.io/acme/app:[ab]": "[ab]"` + want,
		"ghcr.io/acme/app:v?":        `pattern "ghcr.io/acme/app:v?": "v?"` + want,
		`ghcr.io/acme/app:v\*`:       `pattern "ghcr.io/acme/app:v\\*": "v\\*"` + want,
		"ghcr.io/acme/app:v1\n":      `pattern "ghcr.io/acme/app:v1\n": "v1\n"` + want,
		"alpine:latest":              `pattern "alpine" names no repository: want registry/repository`,
		"library/alpine:latest":      `pattern "library/alpine": invalid repository name: "library" has neither a dot nor a port other than 443, by which registries are told from repositories`,
		"*:latest":                   `pattern "*" names no repository: want registry/repository`,
		"ghcr.io/Acme/app:v1":        `pattern "ghcr.io/Acme/app": "Acme" is neither part of a name nor an asterisk`,
		"ghcr.io/acme/app:v1:v2":     `pattern "ghcr.io/acme/app:v1": "app:v1" is neither part of a name nor an asterisk`,
		"ghcr.io/acme/app@sha256:00": `pattern "ghcr.io/acme/app@sha256": "app@sha256" is neither part of a name nor an asterisk`,
	} {
		if _, err := ociref.ParseTagPattern(pattern); err == nil || err.Error() != text {
			t.Errorf("ParseTagPattern(%q)\n got %v\nwant %s", pattern, err, text)
		}
	}
}

// A pattern without an asterisk selects the reference that it is, and nothing
// is selected but what begins and ends as the pattern does.
func FuzzTagPattern(f *testing.F) {
	for _, s := range [][2]string{
		{"docker.io/library/*:latest", "alpine"},
		{"ghcr.io/acme/**:nightly-*", "ghcr.io/acme/app:nightly-1"},
		{"registry.example/team/app:dev", "registry.example/team/app:dev"},
		{"localhost:5000/a:*", "localhost:5000/a:b"},
		{"docker.io/x", "x"}, {":", ":"}, {"a.b/c:**", "a.b/c:d"}, {"a.b/c:[*]", "a.b/c:["},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, pattern, ref string) {
		p, err := ociref.ParseTagPattern(pattern)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("not one line: %q", err)
			}
			return
		}
		if !strings.Contains(pattern, "*") {
			if r, err := ociref.ParseReference(pattern); err != nil || !p.Match(r) {
				t.Errorf("%q does not match itself, %+v, %v", pattern, r, err)
			}
		}
		r, err := ociref.ParseReference(ref)
		if err != nil || !p.Match(r) {
			return
		}
		tag := pattern[strings.LastIndex(pattern, ":")+1:]
		before, after, many := strings.Cut(tag, "*")
		after = after[strings.LastIndex(after, "*")+1:]
		if r.Tag == "" || !strings.HasPrefix(r.Tag, before) || !strings.HasSuffix(r.Tag, after) || !many && r.Tag != tag {
			t.Errorf("%q matches %s", pattern, r)
		}
		if registry, err := ociref.Registry(strings.SplitN(pattern, "/", 2)[0]); err != nil || r.Registry() != registry {
			t.Errorf("%q matches %s", pattern, r)
		}
	})
}
