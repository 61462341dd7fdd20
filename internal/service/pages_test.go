package service

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"

	"github.com/tlogistry/tlogistry/internal/config"
	"github.com/tlogistry/tlogistry/internal/record"
)

// An entry's page and the flags of verify depend on which log it is.
func TestRekorPages(t *testing.T) {
	s := record.Sighting{UUID: "abcd", Index: 42}
	for _, test := range []struct {
		url, root, issuer string
		entry             string
		flags             []string
	}{
		{"https://rekor.sigstore.dev", "", "https://accounts.google.com", "https://search.sigstore.dev/?logIndex=42", nil},
		{"https://rekor.sigstore.dev", "", "https://issuer.example", "https://search.sigstore.dev/?logIndex=42", []string{"--issuer", "https://issuer.example"}},
		{"https://rekor.example", "/etc/root.json", "https://accounts.google.com", "https://rekor.example/api/v1/log/entries/abcd",
			[]string{"--rekor", "https://rekor.example", "--trusted-root", "trusted_root.json"}},
		{"http://rekor.example:3000/rekor/", "", "https://accounts.google.com", "http://rekor.example:3000/rekor/api/v1/log/entries/abcd",
			[]string{"--rekor", "http://rekor.example:3000/rekor/"}},
	} {
		u, err := url.Parse(test.url)
		if err != nil {
			t.Fatal(err)
		}
		p := rekorPages(config.Config{RekorURL: u, TrustedRoot: test.root, IdentityIssuer: test.issuer}, nil, nil)
		if got := p.Entry(s, record.Proof{}); got != test.entry {
			t.Errorf("%s: entry at %s, want %s", test.url, got, test.entry)
		}
		if !slices.Equal(p.Flags, test.flags) {
			t.Errorf("%s: flags %q, want %q", test.url, p.Flags, test.flags)
		}
	}
}

// The log's files have /tlog to themselves, and nothing else is rewritten.
func TestHome(t *testing.T) {
	answer := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Header().Set("From", name+" "+r.URL.Path) })
	}
	for _, test := range []struct{ path, with, without string }{
		{"/", "pages /", "pages /"},
		{"/tag/a//b:1", "pages /tag/a//b:1", "pages /tag/a//b:1"},
		{"/tag/../tlog/checkpoint", "pages /tag/../tlog/checkpoint", "pages /tag/../tlog/checkpoint"},
		{"/tlog/checkpoint", "files /tlog/checkpoint", "pages /tlog/checkpoint"},
		{"/tlog", "", "pages /tlog"},
		{"/tlogs", "pages /tlogs", "pages /tlogs"},
	} {
		for _, c := range []struct {
			files http.Handler
			want  string
		}{{nil, test.without}, {answer("files"), test.with}} {
			r := httptest.NewRequest("GET", "/", nil)
			r.URL.Path = test.path
			w := httptest.NewRecorder()
			home(answer("pages"), c.files).ServeHTTP(w, r)
			if got := w.Header().Get("From"); got != c.want {
				t.Errorf("%s, files %t: %q, want %q", test.path, c.files != nil, got, c.want)
			}
		}
	}
}
