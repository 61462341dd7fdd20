package main

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"k8s.io/klog/v2"
)

// runMain makes the test binary the command itself.
const runMain = "TLOGISTRY_TEST_RUN_MAIN"

// variables are all that the command reads from its environment.
var variables = []string{
	"ALLOW", "AUDIENCE", "FULCIO_TIMEOUT", "FULCIO_URL", "FUNCTION_TARGET", "GCE_METADATA_HOST", "GOOGLE_CLOUD_PROJECT", "HOST", "IDENTITY",
	"IDENTITY_ISSUER", "K_SERVICE", "LOCAL_ONLY", "LOG_FORMAT", "NEW_RECORDS_PER_MINUTE", "PORT", "REKOR_SETTLE", "REKOR_TIMEOUT",
	"REKOR_URL", "REQUESTS_PER_MINUTE", "TLOG", "TLOG_DIR", "TRUSTED_HOPS", "TRUSTED_ROOT", "TUF_ROOT", "TUF_URL", "UPSTREAMS", "UPSTREAM_TIMEOUT", "WITNESS_POLICY",
	"XDG_CACHE_HOME", "XDG_DATA_HOME",
	"http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
}

func TestMain(m *testing.M) {
	if os.Getenv(runMain) != "" {
		main()
		return
	}
	for _, name := range variables {
		os.Unsetenv(name)
	}
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "OTEL_") {
			os.Unsetenv(name)
		}
	}
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m)
}

// A result is how the command ended.
type result struct {
	status      int
	out, stderr string
}

// command runs the command in this process, with nothing on standard input.
func command(t testing.TB, args ...string) result {
	t.Helper()
	return commandWith(t, "", args...)
}

// commandWith runs the command with in on standard input.
func commandWith(t testing.TB, in string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, stderr bytes.Buffer
	status := run(ctx, args, strings.NewReader(in), &out, &stderr)
	if ctx.Err() != nil {
		t.Fatalf("%q did not end in %v", args, patience)
	}
	return result{status, out.String(), stderr.String()}
}

// patience ends a wait that would never end.
const patience = time.Minute

// fails checks that the command fails with one line on stderr and nothing else.
func (r result) fails(t testing.TB, status int, line string) {
	t.Helper()
	r.is(t, status, "", "tlogistry: "+line+"\n")
}

// is checks everything.
func (r result) is(t testing.TB, status int, out, stderr string) {
	t.Helper()
	if r.status != status {
		t.Errorf("exit status %d, want %d", r.status, status)
	}
	if r.out != out {
		t.Errorf("stdout:\n%s\nwant:\n%s", r.out, out)
	}
	if r.stderr != stderr {
		t.Errorf("stderr:\n%s\nwant:\n%s", r.stderr, stderr)
	}
}

func TestMistakes(t *testing.T) {
	t.Setenv("TLOG_DIR", t.TempDir())
	for _, test := range []struct {
		name   string
		args   string
		status int
		want   string
	}{
		{"unknown command", "verfy alpine", 1, `unknown command "verfy" for "tlogistry"`},
		{"unknown flag", "--port 80", 1, "unknown flag: --port"},
		{"unknown flag of serve", "serve --port 80", 1, "unknown flag: --port"},
		{"argument of serve", "serve 8080", 1, `unknown command "8080" for "tlogistry serve"`},
		{"argument of demo", "demo now", 1, `unknown command "now" for "tlogistry demo"`},
		{"argument of version", "version 1", 1, `unknown command "1" for "tlogistry version"`},

		// 1 and 2 would be findings.
		{"unknown flag of verify", "verify --jsn alpine", 3, "unknown flag: --jsn"},
		{"unknown short flag of verify", "verify -x alpine", 3, "unknown shorthand flag: 'x' in -x"},
		{"flag without a value", "verify alpine --key", 3, "flag needs an argument: --key"},
		{"verify's output format", "verify -o yaml alpine", 3, `--output="yaml": want text or json`},
		{"unknown flag of audit", "audit --anyone", 3, "unknown flag: --anyone"},
		{"argument of audit", "audit alpine", 3, `unknown command "alpine" for "tlogistry audit"`},
		{"audit's output format", "audit --output=JSON", 3, `--output="JSON": want text or json`},
		{"two logs", "verify --tlog x --identity y alpine", 3, "if any flags in the group [tlog identity] are set none of the others can be; [identity tlog] were all set"},
		{"two logs to audit", "audit --tlog x --rekor http://y", 3, "if any flags in the group [tlog rekor] are set none of the others can be; [rekor tlog] were all set"},
	} {
		t.Run(test.name, func(t *testing.T) {
			command(t, strings.Fields(test.args)...).fails(t, test.status, test.want)
		})
	}
	t.Run("several lines", func(t *testing.T) {
		command(t, "verify", "-f", "no\nsuch\r\nfile").fails(t, 3, "open no; such; file: no such file or directory")
	})
}

