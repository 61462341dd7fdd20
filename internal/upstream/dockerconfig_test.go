package upstream

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestDockerConfig(t *testing.T) {
	annie := map[string]login{"ghcr.io": {"ann", "pass:word"}}
	for name, test := range map[string]struct {
		text string
		want map[string]login
	}{
		"auth":              {`{"auths":{"ghcr.io":{"auth":"` + b64("ann:pass:word") + `"}}}`, annie},
		"auth unpadded":     {`{"auths":{"ghcr.io":{"auth":"` + strings.TrimRight(b64("ann:pass:word"), "=") + `"}}}`, annie},
		"user and password": {`{"auths":{"ghcr.io":{"username":"ann","password":"pass:word"}}}`, annie},
		"address":           {`{"auths":{"https://ghcr.io":{"auth":"` + b64("ann:pass:word") + `"}}}`, annie},
		"address with v2":   {`{"auths":{"https://ghcr.io/v2/":{"auth":"` + b64("ann:pass:word") + `"}}}`, annie},
		"port and capitals": {`{"auths":{"GHCR.io:443":{"auth":"` + b64("ann:pass:word") + `"}}}`, annie},
		"twice the same":    {`{"auths":{"ghcr.io":{"auth":"` + b64("ann:pass:word") + `"},"https://ghcr.io/v1/":{"username":"ann","password":"pass:word"}}}`, annie},
		"other members":     {`{"auths":{"ghcr.io":{"auth":"` + b64("ann:pass:word") + `","email":"x"}},"HttpHeaders":{"A":"b"},"credsStore":"","credHelpers":{},"proxies":{}}`, annie},
		"several": {`{"auths":{"localhost:5000":{"auth":"` + b64("a:b") + `"},"quay.io":{"auth":"` + b64("c:d") + `"}}}`,
			map[string]login{"localhost:5000": {"a", "b"}, "quay.io": {"c", "d"}}},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := parseDockerConfig([]byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(c.logins, test.want) {
				t.Errorf("got %v, want %v", c.logins, test.want)
			}
		})
	}
}

// Every name that Docker Hub goes by is one registry.
func TestDockerConfigOfHub(t *testing.T) {
	for _, key := range []string{
		"https://index.docker.io/v1/", "https://index.docker.io/v1", "index.docker.io", "docker.io", "https://docker.io",
		"registry-1.docker.io", "https://registry-1.docker.io/v2/", "http://index.docker.io/v1/",
	} {
		c, err := parseDockerConfig([]byte(`{"auths":{"` + key + `":{"auth":"` + b64("a:b") + `"}}}`))
		if err != nil || c.String() != "index.docker.io" {
			t.Errorf("%s names %q, %v", key, c, err)
		}
	}
}

