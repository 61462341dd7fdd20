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

// Every variable with every value: an error is one line that names the
// variable first, and what is taken is within its bounds. Paths are left out:
// their files would be opened.
func FuzzVariables(f *testing.F) {
	names := []string{
		"PORT", "HOST", "LOCAL_ONLY", "TLOG", "REKOR_URL", "FULCIO_URL", "TUF_URL", "REKOR_TIMEOUT", "FULCIO_TIMEOUT", "REKOR_SETTLE", "AUDIENCE",
		"IDENTITY", "IDENTITY_ISSUER", "UPSTREAM_TIMEOUT", "GOOGLE_REGISTRY_AUTH", "REQUESTS_PER_MINUTE", "NEW_RECORDS_PER_MINUTE", "TRUSTED_HOPS", "LOG_FORMAT", "GOOGLE_CLOUD_PROJECT",
	}
	for i := range names {
		for _, v := range []string{"", "1", "0", "-1", "true", "local", "::1", "10s", "http://a", "https://[::1%25a]:1/b?c#d", "1e9", "0x10", " ", "\n", "99999999999999999999h"} {
			f.Add(uint8(i), v)
		}
	}
	f.Fuzz(func(t *testing.T, i uint8, value string) {
		name := names[int(i)%len(names)]
		c, err := config.Load(env(name, value, "TUF_ROOT", "config.go"))
		if err != nil {
			if line := err.Error(); strings.ContainsAny(line, "\r\n") || !strings.HasPrefix(line, name+"=") {
				t.Errorf("%s=%q: %s", name, value, line)
			}
			return
		}
		if c.RekorTimeout <= 0 || c.FulcioTimeout <= 0 || c.UpstreamTimeout <= 0 || c.RekorSettle < 0 ||
			c.RequestsPerMinute < 0 || c.RequestsPerMinute > 1000000 || c.NewRecordsPerMinute < 0 || c.NewRecordsPerMinute > 1000000 ||
			c.TrustedHops < 0 || c.TrustedHops > 16 {
			t.Errorf("%s=%q: %+v", name, value, c)
		}
		for _, s := range []string{c.Port, c.Host, c.RekorURL.String(), c.FulcioURL.String(), c.TUFURL, c.Audience, c.Identity, c.IdentityIssuer} {
			if strings.ContainsAny(s, " \r\n\t\x00") {
				t.Errorf("%s=%q: %q", name, value, s)
			}
		}
		if again, err := config.Load(env("REKOR_URL", c.RekorURL.String(), "PORT", c.Port)); err != nil || again.RekorURL.String() != c.RekorURL.String() {
			t.Errorf("%s=%q: what was read, %s, is read as %v, %v", name, value, c.RekorURL, again.RekorURL, err)
		}
	})
}
