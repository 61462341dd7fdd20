package service

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/config"
)

const dockerConfig = `{"auths":{"ghcr.io":{"auth":"YW5uOnNlY3JldA=="}}}` // ann:secret

// dockerDir returns a directory with a config.json.
func dockerDir(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// configured loads a configuration with the variables, and with Rekor as the log.
func configured(t *testing.T, pairs ...string) config.Config {
	t.Helper()
	env := map[string]string{"TLOG": "rekor"}
	for i := 0; i < len(pairs); i += 2 {
		env[pairs[i]] = pairs[i+1]
	}
	c, err := config.Load(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A file that cannot be used stops the start, with the variable, the file and
// what is wrong, and nothing of what is in it.
func TestBadDockerConfigStopsTheStart(t *testing.T) {
	dir := dockerDir(t, `{"auths":{"ghcr.io":{"auth":"YW5uOnNlY3JldA=="}},"credsStore":"desktop"}`)
	_, err := New(t.Context(), configured(t, "DOCKER_CONFIG", dir), slog.New(slog.DiscardHandler), Options{})
	want := "DOCKER_CONFIG: " + filepath.Join(dir, "config.json") +
		": credsStore names a program, and this service runs none: want auths with user and password"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// One line warns where credentials are for everything, and it holds none.
func TestWarningOfCredentials(t *testing.T) {
	dir := dockerDir(t, dockerConfig)
	for name, test := range map[string]struct {
		env  []string
		want string
	}{
		"none":             {nil, ""},
		"none, and a list": {[]string{"ALLOW", "ghcr.io/acme/*"}, ""},
		"file":             {[]string{"DOCKER_CONFIG", dir}, "dockerConfig=" + dir + "/config.json googleRegistryAuth=false"},
		"Google":           {[]string{"GOOGLE_REGISTRY_AUTH", "true"}, `dockerConfig="" googleRegistryAuth=true`},
		"file and a list":  {[]string{"DOCKER_CONFIG", dir, "ALLOW", "ghcr.io/acme/*"}, ""},
		"both and a list":  {[]string{"DOCKER_CONFIG", dir, "GOOGLE_REGISTRY_AUTH", "true", "ALLOW", "ghcr.io/acme/*"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: withoutTime}))
			s, err := New(t.Context(), configured(t, test.env...), logger, Options{})
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
			if test.want != "" {
				test.want = `level=WARN msg="whoever may call this service may pull all that its credentials may: ALLOW is not set" ` + test.want + "\n"
			}
			if got := log.String(); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if strings.Contains(log.String(), "secret") || strings.Contains(log.String(), "YW5u") {
				t.Error("the log has a secret")
			}
		})
	}
}

func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
