package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// played is what a demonstration prints. A DIGEST is the first one's, ANOTHER
// the second's.
const played = `# The first pull of a tag records its digest.
$ docker pull localhost:PORT/alpine:3.16.0    # or: curl -i http://localhost:PORT/v2/alpine/manifests/3.16.0
200 OK
Docker-Content-Digest: DIGEST
Tlog-First-Seen: true
Tlog-Integratedtime: TIME
Tlog-Logindex: 0
Tlog-Uuid: UUID

# A later pull is checked against the record.
$ docker pull localhost:PORT/alpine:3.16.0    # or: curl -i http://localhost:PORT/v2/alpine/manifests/3.16.0
200 OK
Docker-Content-Digest: DIGEST
Tlog-Integratedtime: TIME
Tlog-Logindex: 0
Tlog-Uuid: UUID

# Somebody moves the tag. The pull is refused.
$ docker pull localhost:PORT/alpine:3.16.0    # or: curl -i http://localhost:PORT/v2/alpine/manifests/3.16.0
403 Forbidden
Tlog-Integratedtime: TIME
Tlog-Logindex: 0
Tlog-Uuid: UUID

{"errors":[{"code":"DENIED","message":"tag index.docker.io/library/alpine:3.16.0 has moved: recorded as DIGEST at TIME, log index 0; the registry now serves ANOTHER","detail":{"reference":"index.docker.io/library/alpine:3.16.0","recorded":"DIGEST","served":"ANOTHER","logIndex":0,"integratedTime":"TIME","uuid":"UUID"}}]}

# The tag moves back. It is served again.
$ docker pull localhost:PORT/alpine:3.16.0    # or: curl -i http://localhost:PORT/v2/alpine/manifests/3.16.0
200 OK
Docker-Content-Digest: DIGEST
Tlog-Integratedtime: TIME
Tlog-Logindex: 0
Tlog-Uuid: UUID

# Anybody can check the whole log.
$ TLOG_DIR=DIR tlogistry audit
log                             ORIGIN
entries                         1
records                         1
tags                            1
tags with more than one digest  0
broken records                  0
entries without a statement     0
entries ignored                 0
`

// plain puts names in the place of what differs from run to run, as long as it
// is the same wherever it must be.
func plain(text string) string {
	for _, r := range []struct{ name, re string }{
		{"DIGEST", `Docker-Content-Digest: (sha256:[0-9a-f]{64})`},
		{"ANOTHER", `"served":"(sha256:[0-9a-f]{64})"`},
		{"TIME", `Tlog-Integratedtime: (\S+)`},
		{"UUID", `Tlog-Uuid: ([0-9a-f]{64})`},
		{"DIR", `TLOG_DIR=(\S+)`},
		{"ORIGIN", `(tlogistry\.local/[0-9a-f]{16})`},
		{"PORT", `localhost:([0-9]+)`}, // last, as the others may hold its digits
	} {
		if m := regexp.MustCompile(r.re).FindStringSubmatch(text); m != nil {
			text = strings.ReplaceAll(text, m[1], r.name)
		}
	}
	return text
}

func TestDemo(t *testing.T) {
	// A proxy that would notice, and variables that would stop serve.
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer proxy.Close()
	asked := make(chan struct{}, 100)
	go func() {
		for {
			conn, err := proxy.Accept()
			if err != nil {
				return
			}
			asked <- struct{}{}
			conn.Close()
		}
	}()
	odd := map[string]string{"HOME": "", "XDG_DATA_HOME": "", "XDG_CACHE_HOME": "", "PATH": "", "TZ": "Asia/Tokyo"}
	for _, name := range []string{"PORT", "HOST", "TLOG", "UPSTREAMS", "ALLOW", "UPSTREAM_TIMEOUT", "LOCAL_ONLY", "TRUSTED_ROOT", "WITNESS_POLICY"} {
		odd[name] = "\x01 odd"
	}
	odd["TLOG_DIR"] = "/proc/nowhere"
	odd["K_SERVICE"], odd["REKOR_URL"] = "demo", "http://127.0.0.1:1"
	for _, name := range []string{"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"} {
		odd[name] = "http://" + proxy.Addr().String()
	}
	for name, env := range map[string]map[string]string{
		"plain":       {},
		"HOME unset":  {"HOME": ""},
		"odd":         odd,
		"one service": {"TLOG": "rekor", "ALLOW": "ghcr.io/**", "UPSTREAMS": "docker.io=http://127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			temp := t.TempDir()
			cmd := process(t, "demo")
			cmd.Env = append(cmd.Env, "TMPDIR="+temp)
			for name, value := range env {
				cmd.Env = append(cmd.Env, name+"="+value)
			}
			var out, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &stderr
			start := time.Now()
			err := cmd.Run()
			if took := time.Since(start); took > patience/2 { // it waits for nobody
				t.Errorf("it took %v", took)
			}
			if err != nil || stderr.String() != "" {
				t.Errorf("%v, stderr %q", err, stderr.String())
			}
			if got := plain(out.String()); got != played {
				t.Errorf("got\n%s\nwant\n%s", got, played)
			}
			if rest, err := os.ReadDir(temp); err != nil || len(rest) != 0 {
				t.Errorf("it leaves %v, %v", rest, err)
			}
		})
	}
	if len(asked) > 0 {
		t.Error("the proxy was asked")
	}
}

// In this process too it ends with all that it began.
func TestDemoLeavesNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	r := command(t, "demo")
	if r.status != 0 || r.stderr != "" || plain(r.out) != played {
		t.Errorf("%+v", r)
	}
	if rest, err := os.ReadDir(temp); err != nil || len(rest) != 0 {
		t.Errorf("it leaves %v, %v", rest, err)
	}
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}

// An interrupt at any step ends it, and cleans up.
func TestDemoInterrupted(t *testing.T) {
	for _, step := range []string{"", "# The first", "# A later", "# Somebody", "# Anybody"} {
		t.Run(step, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			temp := t.TempDir()
			t.Setenv("TMPDIR", temp)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var stderr bytes.Buffer
			out := writerFunc(func(b []byte) (int, error) {
				if strings.HasPrefix(string(b), step) {
					cancel()
				}
				return len(b), nil
			})
			if step == "" {
				cancel()
			}
			status := run(ctx, []string{"demo"}, strings.NewReader(""), out, &stderr)
			if step == "# Anybody" && status == 0 {
				stderr.WriteString("\n") // too late to matter
			} else if status != 1 {
				t.Errorf("status %d", status)
			}
			if text := stderr.String(); strings.Count(text, "\n") != 1 {
				t.Errorf("stderr %q", text)
			}
			if rest, err := os.ReadDir(temp); err != nil || len(rest) != 0 {
				t.Errorf("it leaves %v, %v", rest, err)
			}
			if err := goleak.Find(before); err != nil {
				t.Error(err)
			}
		})
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestDemoNoRoom(t *testing.T) {
	t.Setenv("TMPDIR", "/nowhere")
	r := command(t, "demo")
	if r.status != 1 || r.out != "" || strings.Count(r.stderr, "\n") != 1 || !strings.HasPrefix(r.stderr, "tlogistry: stat /nowhere: ") && !strings.HasPrefix(r.stderr, "tlogistry: mkdir /nowhere/tlogistry-demo-") {
		t.Errorf("%+v", r)
	}
}
