package main

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// freePort returns a port of an address that nothing listens on. It is below
// those that systems give to whoever asks for any, other tests' servers among
// them: nobody else gets it before the command listens there.
func freePort(t *testing.T, host string) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(10_000 + rand.IntN(20_000))
		l, err := net.Listen("tcp", net.JoinHostPort(host, port))
		if err == nil {
			check(t, l.Close())
			return port
		}
	}
	t.Fatalf("no port of %s is free", host)
	return ""
}

// A server is the command serving in a process of its own.
type server struct {
	cmd    *exec.Cmd
	url    string
	out    *bufio.Reader
	stderr *bytes.Buffer
}

// serving starts the command and waits for the line that says it listens.
func serving(t *testing.T, host string, args ...string) *server {
	t.Helper()
	return servingBy(t, host, func(*exec.Cmd) {}, args...)
}

// servingBy is serving with the process changed before it starts.
func servingBy(t *testing.T, host string, change func(*exec.Cmd), args ...string) *server {
	t.Helper()
	port := freePort(t, host)
	cmd := process(t, args...)
	change(cmd)
	cmd.Env = append(cmd.Env, "HOST="+host, "PORT="+port)
	s := &server{cmd: cmd, url: "http://" + net.JoinHostPort(host, port), stderr: new(bytes.Buffer)}
	cmd.Stderr = s.stderr
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	s.out = bufio.NewReader(out)
	line, err := s.out.ReadString('\n')
	if want := "tlogistry: listening on " + net.JoinHostPort(host, port) + "\n"; line != want {
		t.Fatalf("it says %q, want %q, %v", line, want, err)
	}
	return s
}

// ends checks that a signal ends it, with status 0 and no more on stdout.
func (s *server) ends(t *testing.T, signal os.Signal) {
	t.Helper()
	if signal != nil {
		check(t, s.cmd.Process.Signal(signal))
	}
	rest, err := io.ReadAll(s.out)
	check(t, err)
	if err := s.cmd.Wait(); err != nil || len(rest) > 0 {
		t.Errorf("it ends with %v, stdout %q, stderr:\n%s", err, rest, s.stderr)
	}
	for line := range strings.Lines(s.stderr.String()) {
		if !strings.HasPrefix(line, "{") || strings.Contains(line, `"severity":"ERROR"`) {
			t.Errorf("it says: %s", line)
		}
	}
}

// answer is what a pull's answer says.
func answer(t *testing.T, url, tag string) string {
	t.Helper()
	resp, err := http.Get(url + "/v2/alpine/manifests/" + tag)
	check(t, err)
	check(t, resp.Body.Close())
	http.DefaultClient.CloseIdleConnections()
	return strings.TrimSpace(resp.Status + " " + resp.Header.Get("Tlog-Logindex") + " " + resp.Header.Get("Tlog-First-Seen"))
}

func TestServe(t *testing.T) {
	r := newRegistry(t)
	dir := filepath.Join(t.TempDir(), "a", "log")
	t.Setenv("TLOG_DIR", dir)
	r.push(t, "library/alpine:1", "a")
	r.push(t, "library/alpine:2", "a")

	s := serving(t, "127.0.0.1") // without a command it serves
	for _, step := range []struct{ tag, want string }{
		{"1", "200 OK 0 true"}, {"1", "200 OK 0"}, {"2", "200 OK 1 true"},
	} {
		if got := answer(t, s.url, step.tag); got != step.want {
			t.Errorf("tag %s: %s, want %s", step.tag, got, step.want)
		}
	}
	r.push(t, "library/alpine:1", "b")
	if got := answer(t, s.url, "1"); got != "403 Forbidden 0" {
		t.Error(got)
	}
	s.ends(t, syscall.SIGTERM)

	s = serving(t, "localhost", "serve")
	for tag, want := range map[string]string{"1": "403 Forbidden 0", "2": "200 OK 1"} {
		if got := answer(t, s.url, tag); got != want {
			t.Errorf("after a restart, tag %s: %s, want %s", tag, got, want)
		}
	}
	key, err := tilelog.VerifierKey(dir)
	check(t, err)
	audited := command(t, "audit", "--tlog", s.url+"/tlog/", "--key", key)
	if audited.status != 0 || !strings.Contains(audited.out, "\nrecords                         2\n") {
		t.Errorf("%+v", audited)
	}
	s.ends(t, os.Interrupt)
	if got := command(t, "verify", "alpine:1", "alpine:2"); got.status != 1 || strings.Count(got.out, " moved ") != 1 || strings.Count(got.out, " same ") != 1 {
		t.Errorf("%+v", got)
	}
}

func TestServeIPv6(t *testing.T) {
	newRegistry(t)
	t.Setenv("TLOG_DIR", filepath.Join(t.TempDir(), "log"))
	s := serving(t, "::1")
	resp, err := http.Get(s.url + "/v2/")
	check(t, err)
	check(t, resp.Body.Close())
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
	s.ends(t, syscall.SIGTERM)
}

