package main

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/config"
	"github.com/tlogistry/tlogistry/internal/embedded"
	"github.com/tlogistry/tlogistry/internal/service"
	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// running starts the front with the log in TLOG_DIR, and returns its address.
func running(t *testing.T) string {
	t.Helper()
	c, err := config.Load(os.Getenv)
	check(t, err)
	s, err := service.New(t.Context(), c, slog.New(slog.DiscardHandler), service.Options{Local: embedded.Open})
	check(t, err)
	server := httptest.NewServer(s.Handler)
	t.Cleanup(func() {
		server.Close()
		s.Close()
	})
	return server.URL
}

// pull pulls a tag through the front and returns the status.
func pull(t *testing.T, front, repo, tag string) int {
	t.Helper()
	resp, err := http.Get(front + "/v2/" + repo + "/manifests/" + tag)
	check(t, err)
	check(t, resp.Body.Close())
	http.DefaultClient.CloseIdleConnections()
	return resp.StatusCode
}

// A log may be named in every way while a service has it in use.
func TestLogInUse(t *testing.T) {
	r, _ := verifySample(t)
	dir := os.Getenv("TLOG_DIR")
	front := running(t)
	if _, err := tilelog.Open(t.Context(), tilelog.Config{Dir: dir}); !errors.Is(err, tilelog.ErrLocked) {
		t.Fatalf("the log is not in use: %v", err)
	}
	check(t, os.Unsetenv("TLOG_DIR"))
	r.push(t, "library/later:1", "a")
	if status := pull(t, front, "later", "1"); status != 200 {
		t.Fatalf("status %d", status)
	}
	if status := pull(t, front, "moved", "1"); status != 403 {
		t.Fatalf("status %d", status)
	}
	const want = hub + "same:1: same\n" + hub + "moved:1: moved\n" + hub + "new:1: never recorded\n" + hub + "later:1: same"
	refs := []string{"-o", "json", "same:1", "moved:1", "new:1", "later:1"}
	for _, test := range []struct {
		name string
		env  string
		args []string
	}{
		{"TLOG_DIR", dir, nil},
		{"TLOG_DIR and key", dir, []string{"--key", signerVkey}},
		{"directory", "", []string{"--tlog", dir, "--key", signerVkey}},
		{"log of a directory", "", []string{"--tlog", filepath.Join(dir, "log"), "--key", signerVkey}},
		{"address", "", []string{"--tlog", front + "/tlog/", "--key", signerVkey}},
		{"address without a slash", "", []string{"--tlog", front + "/tlog", "--key", signerVkey}},
		{"address before TLOG_DIR", "/nowhere", []string{"--tlog", front + "/tlog/", "--key", signerVkey}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.env != "" {
				t.Setenv("TLOG_DIR", test.env)
			}
			// Neither the directory nor a place for one matters where the log is named.
			t.Setenv("HOME", "")
			got := command(t, append(append([]string{"verify"}, test.args...), refs...)...)
			if text := brief(t, got); got.status != 1 || got.stderr != "" || text != want {
				t.Errorf("status %d, stderr %q, got\n%s\nwant\n%s", got.status, got.stderr, text, want)
			}
			audited := command(t, append([]string{"audit"}, test.args...)...)
			if audited.status != 1 || audited.stderr != "" || !strings.Contains(audited.out, "\nentries                         8\n") {
				t.Errorf("audit: %+v", audited)
			}
		})
	}
}

