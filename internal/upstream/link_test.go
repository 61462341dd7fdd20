package upstream

import (
	"errors"
	"testing"
)

func TestNext(t *testing.T) {
	asked := parse(t, "https://reg.example/v2/app/tags/list?n=2")
	for name, test := range map[string]struct {
		headers []string
		want    string
		bad     bool
	}{
		"none":             {nil, "", false},
		"path":             {[]string{`</v2/app/tags/list?n=2&last=b>; rel="next"`}, "n=2&last=b", false},
		"absolute":         {[]string{`<https://reg.example/v2/app/tags/list?n=2&last=b>; rel="next"`}, "n=2&last=b", false},
		"other host":       {[]string{`<http://10.0.0.1/v2/app/tags/list?last=b>; rel="next"`}, "last=b", false},
		"other prefix":     {[]string{`</v2/hub/app/tags/list?last=b>; rel=next`}, "last=b", false},
		"relative":         {[]string{`<?last=b>;rel=next`}, "last=b", false},
		"upper case":       {[]string{`<?last=b>; REL="NEXT"`}, "last=b", false},
		"several rels":     {[]string{`<?last=b>; title="a;b"; rel="foo next"`}, "last=b", false},
		"several links":    {[]string{`<?last=a>; rel="prev", <?last=b>; rel="next"`}, "last=b", false},
		"several headers":  {[]string{`<?last=a>; rel="prev"`, `<?last=b>; rel="next"`}, "last=b", false},
		"comma in a quote": {[]string{`<?last=a>; title="x, <y>; rel=next"; rel=prev`}, "", false},
		"other rel":        {[]string{`<?last=a>; rel="last"`}, "", false},
		"no rel":           {[]string{`<?last=a>`}, "", false},
		"second rel":       {[]string{`<?last=a>; rel=prev; rel=next`}, "", false},
		"escaped":          {[]string{`<?last=a%26b%3E>; rel=next`}, "last=a%26b%3E", false},
		"no target":        {[]string{`/v2/app/tags/list?last=b; rel="next"`}, "", true},
		"no end":           {[]string{`</v2/app/tags/list?last=b; rel="next"`}, "", true},
		"not a URL":        {[]string{`<http://[>; rel="next"`}, "", true},
		"no query":         {[]string{`</v2/app/tags/list>; rel="next"`}, "", true},
		"other list":       {[]string{`</v2/_catalog?last=b>; rel="next"`}, "", true},
		"bad escape":       {[]string{`<?last=%zz>; rel="next"`}, "", true},
		"space":            {[]string{`<?last=a b>; rel="next"`}, "", true},
		"quote":            {[]string{`<?last="b">; rel="next"`}, "", true},
	} {
		got, err := next(test.headers, asked)
		if got != test.want || (err != nil) != test.bad || err != nil && !errors.Is(err, errBadLink) {
			t.Errorf("%s: %q, %v, want %q", name, got, err, test.want)
		}
	}
}

func FuzzNext(f *testing.F) {
	for _, s := range []string{
		`</v2/app/tags/list?n=2&last=b>; rel="next"`, `<?a>;rel=next,<?b>;rel=next`, `<`, `<>`, `,,,`, `<?x>;"`, `<?x>; rel="a next`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := next([]string{s}, parse(t, "https://reg.example/v2/app/tags/list"))
		if err != nil && got != "" {
			t.Errorf("%q with %v", got, err)
		}
		if got != "" && !isQuery(got) {
			t.Errorf("%q is no query", got)
		}
	})
}
