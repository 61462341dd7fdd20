package ociref_test

import (
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

func TestPattern(t *testing.T) {
	tests := []struct {
		pattern string
		match   []string
		not     []string
	}{
		{"docker.io/library/alpine",
			[]string{"index.docker.io/library/alpine"},
			[]string{"index.docker.io/library/alpine2", "index.docker.io/library", "index.docker.io/library/alpine/x", "ghcr.io/library/alpine", "docker.io/library/alpine"}},
		{"docker.io/alpine",
			[]string{"index.docker.io/library/alpine"},
			[]string{"index.docker.io/alpine", "index.docker.io/acme/alpine"}},
		{"docker.io/*",
			[]string{"index.docker.io/library/alpine", "index.docker.io/library/x"},
			[]string{"index.docker.io/acme/app"}},
		{"docker.io/library/*",
			[]string{"index.docker.io/library/alpine"},
			[]string{"index.docker.io/library/alpine/x", "index.docker.io/acme/alpine", "index.docker.io/library2/alpine"}},
		{"registry-1.docker.io:443/acme/app",
			[]string{"index.docker.io/acme/app"}, nil},
		{"docker.io/**",
			[]string{"index.docker.io/library/alpine", "index.docker.io/acme/app", "index.docker.io/a/b/c"},
			[]string{"index.docker.io", "docker.io/a/b", "index.docker.io.evil.example/a"}},
		{"ghcr.io/acme/**",
			[]string{"ghcr.io/acme/app", "ghcr.io/acme/a/b/c"},
			[]string{"ghcr.io/acme", "ghcr.io/acme2/app", "ghcr.io/x/acme/app", "ghcr.io:80/acme/app"}},
		{"ghcr.io/**", []string{"ghcr.io/a", "ghcr.io/a/b"}, []string{"ghcr.io", "quay.io/a"}},
		{"ghcr.io/*/app", []string{"ghcr.io/acme/app"}, []string{"ghcr.io/app", "ghcr.io/a/b/app", "ghcr.io/acme/app2"}},
		{"ghcr.io/*/*/**", []string{"ghcr.io/a/b/c", "ghcr.io/a/b/c/d"}, []string{"ghcr.io/a/b"}},
		{"ghcr.io/acme/app-*", []string{"ghcr.io/acme/app-x", "ghcr.io/acme/app-x.y"}, []string{"ghcr.io/acme/app", "ghcr.io/acme/app-x/y"}},
		{"ghcr.io/acme/*-base", []string{"ghcr.io/acme/go-base"}, []string{"ghcr.io/acme/base", "ghcr.io/acme/go-base2"}},
		{"ghcr.io/a*c*e/app", []string{"ghcr.io/abcde/app", "ghcr.io/ace/app"}, []string{"ghcr.io/abd/app"}},
		{"ghcr.io/a.b/c", []string{"ghcr.io/a.b/c"}, []string{"ghcr.io/axb/c"}},
		{"localhost:5000/app", []string{"localhost:5000/app"}, []string{"localhost/app", "localhost:5001/app"}},
	}
	for _, test := range tests {
		t.Run(test.pattern, func(t *testing.T) {
			p, err := ociref.ParsePattern(test.pattern)
			if err != nil {
				t.Fatal(err)
			}
			for _, repo := range test.match {
				if !p.Match(repo) {
					t.Errorf("does not match %s", repo)
				}
			}
			for _, repo := range append(test.not, "") {
				if p.Match(repo) {
					t.Errorf("matches %q", repo)
				}
			}
		})
	}
}

func TestPatternZero(t *testing.T) {
	for _, repo := range []string{"", "index.docker.io/library/alpine"} {
		if (ociref.Pattern{}).Match(repo) {
			t.Errorf("the zero pattern matches %q", repo)
		}
	}
}

func TestParsePatternErrors(t *testing.T) {
	tests := []struct{ pattern, want string }{
		{"", `pattern "" names no repository: want registry/repository`},
		{"**", `pattern "**" names no repository: want registry/repository`},
		{"docker.io", `pattern "docker.io" names no repository: want registry/repository`},
		{"alpine", `pattern "alpine" names no repository: want registry/repository`},
		{"library/*", `pattern "library/*": invalid repository name: "library" has neither a dot nor a port other than 443, by which registries are told from repositories`},
		{"*/alpine", `pattern "*/alpine": invalid repository name: "*" is not a registry's host name`},
		{"*.io/alpine", `pattern "*.io/alpine": invalid repository name: "*.io" is not a registry's host name`},
		{"GHCR.io/app", `pattern "GHCR.io/app": invalid repository name: "GHCR.io" is not a registry's host name`},
		{"ghcr.io/", `pattern "ghcr.io/": "" is neither part of a name nor an asterisk`},
		{"ghcr.io//app", `pattern "ghcr.io//app": "" is neither part of a name nor an asterisk`},
		{"ghcr.io/acme/", `pattern "ghcr.io/acme/": "" is neither part of a name nor an asterisk`},
		{"ghcr.io/Acme/*", `pattern "ghcr.io/Acme/*": "Acme" is neither part of a name nor an asterisk`},
		{"ghcr.io/**/app", `pattern "ghcr.io/**/app": "**" is neither part of a name nor an asterisk`},
		{"ghcr.io/a**", `pattern "ghcr.io/a**": "a**" is neither part of a name nor an asterisk`},
		{"ghcr.io/***", `pattern "ghcr.io/***": "***" is neither part of a name nor an asterisk`},
		{"ghcr.io/a?c", `pattern "ghcr.io/a?c": "a?c" is neither part of a name nor an asterisk`},
		{"ghcr.io/[a-c]", `pattern "ghcr.io/[a-c]": "[a-c]" is neither part of a name nor an asterisk`},
		{`ghcr.io/a\*`, `pattern "ghcr.io/a\\*": "a\\*" is neither part of a name nor an asterisk`},
		{"ghcr.io/..", `pattern "ghcr.io/..": ".." is neither part of a name nor an asterisk`},
		{"ghcr.io/app:v1", `pattern "ghcr.io/app:v1": "app:v1" is neither part of a name nor an asterisk`},
		{"ghcr.io/app\n", `pattern "ghcr.io/app\n": "app\n" is neither part of a name nor an asterisk`},
		{"ghcr.io/" + strings.Repeat("a", 248), `pattern "ghcr.io/` + strings.Repeat("a", 142) + `" and more: no name is longer than 255 characters`},
		{"docker.io/" + strings.Repeat("a", 232) + "*", `pattern "docker.io/` + strings.Repeat("a", 140) + `" and more: no name is longer than 255 characters`},
	}
	for _, test := range tests {
		t.Run(test.pattern, func(t *testing.T) {
			_, err := ociref.ParsePattern(test.pattern)
			if err == nil || err.Error() != test.want {
				t.Errorf("ParsePattern(%q)\n got %v\nwant %s", test.pattern, err, test.want)
			}
		})
	}
}