// A pull under way at SIGTERM is recorded and answered; later ones are refused.
func TestServeDrains(t *testing.T) {
	r := newRegistry(t)
	r.push(t, "library/alpine:1", "a")
	t.Setenv("TLOG_DIR", filepath.Join(t.TempDir(), "log"))
	arrived, released := make(chan struct{}, 10), make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	t.Cleanup(release)
	inner := r.Config.Handler
	r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.Contains(req.URL.Path, "/manifests/") {
			arrived <- struct{}{}
			<-released
		}
		inner.ServeHTTP(w, req)
	})
	s := serving(t, "127.0.0.1", "serve")
	answered := make(chan string, 1)
	go func() { answered <- answer(t, s.url, "1") }()
	<-arrived
	check(t, s.cmd.Process.Signal(syscall.SIGTERM))
	for got := ""; got != "503 Service Unavailable"; {
		resp, err := http.Get(s.url + "/v2/")
		check(t, err)
		check(t, resp.Body.Close())
		if got = resp.Status; got != "200 OK" && got != "503 Service Unavailable" {
			t.Fatal(got)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	release()
	if got := <-answered; got != "200 OK 0 true" {
		t.Error(got)
	}
	s.ends(t, nil)
	if got := command(t, "verify", "alpine:1"); got.status != 0 {
		t.Errorf("%+v", got)
	}
}

// stops checks that serve ends with status 1 and one line on stderr, beside
// the lines of its log.
func stops(t *testing.T, want string, env ...string) {
	t.Helper()
	for _, args := range [][]string{{"serve"}, nil} {
		cmd := process(t, args...)
		cmd.Env = append(cmd.Env, env...)
		var out, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = writerFunc(func(b []byte) (int, error) {
			_ = cmd.Process.Kill() // it serves
			return out.Write(b)
		}), &stderr
		_ = cmd.Run()
		var said []string
		for line := range strings.Lines(stderr.String()) {
			if !strings.HasPrefix(line, "{") {
				said = append(said, line)
			}
		}
		if cmd.ProcessState.ExitCode() != 1 || out.Len() > 0 || strings.Join(said, "") != "tlogistry: "+want+"\n" {
			t.Errorf("%v, stdout %q, stderr:\n%s\nwant %s", cmd.ProcessState, &out, &stderr, want)
		}
	}
}

func TestServeDoesNotStart(t *testing.T) {
	newRegistry(t)
	dir := filepath.Join(t.TempDir(), "log")
	env := func(more ...string) []string {
		return append([]string{"TLOG_DIR=" + dir, "PORT=" + freePort(t, "127.0.0.1")}, more...)
	}
	stops(t, `PORT="99999": want a port from 1 to 65535`, env("PORT=99999")...)
	stops(t, `TLOG="rekord": want rekor or local`, env("TLOG=rekord")...)
	stops(t, `UPSTREAMS="docker.io": want registry=base URL, comma-separated, such as docker.io=http://localhost:5000`, env("UPSTREAMS=docker.io")...)
	stops(t, `ALLOW=",": want at least one pattern`, env("ALLOW=,")...)
	stops(t, `TLOG_DIR="": want a directory, as neither XDG_DATA_HOME nor HOME is set`, env("TLOG_DIR=", "HOME=")...)
	policy := filepath.Join(t.TempDir(), "policy")
	write(t, policy, "quorum some\n")
	stops(t, "WITNESS_POLICY: bad witness policy: "+policy+`: quorum component "some" not found`, env("WITNESS_POLICY="+policy)...)
	stops(t, `TLOG_DIR: make the log's directory: mkdir /proc/nowhere: no such file or directory`, env("TLOG_DIR=/proc/nowhere")...)

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer taken.Close()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	check(t, err)
	stops(t, "listen tcp 127.0.0.1:"+port+": bind: address already in use", env("PORT="+port)...)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("a log was begun: %v", err)
	}

	l, err := tilelog.Open(t.Context(), tilelog.Config{Dir: dir})
	check(t, err)
	stops(t, "TLOG_DIR: the log in "+dir+" is in use by another process", env()...)
	check(t, l.Close(t.Context()))

	damaged := newLog(t, signerKey, entry(t, "alpine:1", "a", 0))
	bundle := filepath.Join(damaged, "log", "tile", "entries", "000.p", "1")
	write(t, bundle, strings.Replace(read(t, bundle), "alpine:1", "alpine:2", 1))
	before := read(t, damaged+"/log/checkpoint")
	stops(t, "TLOG_DIR: open the log in "+damaged+": in log/: damaged log: tile/0/000.p/1: hash 0 is not that of entry 0 of tile/entries/000.p/1",
		env("TLOG_DIR="+damaged)...)
	if read(t, damaged+"/log/checkpoint") != before {
		t.Error("the damaged log was written to")
	}
}
