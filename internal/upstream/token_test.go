package upstream

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	askToken = "GET /token?scope=repository%3Aapp%3Apull&service=srv"
	askTag   = "GET /v2/app/manifests/v1"
)

// serveTo serves indexJSON to those who have one of the tokens.
func (w *world) serveTo(path string, tokens ...string) {
	w.mux.HandleFunc(path, func(rw http.ResponseWriter, r *http.Request) {
		if !slices.Contains(tokens, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")) {
			rw.Header().Set("WWW-Authenticate", `Bearer realm="http://elsewhere.example/token",error="invalid_token"`)
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		rw.Header().Set("Content-Type", indexType)
		fmt.Fprint(rw, indexJSON)
	})
}

func TestTokenIsKeptUntilItExpires(t *testing.T) {
	for name, test := range map[string]struct {
		answer string
		life   time.Duration
	}{
		"expires_in":          {`{"token":"good","expires_in":300}`, 270 * time.Second},
		"no expires_in":       {`{"token":"good"}`, 54 * time.Second},
		"negative":            {`{"token":"good","expires_in":-1}`, 54 * time.Second},
		"access_token":        {`{"access_token":"good","expires_in":60}`, 54 * time.Second},
		"both":                {`{"token":"good","access_token":"good","expires_in":20}`, 15 * time.Second},
		"longer than a day":   {`{"token":"good","expires_in":9000000000}`, 24 * time.Hour * 9 / 10},
		"expired as it comes": {`{"token":"good","expires_in":1}`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			now := &clock{t: time.Now()}
			w, c := mapped(t, Config{now: now.now})
			w.gate(w.URL+"/token", test.answer)
			w.serveTo("/v2/app/manifests/v1", "good")
			pull := func() {
				t.Helper()
				if _, err := c.Manifest(t.Context(), tag(t)); err != nil {
					t.Fatal(err)
				}
			}
			pull()
			want(t, w.requests(), "GET /v2/", askToken, askTag)
			if test.life > 0 {
				now.pass(test.life - 1)
				pull()
				want(t, w.requests(), "HEAD /v2/app/manifests/v1", askTag)
				now.pass(1)
			}
			pull()
			// The token is renewed before the first of the two requests.
			if got := w.requests(); got[0] != askToken || slices.Contains(got, "GET /v2/") {
				t.Errorf("requests are %q", got)
			}
		})
	}
}

// A token that the registry no longer takes is replaced once, and the
// challenge with it.
func TestRefusedTokenIsReplaced(t *testing.T) {
	w, c := mapped(t, Config{})
	w.gate(w.URL+"/token", `{"token":"old","expires_in":300}`, `{"token":"new","expires_in":300}`)
	w.serveTo("/v2/app/manifests/v1", "new")
	if _, err := c.Manifest(t.Context(), tag(t)); err != nil {
		t.Fatal(err)
	}
	want(t, w.requests(), "GET /v2/", askToken, askTag, "GET /v2/", askToken, askTag)
}

// Many requests may learn at once that a token is void. The first has it
// replaced, and the others leave the new one alone.
func TestForgetLeavesANewerToken(t *testing.T) {
	w, c := mapped(t, Config{})
	w.gate(w.URL+"/token", `{"token":"new","expires_in":300}`)
	to := c.registry("reg.example")
	if _, err := c.authorize(t.Context(), to, "app"); err != nil {
		t.Fatal(err)
	}
	w.take()
	c.forget(to, "app", "Bearer old")
	if token, err := c.authorize(t.Context(), to, "app"); token != "Bearer new" || err != nil {
		t.Errorf("%q, %v", token, err)
	}
	want(t, w.requests())
}

func TestDeniedRepository(t *testing.T) {
	w, c := mapped(t, Config{})
	w.gate(w.URL+"/token", `{"token":"good"}`)
	w.serveTo("/v2/app/manifests/v1")
	_, err := c.Manifest(t.Context(), tag(t))
	wantError(t, err, 403, "DENIED", "registry reg.example denies anonymous pulls of reg.example/app")
	want(t, w.requests(), "GET /v2/", askToken, askTag, "GET /v2/", askToken, askTag)
}

// One repository's token is not another's.
func TestTokensAreForOneRepository(t *testing.T) {
	w, c := mapped(t, Config{})
	w.gate(w.URL+"/token", `{"token":"one"}`, `{"token":"two"}`)
	w.serveTo("/v2/one/manifests/v1", "one")
	w.serveTo("/v2/two/manifests/v1", "two")
	for _, repo := range []string{"one", "two"} {
		if _, err := c.Manifest(t.Context(), request(t, "/v2/reg.example/"+repo+"/manifests/v1")); err != nil {
			t.Error(err)
		}
	}
	want(t, w.requests(), "GET /v2/",
		"GET /token?scope=repository%3Aone%3Apull&service=srv", "GET /v2/one/manifests/v1",
		"GET /token?scope=repository%3Atwo%3Apull&service=srv", "GET /v2/two/manifests/v1")
}

