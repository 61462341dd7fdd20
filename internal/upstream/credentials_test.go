package upstream

import (
	"encoding/base64"
	"errors"
	"net/http"
	"testing"
)

// What the registries of these tests get, and what it buys.
const (
	secret = "correct-horse"
	ticket = "Bearer bought-token"
)

var basicSecret = "Basic " + base64.StdEncoding.EncodeToString([]byte("ann:"+secret))

// sell makes a host a token service that sells to those with the credentials.
func (w *world) sell(path string) {
	w.mux.HandleFunc(path, func(rw http.ResponseWriter, r *http.Request) {
		text := `{"token":"anonymous-token"}`
		if r.Header.Get("Authorization") == basicSecret {
			text = `{"token":"bought-token"}`
		}
		_, _ = rw.Write([]byte(text))
	})
}

// serveIndex makes a host serve the tag v1 to everybody.
func (w *world) serveIndex(repo string) {
	w.serve("/v2/"+repo+"/manifests/v1", 200, "Content-Type: "+indexType+"\n\n"+indexJSON)
}

// Where credentials go, by the realm that a registry names. Each case says what
// each host was asked, with which Authorization.
func TestRealmsAndCredentials(t *testing.T) {
	const (
		refusal = "registry reg.example.com gave a bad answer: the realm is at "
		why     = ", where this service's credentials for the registry do not go"
		ping    = "reg.example.com/v2/"
		pull    = "reg.example.com/v2/app/manifests/v1 "
		hubPull = "index.docker.io/v2/library/app/manifests/v1 "
	)
	one := map[string]string{"reg.example.com": "ann:" + secret}
	onHub := map[string]string{"index.docker.io": "ann:" + secret}
	for name, test := range map[string]struct {
		named map[string]string
		path  string // in place of /v2/reg.example.com/app
		realm string
		asked []string
		err   string
	}{
		"same origin": {named: one, realm: "https://reg.example.com/token",
			asked: []string{ping, "reg.example.com/token " + basicSecret, pull + ticket}},
		"same origin, written out": {named: one, realm: "https://REG.example.com:443/token",
			asked: []string{ping, "reg.example.com/token " + basicSecret, pull + ticket}},
		"other host": {named: one, realm: "https://auth.example.com/token",
			asked: []string{ping}, err: refusal + `"auth.example.com"` + why},
		"parent domain": {named: one, realm: "https://example.com/token",
			asked: []string{ping}, err: refusal + `"example.com"` + why},
		"subdomain": {named: one, realm: "https://a.reg.example.com/token",
			asked: []string{ping}, err: refusal + `"a.reg.example.com"` + why},
		"trailing dot": {named: one, realm: "https://reg.example.com./token",
			asked: []string{ping}, err: refusal + `"reg.example.com."` + why},
		"other port": {named: one, realm: "https://reg.example.com:8443/token",
			asked: []string{ping}, err: refusal + `"reg.example.com:8443"` + why},
		"plain http": {named: one, realm: "http://reg.example.com/token",
			asked: []string{ping}, err: refusal + `"reg.example.com"` + why},
		"plain http on 443": {named: one, realm: "http://reg.example.com:443/token",
			asked: []string{ping}, err: refusal + `"reg.example.com:443"` + why},
		"registry as user": {named: one, realm: "https://reg.example.com@auth.example.com/token",
			asked: []string{ping}, err: refusal + `"auth.example.com"` + why},
		"Docker Hub's": {named: one, realm: "https://auth.docker.io/token",
			asked: []string{ping}, err: refusal + `"auth.docker.io"` + why},
		"relative": {named: one, realm: "/token",
			asked: []string{ping}, err: "registry reg.example.com gave a bad answer: the realm is not an address"},

		"named for both": {named: map[string]string{"reg.example.com": "ann:" + secret, "auth.example.com": "ann:" + secret},
			realm: "https://auth.example.com/token",
			asked: []string{"auth.example.com/token " + basicSecret, ping, pull + ticket}},
		"another password there": {named: map[string]string{"reg.example.com": "ann:" + secret, "auth.example.com": "ann:other"},
			realm: "https://auth.example.com/token",
			asked: []string{ping}, err: refusal + `"auth.example.com"` + why},
		"named for the realm alone": {named: map[string]string{"auth.example.com": "ann:" + secret},
			realm: "https://auth.example.com/token",
			asked: []string{"auth.example.com/token", ping, pull + "Bearer anonymous-token"}},
		"named for another": {named: onHub, realm: "https://reg.example.com/token",
			asked: []string{ping, "reg.example.com/token", pull + "Bearer anonymous-token"}},
		"a stranger with Docker Hub's realm": {named: onHub, realm: "https://auth.docker.io/token",
			asked: []string{"auth.docker.io/token", ping, pull + "Bearer anonymous-token"}},

		"Docker Hub": {named: onHub, path: "/v2/app", realm: "https://auth.docker.io/token",
			asked: []string{"auth.docker.io/token " + basicSecret, "index.docker.io/v2/", hubPull + ticket}},
		"Docker Hub elsewhere": {named: onHub, path: "/v2/app", realm: "https://auth.example.com/token",
			asked: []string{"index.docker.io/v2/"},
			err:   "registry index.docker.io gave a bad answer: the realm is at \"auth.example.com\"" + why},
		"Docker Hub in plain http": {named: onHub, path: "/v2/app", realm: "http://auth.docker.io:443/token",
			asked: []string{"index.docker.io/v2/"},
			err:   "registry index.docker.io gave a bad answer: the realm is at \"auth.docker.io:443\"" + why},
	} {
		t.Run(name, func(t *testing.T) {
			hosts, c := newInternet(t, Config{Credentials: logins(t, test.named)},
				"reg.example.com", "auth.example.com", "example.com", "a.reg.example.com",
				"reg.example.com:8443", "reg.example.com.", "index.docker.io", "auth.docker.io")
			for _, w := range hosts {
				w.challenge(`Bearer realm="` + test.realm + `",service="srv"`)
				w.sell("/token")
				w.serveIndex("app")
				w.serveIndex("library/app")
			}
			path := test.path
			if path == "" {
				path = "/v2/reg.example.com/app"
			}
			_, err := c.Manifest(t.Context(), request(t, path+"/manifests/v1"))
			want(t, hosts.saw(), test.asked...)
			if test.err != "" {
				wantError(t, err, 502, "UNAVAILABLE", test.err)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// A name without a port stands for https.
func TestPlace(t *testing.T) {
	for address, want := range map[string]string{
		"https://ghcr.io/":             "ghcr.io",
		"https://GHCR.io:443/":         "ghcr.io",
		"https://registry-1.docker.io": "index.docker.io",
		"https://docker.io":            "index.docker.io",
		"https://reg.example:5000":     "reg.example:5000",
		"http://reg.example:5000":      "reg.example:5000",
		"http://reg.example":           "reg.example:80",
		"http://reg.example:443":       "",
		"http://index.docker.io:443":   "",
		"https://[::1]:5000":           "",
		"https://harbor":               "",
		"http://harbor:5000":           "harbor:5000",
	} {
		if got := place(parse(t, address)); got != want {
			t.Errorf("%s is %q, want %q", address, got, want)
		}
	}
}

// A registry that turns credentials down says so in other words.
func TestCredentialsThatAreDenied(t *testing.T) {
	for name, test := range map[string]struct{ challenge, text string }{
		"by the registry":      {`Basic realm="x"`, "registry reg.example.com denies pulls of reg.example.com/app by this service's credentials"},
		"by the token service": {`Bearer realm="https://reg.example.com/token"`, "registry reg.example.com denies pulls by this service's credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			hosts, c := newInternet(t, Config{Credentials: logins(t, map[string]string{"reg.example.com": "ann:" + secret})}, "reg.example.com")
			hosts["reg.example.com"].challenge(test.challenge)
			hosts["reg.example.com"].serve("/", 401, "")
			_, err := c.Manifest(t.Context(), request(t, "/v2/reg.example.com/app/manifests/v1"))
			var e *Error
			if !errors.As(err, &e) || e.Status != 403 || e.Code != "DENIED" || e.Message != test.text {
				t.Errorf("error is %v", err)
			}
		})
	}
}