func TestBadEnvironment(t *testing.T) {
	for _, test := range []struct {
		args   string
		status int
	}{
		{"", 1}, {"serve", 1}, {"verify alpine", 3}, {"verify --anyone alpine", 3}, {"audit", 3},
	} {
		t.Run(test.args, func(t *testing.T) {
			t.Setenv("UPSTREAM_TIMEOUT", "soon")
			command(t, strings.Fields(test.args)...).fails(t, test.status,
				`UPSTREAM_TIMEOUT="soon": want a duration above zero such as 30s`)
		})
	}
}

func TestHelp(t *testing.T) {
	for name, examples := range map[string][]string{
		"":        {"  tlogistry\n", "  docker pull localhost:8080/alpine:3.16.0\n", "  tlogistry verify alpine:3.16.0\n"},
		"serve":   {"  tlogistry serve\n", "  PORT=5000 ALLOW='docker.io/library/*' tlogistry serve\n"},
		"verify":  {"  tlogistry verify alpine:3.16.0\n", " -f Dockerfile\n", " --tlog https://front.example/tlog/ --key KEY alpine:3.16.0\n", " --anyone alpine:3.16.0\n"},
		"audit":   {"  tlogistry audit --state ", " --output json\n", "  tlogistry audit --tlog https://front.example/tlog/ --key KEY\n"},
		"demo":    {"  tlogistry demo\n"},
		"version": nil,
	} {
		t.Run("help "+name, func(t *testing.T) {
			r := command(t, append(strings.Fields(name), "--help")...)
			if r.status != 0 || r.stderr != "" {
				t.Fatalf("status %d, stderr %q", r.status, r.stderr)
			}
			for _, example := range examples {
				if _, after, ok := strings.Cut(r.out, "\nExamples:\n"); !ok || !strings.Contains(after, example) {
					t.Errorf("no example %q in:\n%s", example, r.out)
				}
			}
			if again := command(t, append([]string{"help"}, strings.Fields(name)...)...); again != r {
				t.Errorf("help %s differs:\n%s", name, again.out)
			}
		})
	}
	root := command(t, "--help").out
	for _, name := range []string{"audit", "completion", "demo", "serve", "verify", "version"} {
		if !regexp.MustCompile(`\n  ` + name + ` +[A-Z]`).MatchString(root) {
			t.Errorf("the command's help does not name %s", name)
		}
	}
	for _, name := range []string{"verify", "audit"} {
		text := command(t, name, "--help").out
		for _, want := range []string{"Exit status: 0 ", "--tlog URL", "--key key", "--identity address", "--issuer URL", "--rekor URL", "--trusted-root path", "-o, --output string"} {
			if !strings.Contains(text, want) {
				t.Errorf("help of %s has no %q", name, want)
			}
		}
	}
}

func TestCompletion(t *testing.T) {
	for shell, want := range map[string]string{
		"bash": "__start_tlogistry", "zsh": "#compdef tlogistry", "fish": "complete -c tlogistry", "powershell": "Register-ArgumentCompleter",
	} {
		if r := command(t, "completion", shell); r.status != 0 || r.stderr != "" || !strings.Contains(r.out, want) {
			t.Errorf("completion %s: status %d, stderr %q, %d bytes without %q", shell, r.status, r.stderr, len(r.out), want)
		}
	}
	for _, test := range []struct {
		name  string
		typed []string
		want  []string
	}{
		{"commands", []string{"v"}, []string{"verify", "version"}},
		{"flags", []string{"audit", "--s"}, []string{"--state"}},
		{"output formats", []string{"audit", "--output", ""}, []string{"text", "json"}},
		{"output formats of verify", []string{"verify", "-o", ""}, []string{"text", "json"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := command(t, append([]string{"__complete"}, test.typed...)...)
			var got []string
			for line := range strings.Lines(r.out) {
				if word, _, _ := strings.Cut(strings.TrimSpace(line), "\t"); !strings.HasPrefix(word, ":") {
					got = append(got, word)
				}
			}
			if r.status != 0 || strings.Join(got, " ") != strings.Join(test.want, " ") {
				t.Errorf("status %d, got %q, want %q", r.status, got, test.want)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	want := regexp.MustCompile(`^tlogistry \S+ ` + regexp.QuoteMeta(runtime.Version()) + `\n$`)
	if r := command(t, "version"); r.status != 0 || r.stderr != "" || !want.MatchString(r.out) {
		t.Errorf("%+v", r)
	}
	r := reexec(t, "version")
	if r.status != 0 || r.stderr != "" || !want.MatchString(r.out) {
		t.Errorf("as a process: %+v", r)
	}
}

// reexec runs the command in a process of its own, to its end.
func reexec(t testing.TB, args ...string) result {
	t.Helper()
	var out, stderr bytes.Buffer
	cmd := process(t, args...)
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), stderr.String()}
}

// process returns the command as a process that the test's end kills.
func process(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Env = append(os.Environ(), runMain+"=1")
	return cmd
}

// cancelled runs the command with a context that has ended.
func cancelled(t testing.TB, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, stderr bytes.Buffer
	status := run(ctx, args, strings.NewReader(""), &out, &stderr)
	return result{status, out.String(), stderr.String()}
}
