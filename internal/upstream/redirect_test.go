package upstream

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// The service follows redirects of manifests, query and all, and the token
// stays behind.
func TestManifestRedirects(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		w, c := unmapped(t, Config{})
		w.gate("https://reg.example.com/token", `{"token":"good"}`)
		w.mux.Handle("reg.example.com/v2/app/manifests/v1", http.RedirectHandler("https://cdn.example.com/m?sig=a%2Fb&x=1", status))
		w.serve("cdn.example.com/m", 200, "Content-Type: "+indexType+"\n\n"+indexJSON)
		r := request(t, "/v2/reg.example.com/app/manifests/v1")
		for range 2 {
			if _, err := c.Manifest(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		seen := w.take()
		last := seen[3]
		if last.Host != "cdn.example.com" || last.URL.RawQuery != "sig=a%2Fb&x=1" || last.Method != "GET" {
			t.Errorf("the redirect led to %s %s%s", last.Method, last.Host, last.URL)
		}
		for _, r := range seen {
			if got, want := r.Header.Get("Authorization") != "", r.URL.Path == "/v2/app/manifests/v1"; got != want {
				t.Errorf("%s%s has Authorization: %v", r.Host, r.URL, got)
			}
		}
	}
}

func TestManifestRedirectsHaveAnEnd(t *testing.T) {
	for hops, good := range map[int]bool{5: true, 6: false, 1000: false} {
		w, c := mapped(t, Config{})
		w.open()
		w.mux.Handle("/v2/app/manifests/v1", http.RedirectHandler("/hop/1", http.StatusFound))
		w.mux.HandleFunc("/hop/{n}", hop(hops, "/end"))
		w.serve("/end", 200, "Content-Type: "+indexType+"\n\n"+indexJSON)
		_, err := c.Manifest(t.Context(), tag(t))
		if good && err != nil {
			t.Error(err)
		}
		if !good {
			wantError(t, err, 502, "UNAVAILABLE", "registry reg.example gave a bad answer: more than 5 redirects")
		}
		if n := len(w.take()); n > 7 {
			t.Errorf("%d requests", n)
		}
	}
}

func TestRedirectThatIsNone(t *testing.T) {
	for location, text := range map[string]string{
		"":                  "bad redirect: http: no Location header in response",
		"http://[::1":       `bad redirect: parse "http://[::1": missing ']' in host`,
		"ftp://a.example/x": `forbidden address: scheme "ftp"`,
		"//u@a.example/x":   `bad redirect: the address has a user or no host`,
	} {
		w, c := mapped(t, Config{})
		w.open()
		w.mux.HandleFunc("/v2/app/manifests/v1", func(rw http.ResponseWriter, _ *http.Request) {
			if location != "" {
				rw.Header().Set("Location", location)
			}
			rw.WriteHeader(307)
		})
		_, err := c.Manifest(t.Context(), tag(t))
		wantError(t, err, 502, "UNAVAILABLE", "registry reg.example gave a bad answer: "+text)
	}
}

// A redirect that carries the token would show it to others.
func TestRedirectWithTheToken(t *testing.T) {
	const secret = "sec/ret+1="
	for _, target := range []string{
		"https://cdn.example.com/b?token=" + secret,
		"https://cdn.example.com/b?token=" + url.QueryEscape(secret),
		"https://cdn.example.com/" + url.PathEscape(secret) + "/b",
		"https://reg.example.com/again?t=" + url.QueryEscape(secret),
	} {
		w, c := unmapped(t, Config{})
		w.gate("https://reg.example.com/token", `{"token":"`+secret+`"}`)
		w.mux.HandleFunc("/v2/app/", func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Location", target)
			rw.WriteHeader(307)
		})
		const text = "registry reg.example.com gave a bad answer: bad redirect: the address holds the token"
		_, err := c.Blob(t.Context(), "GET", blob(t, "reg.example.com"), nil)
		wantError(t, err, 502, "UNAVAILABLE", text)
		_, err = c.Manifest(t.Context(), request(t, "/v2/reg.example.com/app/manifests/v1"))
		wantError(t, err, 502, "UNAVAILABLE", text)
		for _, r := range w.take() {
			if strings.Contains(r.URL.String(), "ret") {
				t.Errorf("%s was asked", r.URL)
			}
		}
	}
}

