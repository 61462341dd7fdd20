package e2e

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// becomes waits until the service says that it is ready, or not, in these
// words. An answer is kept for some seconds.
func (s *service) becomes(t *testing.T, status int, text string) {
	t.Helper()
	var last answer
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if last = s.do(t, http.MethodGet, "/readyz"); last.status == status && last.body == text {
			return
		}
	}
	t.Errorf("it says %d %q, want %d %q", last.status, last.body, status, text)
}

// TestReady takes away each thing that an instance needs and gives it back.
// The process answers all the while.
func TestReady(t *testing.T) {
	w := newTUFWorld(t)
	const ready = "ready\nlog: ready\nidentity: ready\ntrusted root: ready\n"
	t.Run("all", func(t *testing.T) { // ends with all of them, as they are parallel
		t.Run("embedded log", readyLocal)
		for _, tt := range []struct {
			name  string
			start func(t *testing.T) (*service, *sigstore.Proxy)
			// what is said where it is down at the start, and later if at all
			down, later string
		}{
			{"log", func(t *testing.T) (*service, *sigstore.Proxy) {
				p := proxied(t, w.RekorURL)
				p.Down()
				return w.direct(t, "REKOR_URL="+p.URL), p
			}, "not ready\nlog: not ready: it cannot be reached\nidentity: ready\ntrusted root: ready\n",
				"not ready\nlog: not ready: it fails; the service's log says how\nidentity: ready\ntrusted root: ready\n"},
			{"identity", func(t *testing.T) (*service, *sigstore.Proxy) {
				p := proxied(t, w.MetadataHost)
				p.Down()
				return w.direct(t, "GCE_METADATA_HOST="+p.Host), p
			}, "not ready\nlog: ready\nidentity: not ready: it cannot be reached\ntrusted root: ready\n", ""},
			{"trusted root", func(t *testing.T) (*service, *sigstore.Proxy) {
				w.proxy.Down()
				return w.trusting(t, t.TempDir()), w.proxy
			}, "not ready\nlog: not ready: its answer cannot be verified\nidentity: ready\ntrusted root: not ready: it cannot be reached\n", ""},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				svc, proxy := tt.start(t)
				for _, path := range []string{"/healthz", "/health/live"} {
					if a := svc.do(t, http.MethodGet, path); a.status != http.StatusOK || a.body != "ok\n" {
						t.Errorf("%s: %d %q", path, a.status, a.body)
					}
				}
				svc.becomes(t, http.StatusServiceUnavailable, tt.down)
				proxy.Pass()
				svc.becomes(t, http.StatusOK, ready)
				if tt.later != "" {
					proxy.Fail(http.StatusInternalServerError)
					svc.becomes(t, http.StatusServiceUnavailable, tt.later)
				}
				svc.mustSay(t, `"message":"not ready"`) // and why
			})
		}
	})
	if n, err := w.Search(t.Context(), w.ownSubject("v1")); err != nil || len(n) != 0 {
		t.Errorf("written were %v, %v", n, err)
	}
}

// TestReadyAsksLittle asks often, and Rekor is asked once.
func TestReadyAsksLittle(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	svc := w.behind(t, "REQUESTS_PER_MINUTE=1") // which the wait for its start has used up
	w.rekor.Reset()
	start := time.Now()
	for range 200 {
		svc.do(t, http.MethodGet, "/health/ready").mustStatus(t, http.StatusOK)
	}
	if n := w.rekor.Count(); n != 1 && time.Since(start) < 4*time.Second {
		t.Errorf("Rekor was asked %d times: %v", n, w.rekor.Counts())
	}
}

// readyLocal does that with the embedded log's directory.
func readyLocal(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	svc := start(t, "TLOG_DIR="+dir)
	state := filepath.Join(dir, "log", ".state")
	if err := os.Rename(state, state+"-away"); err != nil {
		t.Fatal(err)
	}
	svc.becomes(t, http.StatusServiceUnavailable, "not ready\nlog: not ready: its files cannot be used\n")
	if err := os.Rename(state+"-away", state); err != nil {
		t.Fatal(err)
	}
	svc.becomes(t, http.StatusOK, "ready\nlog: ready\n")
}

// TestLogOnTerminal has a terminal as standard error: the lines are for people
// there, unless LOG_FORMAT says otherwise.
func TestLogOnTerminal(t *testing.T) {
	for form, want := range map[string]string{
		"":     `^time=\S+ level=INFO msg=request httpRequest\.requestMethod=GET httpRequest\.requestUrl=/v2/ httpRequest\.status=200 httpRequest\.responseSize=2 httpRequest\.userAgent=\S+ httpRequest\.latency=\S+$`,
		"json": `^\{"severity":"INFO","message":"request","time":"[^"]+","httpRequest":\{"requestMethod":"GET","requestUrl":"/v2/","status":200,"responseSize":2,"userAgent":"[^"]+","latency":"\d+\.\d{9}s"\}\}$`,
	} {
		t.Run("LOG_FORMAT="+form, func(t *testing.T) {
			master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer master.Close()
			if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
				t.Fatal(err)
			}
			n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
			if err != nil {
				t.Fatal(err)
			}
			terminal, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
			if err != nil {
				t.Fatal(err)
			}
			port := freePort(t)
			cmd := exec.Command(command, "serve")
			cmd.Env = []string{"PORT=" + port, "HOME=" + t.TempDir(), "LOG_FORMAT=" + form}
			cmd.Stderr = terminal
			out, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			defer cmd.Wait()
			defer cmd.Process.Signal(syscall.SIGTERM)
			terminal.Close()
			if _, err := bufio.NewReader(out).ReadString('\n'); err != nil { // it listens
				t.Fatal(err)
			}
			resp, err := http.Get("http://localhost:" + port + "/v2/")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			lines := bufio.NewScanner(master)
			for lines.Scan() {
				if strings.Contains(lines.Text(), "requestUrl") {
					if !regexp.MustCompile(want).MatchString(lines.Text()) {
						t.Errorf("it says %s", lines.Text())
					}
					return
				}
			}
			t.Errorf("no line: %v", lines.Err())
		})
	}
}