func TestBadDockerConfig(t *testing.T) {
	const (
		form   = "not JSON in the form of a Docker config.json"
		want   = "want auth, the base64 of user:password"
		key    = "a key of auths is no registry: want its host, such as ghcr.io, and its port if that is not 443"
		secret = "secret"
	)
	hidden := b64("ann:" + secret)
	for name, test := range map[string]struct{ text, want string }{
		"empty":             {``, form},
		"not JSON":          {`secret`, form},
		"half":              {`{"auths":{"ghcr.io":{"auth":"` + hidden, form},
		"more after":        {`{"auths":{"ghcr.io":{"auth":"` + hidden + `"}}} secret`, form},
		"list":              {`["secret"]`, form},
		"auths a list":      {`{"auths":["secret"]}`, form},
		"auths a text":      {`{"auths":"secret"}`, form},
		"nothing":           {`{}`, "auths names no registry"},
		"null":              {`null`, "auths names no registry"},
		"no auths":          {`{"auths":{}}`, "auths names no registry"},
		"other name":        {`{"auth":{"ghcr.io":{"auth":"` + hidden + `"}}}`, "auths names no registry"},
		"credsStore":        {`{"auths":{"ghcr.io":{}},"credsStore":"secret"}`, "credsStore names a program, and this service runs none: want auths with user and password"},
		"credHelpers":       {`{"credHelpers":{"ghcr.io":"secret"}}`, "credHelpers names programs, and this service runs none: want auths with user and password"},
		"both":              {`{"auths":{"ghcr.io":{"auth":"` + hidden + `"}},"credHelpers":{"secret":"secret"}}`, "credHelpers names programs, and this service runs none: want auths with user and password"},
		"key with password": {`{"auths":{"https://ann:secret@ghcr.io":{"auth":"` + hidden + `"}}}`, key},
		"key empty":         {`{"auths":{"":{"auth":"` + hidden + `"}}}`, key},
		"key no host":       {`{"auths":{"secret":{"auth":"` + hidden + `"}}}`, key},
		"key with line":     {`{"auths":{"ghcr.io\n":{"auth":"` + hidden + `"}}}`, key},
		"key other scheme":  {`{"auths":{"ftp://ghcr.io":{"auth":"` + hidden + `"}}}`, key},
		"key of repository": {`{"auths":{"ghcr.io/secret":{"auth":"` + hidden + `"}}}`, "auths for ghcr.io: the key has a path; credentials are for a whole registry"},
		"key of v1 and more": {`{"auths":{"https://index.docker.io/v1/secret":{"auth":"` + hidden + `"}}}`,
			"auths for index.docker.io: the key has a path; credentials are for a whole registry"},
		"two that differ": {`{"auths":{"docker.io":{"auth":"` + hidden + `"},"https://index.docker.io/v1/":{"auth":"` + b64("a:b") + `"}}}`,
			"auths for index.docker.io: two entries that differ"},
		"identitytoken": {`{"auths":{"a.azurecr.io":{"auth":"` + b64("0:") + `","identitytoken":"secret"}}}`, "auths for a.azurecr.io: identitytoken is not supported: " + want},
		"registrytoken": {`{"auths":{"ghcr.io":{"registrytoken":"secret"}}}`, "auths for ghcr.io: registrytoken is not supported: " + want},
		"empty entry":   {`{"auths":{"ghcr.io":{}}}`, "auths for ghcr.io: " + want},
		"null entry":    {`{"auths":{"ghcr.io":null}}`, "auths for ghcr.io: " + want},
		"entry a text":  {`{"auths":{"ghcr.io":"secret"}}`, "auths for ghcr.io: " + want},
		"auth a number": {`{"auths":{"ghcr.io":{"auth":12345}}}`, "auths for ghcr.io: " + want},
		"not base64":    {`{"auths":{"ghcr.io":{"auth":"secret!"}}}`, "auths for ghcr.io: " + want},
		"no colon":      {`{"auths":{"ghcr.io":{"auth":"` + b64("secret") + `"}}}`, "auths for ghcr.io: " + want},
		"no user":       {`{"auths":{"ghcr.io":{"auth":"` + b64(":secret") + `"}}}`, "auths for ghcr.io: " + want},
		"no password":   {`{"auths":{"ghcr.io":{"auth":"` + b64("secret:") + `"}}}`, "auths for ghcr.io: " + want},
		"colon in user": {`{"auths":{"ghcr.io":{"username":"a:b","password":"secret"}}}`, "auths for ghcr.io: " + want},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseDockerConfig([]byte(test.text))
			if err == nil || err.Error() != test.want {
				t.Fatalf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestReadDockerConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	if _, err := ReadDockerConfig(path); err == nil || err.Error() != "open "+path+": no such file or directory" {
		t.Errorf("without a file: %v", err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"auths":{"quay.io":{"auth":"` + b64("a:b") + `"},"ghcr.io":{"auth":"` + b64("a:secret") + `"}}}`)
	c, err := ReadDockerConfig(path)
	if err != nil || c.String() != "ghcr.io, quay.io" {
		t.Errorf("got %q, %v", c, err)
	}
	write(`{}`)
	if _, err := ReadDockerConfig(path); err == nil || err.Error() != path+": auths names no registry" {
		t.Errorf("without auths: %v", err)
	}
	write(strings.Repeat(" ", maxConfig) + `{}`)
	if _, err := ReadDockerConfig(path); err == nil || err.Error() != path+": longer than 1048576 bytes" {
		t.Errorf("too long: %v", err)
	}
}

func FuzzDockerConfig(f *testing.F) {
	f.Add(`{"auths":{"ghcr.io":{"auth":"YTpi"}}}`)
	f.Add(`{"auths":{"https://index.docker.io/v1/":{"username":"a","password":"b"},"docker.io":{"auth":"YTpi"}}}`)
	f.Add(`{"auths":{"localhost:5000":{"identitytoken":"x"}},"credsStore":"desktop"}`)
	f.Add(`{"AUTHS":{"ghcr.io/a":null},"credHelpers":{"":""}}`)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseDockerConfig([]byte(text))
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("not one line: %q", err)
			}
			return
		}
		if len(c.logins) == 0 {
			t.Error("nothing was read, and that is no error")
		}
		auths := map[string]any{}
		for registry, l := range c.logins {
			if one, err := ociref.Registry(registry); err != nil || one != registry {
				t.Errorf("registry %q is not canonical: %q, %v", registry, one, err)
			}
			if l.user == "" || l.password == "" {
				t.Errorf("%s has %+v", registry, l)
			}
			auths[registry] = map[string]string{"auth": b64(l.user + ":" + l.password)}
		}
		// What was read can be written, and reads the same.
		again, err := json.Marshal(map[string]any{"auths": auths})
		if err != nil {
			t.Fatal(err)
		}
		if d, err := parseDockerConfig(again); err != nil || !maps.Equal(c.logins, d.logins) {
			t.Errorf("%s is read as %v, %v", again, d.logins, err)
		}
	})
}