func TestBasePathIsPutBeforeTheRepository(t *testing.T) {
	w, c := mapped(t, Config{})
	c.Close()
	c = New(Config{Mirrors: mirrors(t, map[string]string{"index.docker.io": w.URL + "/hub/"})})
	defer c.Close()
	w.gate(w.URL+"/token", `{"token":"good"}`)
	w.serveTo("/v2/hub/library/alpine/manifests/v1", "good")
	if _, err := c.Manifest(t.Context(), request(t, "/v2/alpine/manifests/v1")); err != nil {
		t.Error(err)
	}
	want(t, w.requests(), "GET /v2/", "GET /token?scope=repository%3Ahub%2Flibrary%2Falpine%3Apull&service=srv",
		"GET /v2/hub/library/alpine/manifests/v1")
}

// Realms as registries write them, and as only an enemy would.
func TestRealms(t *testing.T) {
	for name, test := range map[string]struct{ challenge, token, err string }{
		"query":        {`Bearer realm="URL/token?account=a",service="srv"`, "/token?account=a&scope=repository%3Aapp%3Apull&service=srv", ""},
		"scope in it":  {`Bearer realm="URL/token?scope=x&service=y",service="srv"`, "/token?scope=repository%3Aapp%3Apull&service=srv", ""},
		"fragment":     {`Bearer realm="URL/token#part",service="srv"`, "/token?scope=repository%3Aapp%3Apull&service=srv", ""},
		"no service":   {`Bearer realm="URL/token"`, "/token?scope=repository%3Aapp%3Apull&service=", ""},
		"no quotes":    {`Bearer realm=URL/token,service=srv`, "/token?scope=repository%3Aapp%3Apull&service=srv", ""},
		"second of":    {`Basic realm="x", Bearer realm="URL/token",service="srv"`, "/token?scope=repository%3Aapp%3Apull&service=srv", ""},
		"no realm":     {`Bearer service="srv"`, "", "502 registry reg.example gave a bad answer"},
		"relative":     {`Bearer realm="/token"`, "", "502 registry reg.example gave a bad answer"},
		"not a URL":    {`Bearer realm="http://[::1"`, "", "502 registry reg.example gave a bad answer"},
		"escaped CRLF": {`Bearer realm="URL/token%0d%0aX:y"`, "", "502 registry reg.example gave a bad answer"},
		"basic":        {`Basic realm="x"`, "", "403 registry reg.example denies anonymous pulls"},
		"nothing":      {``, "", "403 registry reg.example denies anonymous pulls"},
	} {
		t.Run(name, func(t *testing.T) {
			w, c := mapped(t, Config{})
			w.serve("/v2/{$}", 401, "WWW-Authenticate: "+strings.ReplaceAll(test.challenge, "URL", w.URL))
			w.serve("/token", 200, "\n\n"+`{"token":"good"}`)
			w.serveTo("/v2/app/manifests/v1", "good")
			_, err := c.Manifest(t.Context(), tag(t))
			got := ""
			var e *Error
			if errors.As(err, &e) {
				got = fmt.Sprint(e.Status, " ", e.Message)
			}
			if got != test.err {
				t.Errorf("error is %v, want %q", err, test.err)
			}
			if test.token != "" {
				want(t, w.requests(), "GET /v2/", "GET "+test.token, askTag)
			}
		})
	}
}

