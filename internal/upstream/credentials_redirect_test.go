package upstream

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// A token request that is redirected takes the credentials along on the
// registry's own origin only, and does not go anywhere else.
func TestRedirectedTokenRequest(t *testing.T) {
	for name, test := range map[string]struct {
		to    string
		asked []string
		err   string
	}{
		"same origin": {to: "/sell", asked: []string{"reg.example.com/v2/", "reg.example.com/token " + basicSecret,
			"reg.example.com/sell " + basicSecret, "reg.example.com/v2/app/manifests/v1 " + ticket}},
		"other host": {to: "https://auth.example.com/sell",
			asked: []string{"reg.example.com/v2/", "reg.example.com/token " + basicSecret},
			err:   "registry reg.example.com gave a bad answer: " + errLedAway.Error()},
		"subdomain": {to: "https://a.reg.example.com/sell",
			asked: []string{"reg.example.com/v2/", "reg.example.com/token " + basicSecret},
			err:   "registry reg.example.com gave a bad answer: " + errLedAway.Error()},
		"other port": {to: "https://reg.example.com:8443/sell",
			asked: []string{"reg.example.com/v2/", "reg.example.com/token " + basicSecret},
			err:   "registry reg.example.com gave a bad answer: " + errLedAway.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			hosts, c := newInternet(t, Config{Credentials: logins(t, map[string]string{"reg.example.com": "ann:" + secret})},
				"reg.example.com", "reg.example.com:8443", "auth.example.com", "a.reg.example.com")
			for host, w := range hosts {
				w.sell("/sell")
				if host == "reg.example.com" {
					w.challenge(`Bearer realm="https://reg.example.com/token",service="srv"`)
					w.mux.Handle("/token", http.RedirectHandler(test.to, http.StatusTemporaryRedirect))
					w.serveIndex("app")
				}
			}
			_, err := c.Manifest(t.Context(), request(t, "/v2/reg.example.com/app/manifests/v1"))
			want(t, hosts.saw(), test.asked...)
			if test.err != "" {
				wantError(t, err, 502, "UNAVAILABLE", test.err)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// What a registry redirects to is asked without token and credentials.
func TestRedirectsLeaveCredentialsBehind(t *testing.T) {
	for name, test := range map[string]struct{ challenge, header string }{
		"token":    {`Bearer realm="https://reg.example.com/token",service="srv"`, ticket},
		"password": {`Basic realm="reg"`, basicSecret},
	} {
		t.Run(name, func(t *testing.T) {
			hosts, c := newInternet(t, Config{Credentials: logins(t, map[string]string{"reg.example.com": "ann:" + secret, "other.example.com": "bob:x"})},
				"reg.example.com", "other.example.com", "a.reg.example.com")
			reg := hosts["reg.example.com"]
			reg.challenge(test.challenge)
			reg.sell("/token")
			reg.mux.Handle("/v2/app/manifests/v1", http.RedirectHandler("https://other.example.com/m", http.StatusTemporaryRedirect))
			reg.mux.Handle("/v2/app/manifests/v2", http.RedirectHandler("https://a.reg.example.com/m", http.StatusTemporaryRedirect))
			reg.mux.Handle("/v2/app/tags/list", http.RedirectHandler("https://other.example.com/list", http.StatusTemporaryRedirect))
			reg.mux.Handle("/v2/app/blobs/", http.RedirectHandler("https://other.example.com/blob?signed=1", http.StatusTemporaryRedirect))
			for _, w := range hosts {
				w.serve("/m", 200, "Content-Type: "+indexType+"\n\n"+indexJSON)
				w.serve("/list", 200, "\n\n{}")
				w.serve("/blob", 200, "")
			}
			if _, err := c.authorize(t.Context(), c.registry("reg.example.com"), "app"); err != nil {
				t.Fatal(err)
			}
			hosts.saw()

			asks := func(do func() error, asked ...string) {
				t.Helper()
				if err := do(); err != nil {
					t.Error(err)
				}
				want(t, hosts.saw(), asked...)
			}
			asks(func() error {
				_, err := c.Manifest(t.Context(), request(t, "/v2/reg.example.com/app/manifests/v1"))
				return err
			}, "other.example.com/m", "reg.example.com/v2/app/manifests/v1 "+test.header)
			c.memory = newMemory(1 << 10) // so that the next is GET again
			asks(func() error {
				_, err := c.Manifest(t.Context(), request(t, "/v2/reg.example.com/app/manifests/v2"))
				return err
			}, "a.reg.example.com/m", "reg.example.com/v2/app/manifests/v2 "+test.header)
			asks(func() error {
				_, err := c.Pass(t.Context(), request(t, "/v2/reg.example.com/app/tags/list"), Wish{Method: "GET"})
				return err
			}, "other.example.com/list", "reg.example.com/v2/app/tags/list "+test.header)
			asks(func() error {
				_, err := c.Blob(t.Context(), "HEAD", blob(t, "reg.example.com"), nil)
				return err
			}, "other.example.com/blob", "reg.example.com/v2/app/blobs/"+blobDigest+" "+test.header)
			asks(func() error {
				b, err := c.Blob(t.Context(), "GET", blob(t, "reg.example.com"), nil)
				if err == nil && b.Location != "https://other.example.com/blob?signed=1" {
					t.Errorf("the client is sent to %q", b.Location)
				}
				return err
			}, "reg.example.com/v2/app/blobs/"+blobDigest+" "+test.header)
		})
	}
}

// A trip itself keeps the header on the registry's origin, whoever set it.
func TestTripKeepsAuthorization(t *testing.T) {
	hosts, c := newInternet(t, Config{}, "reg.example.com", "other.example.com")
	for host, header := range map[string]string{"reg.example.com": " " + ticket, "other.example.com": ""} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+host+"/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", ticket)
		if _, err := (&trip{client: c, to: c.registry("reg.example.com")}).RoundTrip(req); err != nil {
			t.Fatal(err)
		}
		want(t, hosts.saw(), host+"/x"+header)
	}
}

// A ping that is redirected may name a realm; it is judged all the same.
func TestPingThatIsLedAway(t *testing.T) {
	for name, test := range map[string]struct {
		challenge string
		asked     []string
		err       string
	}{
		"its own realm": {`Bearer realm="https://other.example.com/token"`, []string{"other.example.com/v2/", "reg.example.com/v2/"},
			`registry reg.example.com gave a bad answer: the realm is at "other.example.com", where this service's credentials for the registry do not go`},
		"password": {`Basic realm="x"`,
			[]string{"other.example.com/v2/", "reg.example.com/v2/", "reg.example.com/v2/app/manifests/v1 " + basicSecret}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			hosts, c := newInternet(t, Config{Credentials: logins(t, map[string]string{"reg.example.com": "ann:" + secret})},
				"reg.example.com", "other.example.com")
			hosts["reg.example.com"].mux.Handle("/v2/{$}", http.RedirectHandler("https://other.example.com/v2/", http.StatusFound))
			hosts["reg.example.com"].serveIndex("app")
			hosts["other.example.com"].challenge(test.challenge)
			_, err := c.Manifest(t.Context(), request(t, "/v2/reg.example.com/app/manifests/v1"))
			want(t, hosts.saw(), test.asked...)
			if test.err != "" {
				wantError(t, err, 502, "UNAVAILABLE", test.err)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// Credentials are for a place. Those for Docker Hub do not go to what Docker
// Hub is mapped to, and those for that place do.
func TestCredentialsOfMappedRegistry(t *testing.T) {
	for name, test := range map[string]struct {
		named map[string]string
		token string
		err   bool
	}{
		"named by the name":   {map[string]string{"index.docker.io": "ann:" + secret}, "reg.example.com/token", false},
		"named by the place":  {map[string]string{"reg.example.com": "ann:" + secret}, "reg.example.com/token " + basicSecret, false},
		"named by both":       {map[string]string{"index.docker.io": "bob:x", "reg.example.com": "ann:" + secret}, "reg.example.com/token " + basicSecret, false},
		"named with the port": {map[string]string{"reg.example.com:8443": "ann:" + secret}, "reg.example.com/token", false},
	} {
		t.Run(name, func(t *testing.T) {
			hosts, c := newInternet(t, Config{Credentials: logins(t, test.named), Mirrors: mapTo(t, "index.docker.io", "https://reg.example.com/hub")},
				"reg.example.com", "index.docker.io", "auth.docker.io")
			hosts["reg.example.com"].challenge(`Bearer realm="https://reg.example.com/token",service="srv"`)
			hosts["reg.example.com"].sell("/token")
			hosts["reg.example.com"].serveIndex("hub/library/app")
			if _, err := c.Manifest(t.Context(), request(t, "/v2/app/manifests/v1")); err != nil {
				t.Error(err)
			}
			header := "Bearer anonymous-token"
			if strings.HasSuffix(test.token, basicSecret) {
				header = ticket
			}
			want(t, hosts.saw(), "reg.example.com/v2/", test.token, "reg.example.com/v2/hub/library/app/manifests/v1 "+header)
		})
	}
}

// Layers of a registry that serves them only for credentials, and serves them
// itself, come through this service.
func TestBlobsWithCredentials(t *testing.T) {
	hosts, c := newInternet(t, Config{Credentials: logins(t, map[string]string{"reg.example.com": "ann:" + secret})}, "reg.example.com")
	reg := hosts["reg.example.com"]
	reg.challenge(`Basic realm="x"`)
	reg.mux.HandleFunc("/v2/app/blobs/", func(rw http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "ann" || password != secret {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = rw.Write([]byte("layer"))
	})
	b, err := c.Blob(t.Context(), "GET", blob(t, "reg.example.com"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Body.Close()
	if text, err := io.ReadAll(b.Body); string(text) != "layer" || err != nil || b.Location != "" {
		t.Errorf("got %q, %v, and the address %q", text, err, b.Location)
	}
	want(t, hosts.saw(), "reg.example.com/v2/", "reg.example.com/v2/app/blobs/"+blobDigest+" "+basicSecret)
	if b, err := c.Blob(t.Context(), "HEAD", blob(t, "reg.example.com"), nil); err != nil || b.Header.Get("Content-Length") != "5" {
		t.Errorf("HEAD: %+v, %v", b, err)
	}
}
