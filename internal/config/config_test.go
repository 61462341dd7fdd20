package config_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/internal/config"
	"github.com/tlogistry/tlogistry/internal/ociref"
)

// env returns a getenv that knows only these variables, given as name, value,
// name, value and so on. HOME is set unless it is among them.
func env(pairs ...string) func(string) string {
	m := map[string]string{"HOME": "/home/someone"}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(name string) string { return m[name] }
}

func load(t *testing.T, pairs ...string) config.Config {
	t.Helper()
	c, err := config.Load(env(pairs...))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestDefaults(t *testing.T) {
	want := config.Config{
		Port:            "8080",
		Host:            "127.0.0.1",
		Log:             "local",
		RekorURL:        mustURL(t, "https://rekor.sigstore.dev"),
		FulcioURL:       mustURL(t, "https://fulcio.sigstore.dev"),
		RekorTimeout:    time.Minute,
		FulcioTimeout:   time.Minute,
		RekorSettle:     250 * time.Millisecond,
		Audience:        "sigstore",
		IdentityIssuer:  "https://accounts.google.com",
		LogDir:          "/home/someone/.local/share/tlogistry",
		Upstreams:       map[string]*url.URL{},
		UpstreamTimeout: 30 * time.Second,
	}
	if got := load(t); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// Every variable that takes any text, with the field that it ends up in.
func TestValues(t *testing.T) {
	file := "config.go"
	tests := []struct {
		name, value string
		got         func(config.Config) any
		want        any
	}{
		{"PORT", "1", func(c config.Config) any { return c.Port }, "1"},
		{"PORT", "65535", func(c config.Config) any { return c.Port }, "65535"},
		{"HOST", "0.0.0.0", func(c config.Config) any { return c.Host }, "0.0.0.0"},
		{"HOST", "::1", func(c config.Config) any { return c.Host }, "::1"},
		{"HOST", "localhost", func(c config.Config) any { return c.Host }, "localhost"},
		{"LOCAL_ONLY", "true", func(c config.Config) any { return c.Host }, "127.0.0.1"},
		{"LOCAL_ONLY", "false", func(c config.Config) any { return c.Host }, "127.0.0.1"},
		{"TLOG", "rekor", func(c config.Config) any { return c.Log }, config.Rekor},
		{"TLOG", "local", func(c config.Config) any { return c.Log }, config.Local},
		{"REKOR_URL", "http://localhost:3000", func(c config.Config) any { return c.RekorURL.String() }, "http://localhost:3000"},
		{"REKOR_URL", "https://log.example/rekor//", func(c config.Config) any { return c.RekorURL.String() }, "https://log.example/rekor"},
		{"REKOR_URL", "https://log.example/", func(c config.Config) any { return c.RekorURL.String() }, "https://log.example"},
		{"REKOR_URL", "https://[::1]:3000", func(c config.Config) any { return c.RekorURL.String() }, "https://[::1]:3000"},
		{"FULCIO_URL", "http://localhost:5555", func(c config.Config) any { return c.FulcioURL.String() }, "http://localhost:5555"},
		{"REKOR_TIMEOUT", "1ns", func(c config.Config) any { return c.RekorTimeout }, time.Nanosecond},
		{"FULCIO_TIMEOUT", "2m30s", func(c config.Config) any { return c.FulcioTimeout }, 150 * time.Second},
		{"REKOR_SETTLE", "0", func(c config.Config) any { return c.RekorSettle }, time.Duration(0)},
		{"REKOR_SETTLE", "1s", func(c config.Config) any { return c.RekorSettle }, time.Second},
		{"AUDIENCE", "other", func(c config.Config) any { return c.Audience }, "other"},
		{"TRUSTED_ROOT", file, func(c config.Config) any { return c.TrustedRoot }, file},
		{"TUF_ROOT", file, func(c config.Config) any { return c.TUFRoot }, file},
		{"IDENTITY", "a@b.example", func(c config.Config) any { return c.Identity }, "a@b.example"},
		{"IDENTITY_ISSUER", "https://issuer.example", func(c config.Config) any { return c.IdentityIssuer }, "https://issuer.example"},
		{"TLOG_DIR", "/var/log of tags", func(c config.Config) any { return c.LogDir }, "/var/log of tags"},
		{"XDG_DATA_HOME", "/data", func(c config.Config) any { return c.LogDir }, "/data/tlogistry"},
		{"GOOGLE_REGISTRY_AUTH", "true", func(c config.Config) any { return c.GoogleRegistryAuth }, true},
		{"GOOGLE_REGISTRY_AUTH", "false", func(c config.Config) any { return c.GoogleRegistryAuth }, false},
		{"REQUESTS_PER_MINUTE", "600", func(c config.Config) any { return c.RequestsPerMinute }, 600},
		{"REQUESTS_PER_MINUTE", "0", func(c config.Config) any { return c.RequestsPerMinute }, 0},
		{"NEW_RECORDS_PER_MINUTE", "1000000", func(c config.Config) any { return c.NewRecordsPerMinute }, 1000000},
		{"TRUSTED_HOPS", "2", func(c config.Config) any { return c.TrustedHops }, 2},
		{"UPSTREAM_TIMEOUT", "1m", func(c config.Config) any { return c.UpstreamTimeout }, time.Minute},
		{"K_SERVICE", "tlogistry", func(c config.Config) any { return c.CloudRun }, true},
		{"K_SERVICE", "", func(c config.Config) any { return c.CloudRun }, false},
	}
	for _, test := range tests {
		t.Run(test.name+"="+test.value, func(t *testing.T) {
			if got := test.got(load(t, test.name, test.value)); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestWhichLog(t *testing.T) {
	tests := []struct {
		name string
		env  []string
		want string
	}{
		{"nothing", nil, config.Local},
		{"Cloud Run", []string{"K_SERVICE", "tlogistry"}, config.Rekor},
		{"metadata server", []string{"GCE_METADATA_HOST", "localhost:80"}, config.Rekor},
		{"a Rekor", []string{"REKOR_URL", "http://localhost:3000"}, config.Rekor},
		{"a Fulcio alone", []string{"FULCIO_URL", "http://localhost:5555"}, config.Local},
		{"an identity alone", []string{"IDENTITY", "a@b.example"}, config.Local},
		{"local on Cloud Run", []string{"K_SERVICE", "tlogistry", "TLOG", "local"}, config.Local},
		{"local in spite of a Rekor", []string{"REKOR_URL", "http://localhost:3000", "TLOG", "local"}, config.Local},
		{"rekor with nothing else", []string{"TLOG", "rekor"}, config.Rekor},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := load(t, test.env...).Log; got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestWhichHost(t *testing.T) {
	tests := []struct {
		name string
		env  []string
		want string
	}{
		{"nothing", nil, "127.0.0.1"},
		{"Cloud Run", []string{"K_SERVICE", "tlogistry"}, ""},
		{"named on Cloud Run", []string{"K_SERVICE", "tlogistry", "HOST", "10.0.0.1"}, "10.0.0.1"},
		{"local only on Cloud Run", []string{"K_SERVICE", "tlogistry", "LOCAL_ONLY", "true"}, "127.0.0.1"},
		{"local only before a name", []string{"HOST", "0.0.0.0", "LOCAL_ONLY", "true"}, "127.0.0.1"},
		{"not local only", []string{"HOST", "0.0.0.0", "LOCAL_ONLY", "false"}, "0.0.0.0"},
		{"not local only on Cloud Run", []string{"K_SERVICE", "tlogistry", "LOCAL_ONLY", "false"}, ""},
		{"a metadata server is not Cloud Run", []string{"GCE_METADATA_HOST", "localhost:80"}, "127.0.0.1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := load(t, test.env...).Host; got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// Defaults that depend on where it runs.
func TestLimits(t *testing.T) {
	for _, test := range []struct {
		name          string
		env           []string
		records, hops int
	}{
		{"own log", nil, 0, 0},
		{"own log, limited", []string{"NEW_RECORDS_PER_MINUTE", "5"}, 5, 0},
		{"Cloud Run", []string{"K_SERVICE", "tlogistry"}, 60, 1},
		{"Cloud Run behind a balancer", []string{"K_SERVICE", "tlogistry", "TRUSTED_HOPS", "2"}, 60, 2},
		{"Cloud Run, nobody trusted", []string{"K_SERVICE", "tlogistry", "TRUSTED_HOPS", "0"}, 60, 0},
		{"own log on Cloud Run", []string{"K_SERVICE", "tlogistry", "TLOG", "local"}, 0, 1},
		{"a Rekor", []string{"REKOR_URL", "http://localhost:3000"}, 60, 0},
		{"a Rekor, not limited", []string{"REKOR_URL", "http://localhost:3000", "NEW_RECORDS_PER_MINUTE", "0"}, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := load(t, test.env...)
			if c.NewRecordsPerMinute != test.records || c.TrustedHops != test.hops || c.RequestsPerMinute != 0 {
				t.Errorf("got %d new records, %d hops, %d requests; want %d, %d and 0",
					c.NewRecordsPerMinute, c.TrustedHops, c.RequestsPerMinute, test.records, test.hops)
			}
		})
	}
}

func TestLogDir(t *testing.T) {
	tests := []struct {
		name string
		env  []string
		want string
	}{
		{"home", nil, "/home/someone/.local/share/tlogistry"},
		{"data home first", []string{"XDG_DATA_HOME", "/data"}, "/data/tlogistry"},
		{"named first of all", []string{"XDG_DATA_HOME", "/data", "TLOG_DIR", "/log"}, "/log"},
		{"data home without home", []string{"HOME", "", "XDG_DATA_HOME", "/data"}, "/data/tlogistry"},
		{"no home, not needed", []string{"HOME", "", "TLOG", "rekor"}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := load(t, test.env...).LogDir; got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	t.Run("no home", func(t *testing.T) {
		_, err := config.Load(env("HOME", ""))
		if want := `TLOG_DIR="": want a directory, as neither XDG_DATA_HOME nor HOME is set`; err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	})
}

func TestTUF(t *testing.T) {
	_, err := config.Load(env("TUF_URL", "https://tuf.example"))
	if want := `TUF_ROOT="": want the path of the initial root.json of TUF_URL`; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	c := load(t, "TUF_URL", "https://tuf.example/repo/", "TUF_ROOT", "config.go")
	if c.TUFURL != "https://tuf.example/repo" || c.TUFRoot != "config.go" {
		t.Errorf("got %q with root %q", c.TUFURL, c.TUFRoot)
	}
}

func TestUpstreams(t *testing.T) {
	got := load(t, "UPSTREAMS", " docker.io=http://localhost:5000/ ,, ghcr.io:443=https://mirror.example/ghcr,\n"+
		"localhost:5000=http://[::1]:5000,quay.io=http://a=b.example").Upstreams
	want := map[string]string{
		"index.docker.io": "http://localhost:5000",
		"ghcr.io":         "https://mirror.example/ghcr",
		"localhost:5000":  "http://[::1]:5000",
		"quay.io":         "http://a=b.example",
	}
	if len(got) != len(want) {
		t.Errorf("got %d registries, want %d: %v", len(got), len(want), got)
	}
	for registry, base := range want {
		if u := got[registry]; u == nil || u.String() != base {
			t.Errorf("%s is at %v, want %s", registry, u, base)
		}
	}
	if got := load(t, "UPSTREAMS", " , ").Upstreams; len(got) != 0 {
		t.Errorf("of nothing came %v", got)
	}
}

func TestDockerConfig(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.json")
	bad := fmt.Sprintf("DOCKER_CONFIG=%q: want a directory with a config.json that can be read", dir)
	if _, err := config.Load(env("DOCKER_CONFIG", dir)); err == nil || err.Error() != bad {
		t.Errorf("without a file: %v", err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(env("DOCKER_CONFIG", dir)); err == nil || err.Error() != bad {
		t.Errorf("with a directory in its place: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := load(t, "DOCKER_CONFIG", dir).DockerConfig; got != path {
		t.Errorf("got %q, want %q", got, path)
	}
	if _, err := config.Load(env("DOCKER_CONFIG", path)); err == nil {
		t.Error("the file itself is taken for the directory")
	}
}

func TestAllow(t *testing.T) {
	if got := load(t).Allow; got != nil {
		t.Errorf("unset gives %v, want nil: every repository", got)
	}
	got := load(t, "ALLOW", " docker.io/library/*, ghcr.io/acme/** ,").Allow
	if len(got) != 2 {
		t.Fatalf("got %d patterns, want 2", len(got))
	}
	for _, test := range []struct {
		ref  string
		want [2]bool
	}{
		{"alpine", [2]bool{true, false}},
		{"ghcr.io/acme/a/b", [2]bool{false, true}},
		{"quay.io/acme/a", [2]bool{false, false}},
	} {
		r, err := ociref.ParseReference(test.ref)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range got {
			if p.Match(r.Repo) != test.want[i] {
				t.Errorf("pattern %d, %s: %t, want %t", i, test.ref, !test.want[i], test.want[i])
			}
		}
	}
}
