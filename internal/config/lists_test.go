package config_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/config"
	"github.com/tlogistry/tlogistry/internal/ociref"
	"github.com/tlogistry/tlogistry/internal/record"
)

func TestTrustedIdentities(t *testing.T) {
	const (
		google  = "https://accounts.google.com"
		actions = "https://token.actions.githubusercontent.com"
		flow    = "https://github.com/acme/app/.github/workflows/pull.yml@refs/heads/main"
		spiffe  = "spiffe://example.com/ns/default/sa/front=1"
	)
	got := load(t, "TLOG", "rekor", "TRUSTED_IDENTITIES", " "+google+"=a@p.iam.gserviceaccount.com ,, "+
		actions+"="+flow+",https://issuer.example/="+spiffe+",http://127.0.0.1:80=a@p.iam.gserviceaccount.com").Trusted
	want := []record.Identity{
		{Issuer: google, Subject: "a@p.iam.gserviceaccount.com"},
		{Issuer: actions, Subject: flow},
		{Issuer: "https://issuer.example/", Subject: spiffe},
		{Issuer: "http://127.0.0.1:80", Subject: "a@p.iam.gserviceaccount.com"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	const form = "want issuer=identity, comma-separated, such as https://accounts.google.com=tlogistry@project.iam.gserviceaccount.com"
	for value, text := range map[string]string{
		"a@b.example":                                      form,
		"=a@b.example":                                     form,
		google:                                             form,
		google + "=":                                       form,
		google + "=a":                                      form,
		google + "=A <a@b.example>":                        form,
		google + "=<a@b.example>":                          form,
		google + "=a@b.example\n ":                         "",
		google + "=a @b.example":                           form,
		google + "=https://":                               form,
		google + "=https://a b":                            form,
		google + "=https://u@b.example/":                   form,
		"accounts.google.com=a@b.example":                  form,
		"ftp://a.example=a@b.example":                      form,
		"https://a.example?=a@b.example":                   form,
		"https://a.example#=a@b.example":                   form,
		"https://u@a.example=a@b.example":                  form,
		"https://a.example/ x=a@b.example":                 form,
		"https://=a@b.example":                             form,
		"https://a.example=b@c.example,":                   "",
		",":                                                "want at least one identity",
		google + "=a@b.example," + google + "=a@b.example": "want each identity once",
		google + "=a@b.example;" + google + "=c@d.example": form,
	} {
		_, err := config.Load(env("TLOG", "rekor", "TRUSTED_IDENTITIES", value))
		if text == "" {
			if err != nil {
				t.Errorf("%q: %v", value, err)
			}
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), "TRUSTED_IDENTITIES=\"") || !strings.HasSuffix(err.Error(), `": `+text) {
			t.Errorf("%q: got %v, want %s", value, err, text)
		}
	}
	_, err := config.Load(env("TRUSTED_IDENTITIES", google+"=a@b.example"))
	if want := `TRUSTED_IDENTITIES="https://accounts.google.com=a@b.example": want nothing with TLOG=local, a log that knows no identities: set TLOG=rekor`; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestMutableTags(t *testing.T) {
	got := load(t, "MUTABLE_TAGS", " docker.io/library/*:latest ,, ghcr.io/acme/**:nightly-*").Mutable
	for ref, want := range map[string]bool{"alpine": true, "alpine:3": false, "ghcr.io/acme/a/b:nightly-1": true} {
		r, err := ociref.ParseReference(ref)
		if err != nil {
			t.Fatal(err)
		}
		if is := slices.ContainsFunc(got, func(p ociref.TagPattern) bool { return p.Match(r) }); is != want {
			t.Errorf("%s is exempt: %v", ref, is)
		}
	}
	const form = "want comma-separated patterns such as docker.io/library/*:latest or ghcr.io/acme/**:nightly-*: "
	for value, want := range map[string]string{
		"docker.io/library/alpine":      `MUTABLE_TAGS="docker.io/library/alpine": ` + form + `pattern "docker.io/library/alpine" names no tag: want registry/repository:tag`,
		"ghcr.io/a/b:v1,ghcr.io/a/**":   `MUTABLE_TAGS="ghcr.io/a/**": ` + form + `pattern "ghcr.io/a/**" names no tag: want registry/repository:tag`,
		"alpine:latest":                 `MUTABLE_TAGS="alpine:latest": ` + form + `pattern "alpine" names no repository: want registry/repository`,
		"ghcr.io/a/b:v1 ghcr.io/a/c:v1": `MUTABLE_TAGS="ghcr.io/a/b:v1 ghcr.io/a/c:v1": ` + form + `pattern "ghcr.io/a/b:v1 ghcr.io/a/c": "b:v1 ghcr.io" is neither part of a name nor an asterisk`,
		",":                             `MUTABLE_TAGS=",": want at least one pattern`,
	} {
		if _, err := config.Load(env("MUTABLE_TAGS", value)); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// What is read of an identity is what was written, and a list that is set is
// never empty.
func FuzzLists(f *testing.F) {
	for _, s := range [][2]string{
		{"https://accounts.google.com=a@b.example", "docker.io/library/*:latest"},
		{"https://a.example/x=spiffe://b/c=d,http://[::1]:1=a@b", "ghcr.io/acme/**:v*, localhost:5000/a:b"},
		{"=", ":"}, {",", ","}, {"\n", "\n"}, {"https://a=\"b\"@c", "a.b/c:**"}, {"https://a=b@c (d)", "a.b/c"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, trusted, mutable string) {
		c, err := config.Load(env("TLOG", "rekor", "TRUSTED_IDENTITIES", trusted, "MUTABLE_TAGS", mutable))
		if err != nil {
			if line := err.Error(); strings.ContainsAny(line, "\r\n") || !strings.HasPrefix(line, "TRUSTED_IDENTITIES=") && !strings.HasPrefix(line, "MUTABLE_TAGS=") {
				t.Errorf("%q, %q: %s", trusted, mutable, line)
			}
			return
		}
		if (trusted == "") != (len(c.Trusted) == 0) || (mutable == "") != (len(c.Mutable) == 0) {
			t.Errorf("%q, %q: %d identities, %d patterns", trusted, mutable, len(c.Trusted), len(c.Mutable))
		}
		for i, id := range c.Trusted {
			if !strings.Contains(trusted, id.Issuer+"="+id.Subject) || strings.Contains(id.Issuer, "=") || slices.Contains(c.Trusted[:i], id) {
				t.Errorf("%q: %q", trusted, id)
			}
			if strings.ContainsAny(id.Issuer+id.Subject, " \t\r\n,\x00\x7f") {
				t.Errorf("%q: %q", trusted, id)
			}
		}
	})
}
