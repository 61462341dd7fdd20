package upstream

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// metadataServer stands in for Google's metadata server, and returns how often
// it gave out a token. It wins over whatever the machine has.
func metadataServer(t *testing.T) (given *atomic.Int32, down *atomic.Bool) {
	t.Helper()
	given, down = new(atomic.Int32), new(atomic.Bool)
	mux := http.NewServeMux()
	mux.HandleFunc("/computeMetadata/v1/project/project-id", func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(rw, "example-project")
	})
	mux.HandleFunc("/computeMetadata/v1/instance/service-accounts/default/token", func(rw http.ResponseWriter, r *http.Request) {
		if down.Load() {
			http.Error(rw, "no account", http.StatusNotFound)
			return
		}
		if r.Header.Get("Metadata-Flavor") != "Google" {
			t.Error("not a request of a metadata client")
		}
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(rw, `{"access_token":%q,"expires_in":3600,"token_type":"Bearer"}`, secret)
		given.Add(1)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(server.URL, "http://"))
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	t.Setenv("HOME", t.TempDir())
	return given, down
}

func TestGoogle(t *testing.T) {
	given, _ := metadataServer(t)
	google := "Basic " + base64.StdEncoding.EncodeToString([]byte("_token:"+secret))
	const pull = "/v2/p/app/manifests/v1 Bearer "
	for name, test := range map[string]struct {
		host  string
		off   bool
		named map[string]string
		asked []string
	}{
		"Artifact Registry": {host: "us-docker.pkg.dev", asked: []string{"/token " + google, pull + "google-token"}},
		"another region":    {host: "europe-west1-docker.pkg.dev", asked: []string{"/token " + google, pull + "google-token"}},
		"not asked for":     {host: "us-docker.pkg.dev", off: true, asked: []string{"/token", pull + "anonymous-token"}},
		"others named":      {host: "us-docker.pkg.dev", off: true, named: map[string]string{"ghcr.io": "ann:x"}, asked: []string{"/token", pull + "anonymous-token"}},
		"named":             {host: "us-docker.pkg.dev", named: map[string]string{"us-docker.pkg.dev": "ann:" + secret}, asked: []string{"/token " + basicSecret, pull + "bought-token"}},
		"another port":      {host: "us-docker.pkg.dev:8443", asked: []string{"/token", pull + "anonymous-token"}},
		"gcr.io":            {host: "gcr.io", asked: []string{"/token", pull + "anonymous-token"}},
		"google.com":        {host: "registry.google.com", asked: []string{"/token", pull + "anonymous-token"}},
		"looks like it":     {host: "us-docker.pkg.dev.example.com", asked: []string{"/token", pull + "anonymous-token"}},
		"ends like it":      {host: "evilpkg.dev", asked: []string{"/token", pull + "anonymous-token"}},
		"Docker Hub":        {host: "index.docker.io", asked: []string{"/token", pull + "anonymous-token"}},
	} {
		t.Run(name, func(t *testing.T) {
			hosts, c := newInternet(t, Config{Google: !test.off, Credentials: logins(t, test.named)}, test.host)
			w := hosts[test.host]
			w.challenge(`Bearer realm="https://` + test.host + `/token",service="srv"`)
			w.mux.HandleFunc("/token", func(rw http.ResponseWriter, r *http.Request) {
				kind := map[string]string{google: "google", basicSecret: "bought", "": "anonymous"}[r.Header.Get("Authorization")]
				fmt.Fprintf(rw, `{"token":%q}`, kind+"-token")
			})
			w.serveIndex("p/app")
			before := given.Load()
			if _, err := c.Manifest(t.Context(), request(t, "/v2/"+test.host+"/p/app/manifests/v1")); err != nil {
				t.Fatal(err)
			}
			asked := []string{test.host + "/v2/"}
			for _, a := range test.asked {
				asked = append(asked, test.host+a)
			}
			want(t, hosts.saw(), asked...)
			if used := strings.Contains(test.asked[0], google); (given.Load() > before) != used {
				t.Errorf("Google's credentials were fetched: %v, want %v", !used, used)
			}
		})
	}
}

// Where Google gives no credentials the registry is not asked without, and they
// are looked for again. No program is run to get them.
func TestGoogleThatGivesNone(t *testing.T) {
	given, down := metadataServer(t)
	dir := t.TempDir()
	ran := filepath.Join(dir, "ran")
	if err := os.WriteFile(filepath.Join(dir, "gcloud"), []byte("#!/bin/sh\necho >'"+ran+"'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	hosts, c := newInternet(t, Config{Google: true}, "us-docker.pkg.dev")
	w := hosts["us-docker.pkg.dev"]
	w.challenge(`Bearer realm="https://us-docker.pkg.dev/token",service="srv"`)
	w.serve("/token", 200, "\n\n"+`{"token":"t"}`)
	w.serveIndex("p/app")
	down.Store(true)
	_, err := c.Manifest(t.Context(), request(t, "/v2/us-docker.pkg.dev/p/app/manifests/v1"))
	var e *Error
	if !errors.As(err, &e) || e.Status != 503 || e.Code != "UNAVAILABLE" ||
		e.Message != "this service's credentials for registry us-docker.pkg.dev cannot be had" || strings.Contains(err.Error(), "\n") {
		t.Errorf("error is %v", err)
	}
	want(t, hosts.saw(), "us-docker.pkg.dev/v2/")
	if _, err := os.Stat(ran); err == nil {
		t.Error("gcloud was run")
	}
	down.Store(false)
	w.serveIndex("p/other")
	for _, repo := range []string{"app", "other"} { // each has a token of the registry's
		if _, err := c.Manifest(t.Context(), request(t, "/v2/us-docker.pkg.dev/p/"+repo+"/manifests/v1")); err != nil {
			t.Error(err)
		}
	}
	if n := given.Load(); n != 1 {
		t.Errorf("%d tokens of Google's, want one for both", n)
	}
}

// A metadata server that does not answer holds no pull for longer than a pull
// may take, and no call for a token: however many there are, they share one
// request to it, which ends by itself.
func TestGoogleThatIsSilent(t *testing.T) {
	for _, scheme := range []string{"Bearer", "Basic"} {
		t.Run(scheme, func(t *testing.T) {
			hosts, c := newInternet(t, Config{Google: true, Timeout: 100 * time.Millisecond}, "us-docker.pkg.dev")
			hosts["us-docker.pkg.dev"].challenge(scheme + ` realm="https://us-docker.pkg.dev/token",service="srv"`)
			asked, silent := make(chan struct{}, 100), make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				asked <- struct{}{}
				<-silent
			}))
			t.Cleanup(server.Close)
			end := sync.OnceFunc(func() { close(silent) })
			t.Cleanup(end)
			t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(server.URL, "http://"))
			t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
			t.Setenv("HOME", t.TempDir())
			late := time.AfterFunc(4*time.Second, end) // the metadata client tries again after five, for a minute
			errs := make(chan error)
			const pulls = 4
			for i := range pulls {
				r := request(t, fmt.Sprintf("/v2/us-docker.pkg.dev/p/app%d/manifests/v1", i))
				go func() {
					_, err := c.Manifest(t.Context(), r)
					errs <- err
				}()
			}
			for range pulls {
				var e *Error
				if err := <-errs; !errors.As(err, &e) || e.Status != 504 {
					t.Errorf("error is %v, want one with status 504", err)
				}
			}
			c.Close()
			if !late.Stop() {
				t.Error("calls went on for as long as the metadata server was silent")
			}
			if n := len(asked); n != 1 {
				t.Errorf("the metadata server was asked %d times at once, want 1", n)
			}
		})
	}
}