// What keeps the log from being read, of verify and of audit.
func TestLogNotRead(t *testing.T) {
	dir := newLog(t, signerKey, entry(t, "same:1", "a", 0))
	none := t.TempDir()
	gone := httptest.NewServer(http.NotFoundHandler())
	defer gone.Close()
	closed := httptest.NewServer(nil)
	closed.Close()
	noKey := filepath.Join(t.TempDir(), "log")
	bad := t.TempDir()
	write(t, filepath.Join(bad, "key"), "x")
	named := func(dir string) string {
		return "no log is named, and TLOG_DIR=" + dir + " has none: set --identity, of records in Rekor, or --tlog and --key"
	}
	wrong := "not a checkpoint of tlogistry.local/test by the key 4e7d6db7: failed to verify signatures on checkpoint: note has no verifiable signatures"
	for _, test := range []struct {
		name  string
		env   string // TLOG_DIR
		args  string
		want  string
		audit int // exit status
	}{
		{"no log", none, "", named(none), 3},
		{"no directory", none + "/no", "", named(none + "/no"), 3},
		{"a key that is none", bad, "", "TLOG_DIR: " + bad + "/key: damaged log: not a private key of a note", 1},
		{"no log, but a key", noKey, "--key " + signerVkey, "read the checkpoint: stat " + noKey + "/checkpoint: no such file or directory", 3},
		{"no key", "", "--tlog " + dir, "--tlog needs --key, the log's verifier key: one that came with the log proves nothing", 3},
		{"no key for an address", "", "--tlog " + gone.URL, "--tlog needs --key, the log's verifier key: one that came with the log proves nothing", 3},
		{"no verifier key", "", "--tlog " + dir + " --key zzz", `verifier key "zzz": malformed verifier id`, 3},
		{"a private key", "", "--tlog " + dir + " --key " + "PRIVATE", `verifier key "PRIVATE": malformed verifier id`, 3},
		{"wrong key", "", "--tlog " + dir + " --key " + otherVkey, wrong, 3},
		{"wrong key for TLOG_DIR", dir, "--key " + otherVkey, wrong, 3},
		{"no log at the address", "", "--tlog " + gone.URL + "/tlog/ --key " + signerVkey, `read the checkpoint: get("` + gone.URL + `/tlog/checkpoint"): file does not exist`, 3},
		{"not an address", "", "--tlog http:// --key " + signerVkey, `address "http://": want one such as https://host/tlog/`, 3},
		{"nothing listens", "", "--tlog " + closed.URL + " --key " + signerVkey, "read the checkpoint: " +
			`get("` + closed.URL + `/checkpoint"): Get "` + closed.URL + `/checkpoint": dial tcp ` + strings.TrimPrefix(closed.URL, "http://") + ": connect: connection refused", 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("TLOG_DIR", test.env)
			flags := strings.Fields(test.args)
			command(t, append([]string{"verify", "same:1"}, flags...)...).fails(t, 3, test.want)
			command(t, append([]string{"audit"}, flags...)...).fails(t, test.audit, test.want)
		})
	}
}

// Which log flags and environment choose. Nothing answers for Rekor, so its
// address in the error shows that it was asked.
func TestChoice(t *testing.T) {
	dir := newLog(t, signerKey)
	const (
		local = "local"
		rekor = "rekor"
	)
	for _, test := range []struct {
		name string
		env  string
		args string
		want string
	}{
		{"nothing", "", "", local},
		{"REKOR_URL", "REKOR_URL=http://127.0.0.1:1", "", rekor},
		{"K_SERVICE", "K_SERVICE=x REKOR_URL=http://127.0.0.1:1", "", rekor},
		{"TLOG=local before REKOR_URL", "TLOG=local REKOR_URL=http://127.0.0.1:1", "", local},
		{"TLOG=rekor", "TLOG=rekor REKOR_URL=http://127.0.0.1:1", "", rekor},
		{"--rekor", "", "--rekor http://127.0.0.1:1", rekor},
		{"--rekor before TLOG=local", "TLOG=local", "--rekor http://127.0.0.1:1", rekor},
		{"--rekor before REKOR_URL", "REKOR_URL=http://127.0.0.1:2", "--rekor http://127.0.0.1:1", rekor},
		{"--identity before TLOG=local", "TLOG=local REKOR_URL=http://127.0.0.1:1", "--identity b@example.com", rekor},
		{"--issuer before TLOG=local", "TLOG=local REKOR_URL=http://127.0.0.1:1", "--issuer https://accounts.example", rekor},
		{"--tlog before REKOR_URL", "REKOR_URL=http://127.0.0.1:1", "--tlog " + dir + " --key " + signerVkey, local},
		{"--tlog before TLOG=rekor", "TLOG=rekor", "--tlog " + dir + " --key " + signerVkey, local},
		{"--tlog before K_SERVICE", "K_SERVICE=x", "--tlog " + dir + " --key " + signerVkey, local},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "trusted_root.json")
			write(t, root, trustedRoot)
			t.Setenv("TLOG_DIR", dir)
			t.Setenv("TRUSTED_ROOT", root)
			t.Setenv("IDENTITY", "a@example.com")
			t.Setenv("REKOR_TIMEOUT", "1s")
			for _, pair := range strings.Fields(test.env) {
				name, value, _ := strings.Cut(pair, "=")
				t.Setenv(name, value)
			}
			r := command(t, append([]string{"audit"}, strings.Fields(test.args)...)...)
			switch test.want {
			case local:
				if r.status != 0 || r.stderr != "" || !strings.HasPrefix(r.out, "log                             "+origin+"\n") {
					t.Errorf("%+v", r)
				}
			case rekor:
				checkUnreached(t, r)
			}
		})
	}
}

// checkUnreached checks that Rekor was asked at 127.0.0.1:1 and did not answer.
func checkUnreached(t *testing.T, r result) {
	t.Helper()
	if r.status != 3 || r.out != "" || strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, "127.0.0.1:1: connect: connection refused") {
		t.Errorf("%+v", r)
	}
}
