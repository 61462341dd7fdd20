package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/config"
	"github.com/tlogistry/tlogistry/internal/ociref"
)

func FuzzLoad(f *testing.F) {
	for _, s := range [][2]string{
		{"", ""},
		{"docker.io=http://localhost:5000", "docker.io/library/*"},
		{"docker.io=http://a,registry-1.docker.io:443=http://b", "ghcr.io/acme/**,docker.io/alpine"},
		{"ghcr.io=https://mirror.example/a//, quay.io=http://[::1]:1", " , "},
		{"mirror:443=http://a", "mirror:443/a"},
		{"a.b=http://a?", "a.b/**/c"},
		{"a.b=http://u:p@a#", "*/*"},
		{"=", "\n"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, upstreams, allow string) {
		c, err := config.Load(env("UPSTREAMS", upstreams, "ALLOW", allow))
		if err != nil {
			line := err.Error()
			if strings.ContainsAny(line, "\r\n") {
				t.Errorf("not one line: %q", line)
			}
			if !strings.HasPrefix(line, "UPSTREAMS=") && !strings.HasPrefix(line, "ALLOW=") {
				t.Errorf("names neither variable: %s", line)
			}
			return
		}
		for registry, base := range c.Upstreams {
			if one, err := ociref.Registry(registry); err != nil || one != registry {
				t.Errorf("registry %q is not canonical: %q, %v", registry, one, err)
			}
			if base.Scheme != "http" && base.Scheme != "https" || base.Hostname() == "" || strings.HasSuffix(base.Path, "/") ||
				base.User != nil || base.RawQuery != "" || base.ForceQuery || base.Fragment != "" {
				t.Errorf("base of %s: %#v", registry, base)
			}
			// What was read can be written, and reads the same.
			again, err := config.Load(env("UPSTREAMS", fmt.Sprintf("%s=%s", registry, base)))
			if err != nil && !strings.Contains(base.String(), ",") {
				t.Errorf("%s=%s: %v", registry, base, err)
			}
			if u := again.Upstreams[registry]; err == nil && (u == nil || u.String() != base.String()) {
				t.Errorf("%s=%s is read as %v", registry, base, u)
			}
		}
		// A list that is set never allows everything.
		if allow != "" && len(c.Allow) == 0 {
			t.Errorf("ALLOW=%q allows everything", allow)
		}
	})
}
