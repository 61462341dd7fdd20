// Package e2e tests the service as a user has it: the built command, against a
// real Sigstore and a real registry, pulled from by real clients.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/registry"
	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// command is the path of the built command.
var command string

// patience is more than a busy machine needs for anything that does happen. What
// has to happen sooner than that is measured by a limit of its own.
const patience = time.Minute

func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	// They wait for more than they compute. The command line has the last word.
	if err := flag.Set("test.parallel", strconv.Itoa(max(4, runtime.GOMAXPROCS(0)))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	flag.Parse()
	dir, err := os.MkdirTemp("", "tlogistry-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	command = filepath.Join(dir, "tlogistry")
	args := []string{"build", "-o", command}
	if os.Getenv("TLOGISTRY_RACE") != "" {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "./cmd/tlogistry")...)
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the command: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// startSigstore starts a Sigstore that ends with the test.
func startSigstore(t testing.TB, o sigstore.Options) *sigstore.Sigstore {
	t.Helper()
	s, err := sigstore.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// startRegistry starts a registry that ends with the test.
func startRegistry(t testing.TB, o registry.Options) *registry.Registry {
	t.Helper()
	r, err := registry.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// push pushes an image with the given name to repo and tags it.
func push(t testing.TB, r *registry.Registry, repo, tag string, v registry.Variant) string {
	t.Helper()
	digest, err := r.Push(repo, tag, v)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// move makes a tag name another digest.
func move(t testing.TB, r *registry.Registry, repo, tag, digest string) {
	t.Helper()
	if err := r.Move(repo, tag, digest); err != nil {
		t.Fatal(err)
	}
}

// proxied puts a proxy in front of target that ends with the test.
func proxied(t testing.TB, target string) *sigstore.Proxy {
	t.Helper()
	p, err := sigstore.NewProxy(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// A service is a running command.
type service struct {
	host string // such as "localhost:40001"
	url  string
	cmd  *exec.Cmd
	logs *logBuffer
	done chan struct{}
}

// start starts the command with the given environment and no other, and ends it
// with the test. Later variables win.
func start(t testing.TB, env ...string) *service {
	t.Helper()
	return startProcess(t, exec.Command(command, "serve"), append([]string{"HOME=" + t.TempDir()}, env...)...)
}

// startProcess starts a command that serves on PORT, with that, the given
// environment and no other, and returns on its first answer. It ends the
// command with the test. Later variables win. The tests' own log may be written
// to at any rate.
func startProcess(t testing.TB, cmd *exec.Cmd, env ...string) *service {
	t.Helper()
	port := freePort(t)
	s := &service{
		host: "localhost:" + port,
		url:  "http://localhost:" + port,
		cmd:  cmd,
		logs: new(logBuffer),
		done: make(chan struct{}),
	}
	s.cmd.Env = append([]string{"PORT=" + port, "NEW_RECORDS_PER_MINUTE=0"}, env...)
	s.cmd.Stdout, s.cmd.Stderr = s.logs, s.logs
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.cmd.Wait(); close(s.done) }()
	t.Cleanup(func() {
		s.stop(t)
		if strings.Contains(s.logs.String(), "DATA RACE") {
			t.Error("the race detector reports a race")
		}
		if t.Failed() {
			t.Logf("log of %s:\n%s", s.url, s.logs)
		}
	})
	for deadline := time.Now().Add(patience); ; {
		resp, err := http.Get(s.url + "/v2/")
		if err == nil {
			resp.Body.Close()
			return s
		}
		select {
		case <-s.done:
			t.Fatalf("the command ended: %v\n%s", s.cmd.ProcessState, s.logs)
		case <-time.After(time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("the command does not answer: %v\n%s", err, s.logs)
		}
	}
}

// stop ends the command and waits for it.
func (s *service) stop(t testing.TB) {
	t.Helper()
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(patience):
		s.cmd.Process.Kill()
		<-s.done
		t.Errorf("the command did not end within %v of SIGTERM\n%s", patience, s.logs)
	}
}

// An answer is a response read whole.
type answer struct {
	status int
	header http.Header
	body   string
}

// do makes a request of the service. Redirects are not followed.
func (s *service) do(t testing.TB, method, path string) answer {
	t.Helper()
	a, err := s.try(t.Context(), method, path)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var noRedirect = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
	Timeout:       2 * time.Minute,
}

// try makes a request of the service. It may be called from any goroutine.
func (s *service) try(ctx context.Context, method, path string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, nil)
	if err != nil {
		return answer{}, err
	}
	resp, err := noRedirect.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(b)}, err
}

// get makes a GET request of a manifest by tag or digest.
func (s *service) get(t testing.TB, repo, reference string) answer {
	t.Helper()
	return s.do(t, http.MethodGet, "/v2/"+repo+"/manifests/"+reference)
}

// ociError is the first error in an answer's body.
func (a answer) ociError(t testing.TB) (code, message string) {
	t.Helper()
	var body struct {
		Errors []struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || len(body.Errors) != 1 {
		t.Fatalf("no OCI error in status %d, body %q", a.status, a.body)
	}
	return body.Errors[0].Code, body.Errors[0].Message
}

// mustServe fails the test unless the answer is 200 with the digest.
func (a answer) mustServe(t testing.TB, digest string) {
	t.Helper()
	if a.status != http.StatusOK || a.header.Get("Docker-Content-Digest") != digest {
		t.Fatalf("got status %d, digest %q, body %s; want 200 and %s", a.status, a.header.Get("Docker-Content-Digest"), a.body, digest)
	}
}

// mustStatus fails the test unless the answer has the status.
func (a answer) mustStatus(t testing.TB, status int) {
	t.Helper()
	if a.status != status {
		t.Fatalf("got status %d, body %s; want %d", a.status, a.body, status)
	}
}

// A logBuffer keeps what a process prints.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.TrimSpace(l.b.String())
}