func TestTokenAnswers(t *testing.T) {
	const bad = "registry reg.example gave a bad answer: "
	for name, test := range map[string]struct {
		status       int
		answer       string
		want         int
		code, prefix string
	}{
		"denied":       {401, "", 403, "DENIED", "registry reg.example denies anonymous pulls: no token: http://"},
		"forbidden":    {403, "", 403, "DENIED", "registry reg.example denies anonymous pulls: no token: http://"},
		"quota":        {429, "Retry-After: 9", 429, "TOOMANYREQUESTS", "registry reg.example limits the requests of this service: no token: http://"},
		"no such page": {404, "", 502, "UNAVAILABLE", bad},
		"broken":       {500, "", 502, "UNAVAILABLE", "registry reg.example answered with status 500: no token: http://"},
		"down":         {503, "Retry-After: 9", 503, "UNAVAILABLE", "registry reg.example answered with status 503: no token: http://"},
		"not JSON":     {200, "\n\n<html>", 502, "UNAVAILABLE", bad + "no token: invalid character"},
		"no token":     {200, "\n\n" + `{"refresh_token":"secret"}`, 502, "UNAVAILABLE", bad + "no token: no token in bearer response:"},
		"line break":   {200, "\n\n" + `{"token":"secret\r\nX: y"}`, 502, "UNAVAILABLE", bad + "the token is too long or holds a character that is not allowed"},
		"too long":     {200, "\n\n" + `{"token":"` + strings.Repeat("x", maxToken+1) + `"}`, 502, "UNAVAILABLE", bad + "the token is too long or holds a character that is not allowed"},
		"huge":         {200, "\n\n" + strings.Repeat(" ", 1<<20) + `{"token":"good"}`, 502, "UNAVAILABLE", bad + "no token: body exceeds 65536 byte limit"},
		"gzip":         {200, "Content-Encoding: gzip\n\n\x1f\x8b\x08\x00", 502, "UNAVAILABLE", bad + "no token: invalid character"},
	} {
		t.Run(name, func(t *testing.T) {
			w, c := mapped(t, Config{})
			w.serve("/v2/{$}", 401, `WWW-Authenticate: Bearer realm="`+w.URL+`/token"`)
			w.serve("/token", test.status, test.answer)
			_, err := c.Manifest(t.Context(), tag(t))
			var e *Error
			if !errors.As(err, &e) || e.Status != test.want || e.Code != test.code || !strings.HasPrefix(e.Error(), test.prefix) {
				t.Fatalf("error is %v, want %d %s %s…", err, test.want, test.code, test.prefix)
			}
			if strings.Contains(e.Error(), "secret") || strings.Contains(e.Error(), "\n") {
				t.Errorf("error is %q", e.Error())
			}
			if strings.HasPrefix(test.answer, "Retry-After") && e.RetryAfter != "9" {
				t.Errorf("Retry-After is %q", e.RetryAfter)
			}
		})
	}
}

func TestPingAnswers(t *testing.T) {
	for status, want := range map[int]struct {
		status     int
		code, text string
	}{
		403: {403, "DENIED", "registry reg.example denies anonymous pulls"},
		404: {404, "NAME_UNKNOWN", "registry reg.example answered with status 404"},
		429: {429, "TOOMANYREQUESTS", "registry reg.example limits the requests of this service"},
		500: {502, "UNAVAILABLE", "registry reg.example answered with status 500"},
		503: {503, "UNAVAILABLE", "registry reg.example answered with status 503"},
	} {
		w, c := mapped(t, Config{})
		w.serve("/v2/{$}", status, "")
		_, err := c.Manifest(t.Context(), tag(t))
		wantError(t, err, want.status, want.code, want.text+": no token: "+w.URL+"/v2/")
	}
}

// A realm that redirects without end is left after five hops.
func TestTokenRedirects(t *testing.T) {
	for hops, good := range map[int]bool{5: true, 6: false} {
		w, c := mapped(t, Config{})
		w.gate(w.URL+"/hop/0", `{"token":"good"}`)
		w.mux.HandleFunc("/hop/{n}", hop(hops, "/token"))
		w.serveTo("/v2/app/manifests/v1", "good")
		_, err := c.Manifest(t.Context(), tag(t))
		if (err == nil) != good {
			t.Errorf("%d hops: %v", hops, err)
		}
		if !good && !errors.Is(err, errTooManyRedirects) {
			t.Errorf("%d hops: %v", hops, err)
		}
	}
}

// hop redirects /hop/0 to /hop/1 and so on, n times in all, and then to end.
func hop(n int, end string) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		var i int
		_, _ = fmt.Sscan(r.PathValue("n"), &i)
		to := fmt.Sprintf("/hop/%d", i+1)
		if i+1 >= n {
			to = end
		}
		http.Redirect(rw, r, to, http.StatusFound)
	}
}

// The public case: registry and realm in TLS on different hosts.
func TestUnmappedRegistryWithToken(t *testing.T) {
	w, c := unmapped(t, Config{})
	w.gate("https://auth.example.com/token", `{"token":"good"}`)
	w.serveTo("/v2/app/manifests/v1", "good")
	if _, err := c.Manifest(t.Context(), request(t, "/v2/reg.example.com/app/manifests/v1")); err != nil {
		t.Fatal(err)
	}
	for _, r := range w.take() {
		if r.Proto != "HTTP/2.0" {
			t.Errorf("%s is %s", r.URL, r.Proto)
		}
		if r.Host != "reg.example.com" && r.Header.Get("Authorization") != "" {
			t.Errorf("%s got the token", r.Host)
		}
	}
}
