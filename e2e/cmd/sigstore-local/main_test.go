package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRun starts the command, uses what it printed, and stops it.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	out, stdout := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"-email", "one@example.com", "-sequence-every", "10ms", "-dir", dir}, stdout, io.Discard)
		stdout.Close()
	}()

	env := map[string]string{}
	for lines := bufio.NewScanner(out); len(env) < 5 && lines.Scan(); {
		assignment, ok := strings.CutPrefix(lines.Text(), "export ")
		if !ok {
			t.Fatalf("line %q is no export", lines.Text())
		}
		name, value, _ := strings.Cut(assignment, "=")
		env[name] = value
	}
	if got, want := env["TRUSTED_ROOT"], filepath.Join(dir, "trusted_root.json"); got != want {
		t.Errorf("TRUSTED_ROOT is %q, want %q", got, want)
	}
	for _, url := range []string{
		env["REKOR_URL"] + "/api/v1/log",
		env["FULCIO_URL"] + "/api/v2/configuration",
		env["IDENTITY_ISSUER"] + "/.well-known/openid-configuration",
		"http://" + env["GCE_METADATA_HOST"] + "/",
	} {
		resp, err := http.Get(url)
		if err != nil {
			t.Error(err)
			continue
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("GET %s: status %d", url, resp.StatusCode)
		}
	}

	stop()
	if err := <-ended; err != nil {
		t.Errorf("run() = %v", err)
	}
	if _, err := os.Stat(env["TRUSTED_ROOT"]); err != nil {
		t.Error(err)
	}
	if _, err := http.Get(env["REKOR_URL"]); err == nil {
		t.Error("Rekor answers after the end")
	}
}

func TestRunRefuses(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"extra"}, `unexpected argument "extra"`},
		{[]string{"-sequence-every", "-1s"}, "sigstore: negative sequencing interval -1s"},
		{[]string{"-nothing"}, "flag provided but not defined: -nothing"},
	} {
		if err := run(t.Context(), tt.args, io.Discard, io.Discard); err == nil || err.Error() != tt.want {
			t.Errorf("run(%q) = %v, want %s", tt.args, err, tt.want)
		}
	}
}

func TestExports(t *testing.T) {
	got := exports([]string{"A=http://127.0.0.1:1/x", "B=", "C=it's here", "D=a=b"})
	want := "export A=http://127.0.0.1:1/x\nexport B=''\nexport C='it'\\''s here'\nexport D=a=b\n"
	if got != want {
		t.Errorf("exports are %q, want %q", got, want)
	}
}