func TestLocation(t *testing.T) {
	const special = "is not on the public internet"
	for address, want := range map[string]struct{ unmapped, mapped string }{
		"https://cdn.example/b?a=b%2Fc&d": {"", ""},
		"https://cdn.example:8443/b":      {"", ""},
		"https://8.8.8.8/b":               {"", ""},
		"https://[2606:4700::1111]/b":     {"", ""},
		"https://cdn.example./b":          {"", ""},
		"https://1e100.example/b":         {"", ""},
		"http://cdn.example/b":            {`scheme "http"`, ""},
		"http://localhost:5001/b":         {`scheme "http"`, ""},
		"https://localhost/b":             {special, ""},
		"https://a.localhost/b":           {special, ""},
		"https://127.0.0.1/b":             {special, ""},
		"https://127.0.0.1./b":            {special, ""},
		"https://10.1.2.3:5000/b":         {special, ""},
		"https://169.254.169.254/b":       {special, ""},
		"https://2130706433/b":            {special, ""},
		"https://0x7f000001/b":            {special, ""},
		"https://0X7F.1/b":                {special, ""},
		"https://0177.0.0.1/b":            {special, ""},
		"https://127.1/b":                 {special, ""},
		"https://8.8.8.010/b":             {special, ""},
		"https://[::1]/b":                 {special, ""},
		"https://[::ffff:8.8.8.8]/b":      {special, ""},
		"https://[64:ff9b::808:808]/b":    {special, ""},
		"https://[fe80::1%25eth0]/b":      {special, ""},
		"https://[2606::1%25eth0]/b":      {special, ""},
		"https://①②⑦.⓪.⓪.①/b":             {"the address is not one", "the address is not one"},
		"https://ⓛocalhost/b":             {"the address is not one", "the address is not one"},
		"https://cdn%25.example/b":        {special, ""},
		"https://cdn!.example/b":          {special, ""},
		"https://cdn。example/b":           {"the address is not one", "the address is not one"},
		"https://user@cdn.example/b":      {"the address has a user or a fragment, or no host", "the address has a user or a fragment, or no host"},
		"https://u:p@cdn.example/b":       {"the address has a user or a fragment, or no host", "the address has a user or a fragment, or no host"},
		"https://cdn.example/b#f":         {"the address has a user or a fragment, or no host", "the address has a user or a fragment, or no host"},
		"https:///b":                      {"the address has a user or a fragment, or no host", "the address has a user or a fragment, or no host"},
		"https:cdn.example":               {"the address has a user or a fragment, or no host", "the address has a user or a fragment, or no host"},
		"ftp://cdn.example/b":             {`scheme "ftp"`, `scheme "ftp"`},
		"javascript:alert(1)":             {`scheme "javascript"`, `scheme "javascript"`},
		"/b":                              {`scheme ""`, `scheme ""`},
		"https://cdn.example/?q=é":        {"the address holds a character that is not allowed", "the address holds a character that is not allowed"},
		"https://cdn.example/" + strings.Repeat("x", maxLocation): {"longer than 8192 bytes", "longer than 8192 bytes"},
	} {
		for mapped, want := range map[bool]string{false: want.unmapped, true: want.mapped} {
			got, err := location(parse(t, address), mapped)
			if want == "" {
				if err != nil || got != address {
					t.Errorf("mapped %v: %q, %v, want %q", mapped, got, err, address)
				}
				continue
			}
			if !errors.Is(err, errBadRedirect) || !strings.HasSuffix(fmt.Sprint(err), want) || got != "" {
				t.Errorf("mapped %v: %q is %q, %v, want %s", mapped, address, got, err, want)
			}
		}
	}
}

func FuzzLocation(f *testing.F) {
	for _, s := range []string{
		"https://cdn.example/b?a=b", "http://127.0.0.1/", "https://[::1%25lo]:443/", "//x/y", "https://u:p@h/#f",
		"https://0x7f.1/", "https:opaque", "/relative?x#y", "https://h:99999/", "https://\u2488\u2489/", "//0::",
	} {
		f.Add(s, false)
		f.Add(s, true)
	}
	base, err := url.Parse("https://reg.example/v2/app/blobs/x")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string, mapped bool) {
		u, err := base.Parse(s)
		if err != nil {
			return
		}
		got, err := location(u, mapped)
		if err != nil {
			return
		}
		again, err := url.Parse(got)
		if err != nil {
			t.Fatalf("%q does not parse: %v", got, err)
		}
		if again.User != nil || again.Fragment != "" || again.Host == "" || len(got) > maxLocation || !printable(got) {
			t.Errorf("%q", got)
		}
		if !mapped && (again.Scheme != "https" || !publicHost(again.Hostname())) {
			t.Errorf("%q", got)
		}
	})
}
