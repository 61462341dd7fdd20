package e2e

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/e2e/clients"
	"github.com/tlogistry/tlogistry/e2e/registry"
	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

const (
	user     = "ann"
	password = "correct-horse-battery"
)

var coded = base64.StdEncoding.EncodeToString([]byte(user + ":" + password))

// dockerConfig returns a directory with a config.json, for DOCKER_CONFIG.
func dockerConfig(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestCredentials pulls from a registry that lets one user pull, in both ways
// that registries ask for a password.
func TestCredentials(t *testing.T) {
	s := startSigstore(t, sigstore.Options{})
	all := clients.All(t)
	for name, o := range map[string]registry.Options{
		"token, blobs redirected":    {Token: true, Redirect: true, User: user, Password: password},
		"token, blobs streamed":      {Token: true, User: user, Password: password},
		"password, blobs streamed":   {User: user, Password: password},
		"password, blobs redirected": {Redirect: true, User: user, Password: password},
	} {
		t.Run(name, func(t *testing.T) {
			private := startRegistry(t, o)
			public := startRegistry(t, registry.Options{Token: true})
			repo := "acme/" + strings.NewReplacer(" ", "-", ",", "").Replace(name)
			one := push(t, private, repo, "v1", registry.Variant{Name: "one of " + name})
			two := push(t, private, repo, "v2", registry.Variant{Name: "two of " + name})
			open := push(t, public, repo, "v1", registry.Variant{Name: "open"})
			blob := firstBlob(t, private, repo, "v1")
			env := append(s.Env(), "UPSTREAMS="+private.Upstreams("docker.io")+","+public.Upstreams("ghcr.io"))

			without := start(t, env...)
			denied := without.get(t, repo, "v1")
			denied.mustStatus(t, http.StatusForbidden)
			if code, message := denied.ociError(t); code != "DENIED" || !strings.Contains(message, "registry index.docker.io denies anonymous pulls") {
				t.Errorf("without credentials: %s %s", code, message)
			}
			without.stop(t)

			with := append(env, "DOCKER_CONFIG="+dockerConfig(t, fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, private.Host(), coded)))
			svc := start(t, with...)
			private.Reset()
			answers := []answer{denied, svc.get(t, repo, "v1"), svc.get(t, repo, "v1"), svc.do(t, "GET", "/v2/"+repo+"/blobs/"+blob)}
			answers[1].mustServe(t, one)
			answers[2].mustServe(t, one)
			if answers[1].header.Get("Tlog-First-Seen") != "true" || answers[2].header.Get("Tlog-First-Seen") != "" {
				t.Error("what was denied without credentials was recorded, or the first pull with them was not")
			}
			blobStatus := http.StatusOK
			if o.Redirect {
				blobStatus = http.StatusTemporaryRedirect
			}
			answers[3].mustStatus(t, blobStatus)
			t.Run("pulls", func(t *testing.T) { // ends with all of them
				for _, c := range all {
					t.Run(c.Name(), func(t *testing.T) {
						t.Parallel()
						pull(t, c, svc.host+"/"+repo+":v1", one)
					})
				}
			})
			move(t, private, repo, "v1", two)
			answers = append(answers, svc.get(t, repo, "v1"), svc.get(t, repo, "missing"), svc.get(t, "ghcr.io/"+repo, "v1"))
			answers[4].mustStatus(t, http.StatusForbidden)
			answers[5].mustStatus(t, http.StatusNotFound)
			answers[6].mustServe(t, open)

			if end := cli(t, with, "verify", repo+":v1"); end.status != 1 || !strings.Contains(end.out, two) {
				t.Errorf("verify with credentials: status %d, %s%s", end.status, end.out, end.stderr)
			}
			if end := cli(t, env, "verify", repo+":v1"); end.status != 3 || !strings.Contains(end.out, "denies anonymous pulls") {
				t.Errorf("verify without credentials: status %d, %s%s", end.status, end.out, end.stderr)
			}
			passwordStays(t, private, public, o.Token)
			for _, a := range append(answers, answer{body: svc.logs.String()}, answer{body: without.logs.String()}) {
				text := fmt.Sprint(a.header, a.body)
				for _, secret := range []string{password, coded, "Bearer "} {
					if strings.Contains(text, secret) {
						t.Errorf("%q is in %s", secret, text)
					}
				}
			}
		})
	}
}

// passwordStays checks that a password went to the registry that it is for, and
// there to the token service alone if there is one.
func passwordStays(t *testing.T, private, public *registry.Registry, token bool) {
	t.Helper()
	told := 0
	for _, r := range private.Requests() {
		path, _, _ := strings.Cut(r.URI, "?")
		switch header := r.Header.Get("Authorization"); {
		case header == "Basic "+coded && r.Host == private.Host() && (path == "/token") == token:
			told++
		case strings.HasPrefix(header, "Basic "), header != "" && r.Host != private.Host():
			t.Errorf("%s %s%s has the header %s", r.Method, r.Host, r.URI, header)
		}
	}
	if told == 0 {
		t.Error("the registry was told no password")
	}
	for _, r := range public.Requests() {
		if strings.HasPrefix(r.Header.Get("Authorization"), "Basic ") {
			t.Errorf("another registry was told a password: %s", r.URI)
		}
	}
}

// TestBadCredentials: a file that names a program stops the start.
func TestBadCredentials(t *testing.T) {
	dir := dockerConfig(t, `{"auths":{"ghcr.io":{"auth":"`+coded+`"}},"credHelpers":{"ghcr.io":"helper"}}`)
	end := cli(t, []string{"PORT=" + freePort(t), "DOCKER_CONFIG=" + dir}, "serve")
	want := "tlogistry: DOCKER_CONFIG: " + filepath.Join(dir, "config.json") +
		": credHelpers names programs, and this service runs none: want auths with user and password\n"
	if end.status != 1 || !strings.HasSuffix(end.stderr, "\n"+want) || strings.Contains(end.stderr, coded) {
		t.Errorf("status %d, stderr %s\nwant at its end %s", end.status, end.stderr, want)
	}
}
