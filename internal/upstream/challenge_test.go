package upstream

import (
	"strings"
	"testing"
)

func TestOneChallenge(t *testing.T) {
	const good = `Bearer realm="https://a.example/token",service="s"`
	for name, test := range map[string]struct {
		headers []string
		want    string
	}{
		"plain":                 {[]string{`Bearer realm="https://a.example/token",service="s",scope="repository:x:pull"`}, good},
		"lower case":            {[]string{`bearer REALM="https://a.example/token", Service="s"`}, good},
		"unquoted":              {[]string{`Bearer realm=https://a.example/token,service=s`}, good},
		"spaces":                {[]string{`  Bearer  realm = "https://a.example/token" , service = "s" ,`}, good},
		"several headers":       {[]string{`Negotiate`, `Basic realm="x"`, good, `Bearer realm="https://b.example"`}, good},
		"several in one":        {[]string{`Basic realm="x", Negotiate, ` + good + `, Digest realm="y"`}, good},
		"bearer first":          {[]string{good + `, Basic realm="y"`}, good},
		"comma in quotes":       {[]string{`Bearer realm="https://a.example/?a,b",service="s,t"`}, `Bearer realm="https://a.example/?a,b",service="s,t"`},
		"equals sign":           {[]string{`Bearer realm=https://a.example/?a=b`}, `Bearer realm="https://a.example/?a=b"`},
		"no service":            {[]string{`Bearer realm="https://a.example/token"`}, `Bearer realm="https://a.example/token"`},
		"escaped":               {[]string{`Bearer realm="https:\/\/a.example\/token",service="s"`}, good},
		"no realm":              {[]string{`Bearer service="s"`}, `Bearer realm="",service="s"`},
		"bare":                  {[]string{`Bearer`}, `Bearer realm=""`},
		"line break":            {[]string{"Bearer realm=\"https://a.example/\r\nX: y\",service=\"s\""}, `Bearer realm="",service="s"`},
		"quote inside":          {[]string{`Bearer realm="https://a.example/\",service=\"evil",service="s"`}, `Bearer realm="",service="s"`},
		"not ASCII":             {[]string{`Bearer realm="https://ä.example"`}, `Bearer realm=""`},
		"too long":              {[]string{`Bearer realm="https://a.example/` + strings.Repeat("x", maxRealm) + `"`}, `Bearer realm=""`},
		"basic":                 {[]string{`Basic realm="x"`}, "basic"},
		"token68":               {[]string{`Negotiate abc123==`}, "negotiate"},
		"none":                  {nil, "none"},
		"empty":                 {[]string{"", " ", ",,"}, "none"},
		"rubbish":               {[]string{"\x00\x01", "=", `"`}, "none"},
		"bearer in a parameter": {[]string{`Basic realm="Bearer realm=x"`}, "basic"},
	} {
		if got := oneChallenge(test.headers); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func FuzzOneChallenge(f *testing.F) {
	for _, s := range []string{
		`Bearer realm="https://a.example/token",service="s"`, `Basic realm=x, Bearer realm=y`,
		`Bearer realm="a\"b",service=`, `Negotiate abc==`, `Bearer`, `,`, `"`, `\`, ``,
	} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		got := oneChallenge([]string{a, b})
		if got == "" || len(got) > 2*maxRealm+64 {
			t.Errorf("challenge of %d bytes", len(got))
		}
		if strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q holds a control character", got)
		}
		if again := oneChallenge([]string{got}); strings.HasPrefix(got, "Bearer ") && again != got {
			t.Errorf("%q is read as %q", got, again)
		}
		if strings.Count(got, `"`)%2 != 0 {
			t.Errorf("%q has an open quote", got)
		}
	})
}
