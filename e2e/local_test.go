package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/clients"
	"github.com/tlogistry/tlogistry/e2e/registry"
)

// TestLocalClients pulls through the service with its embedded log: recorded,
// checked, refused, and refused still after a restart.
func TestLocalClients(t *testing.T) {
	r := startRegistry(t, registry.Options{Token: true, Redirect: true})
	for _, name := range []string{"docker", "podman", "crane"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := []string{"TLOG_DIR=" + filepath.Join(t.TempDir(), "log"), "UPSTREAMS=" + r.Upstreams()}
			svc := start(t, env...)
			c := clients.Start(t, name)
			repo := "library/alpine-" + name
			one := push(t, r, repo, "3.16.0", registry.Variant{Name: "one of " + name})
			two := push(t, r, repo, "other", registry.Variant{Name: "two of " + name})
			ref := func() string { return svc.host + "/" + repo + ":3.16.0" }
			pull(t, c, ref(), one)
			pull(t, c, ref(), one)
			move(t, r, repo, "3.16.0", two)
			refused(t, c, ref(), one, two)
			svc.stop(t)
			svc = start(t, env...)
			refused(t, c, ref(), one, two)
			move(t, r, repo, "3.16.0", one)
			pull(t, c, ref(), one)
		})
	}
}

const (
	killRounds  = 50
	killPullers = 16
)

// TestLocalKill kills the service at random moments under first pulls. Every
// record that a client was answered 200 for is in the log afterwards.
func TestLocalKill(t *testing.T) {
	const seed = 20261124
	random := rand.New(rand.NewPCG(seed, seed))
	r := startRegistry(t, registry.Options{})
	digests := []string{
		push(t, r, "library/kill", "one", registry.Variant{Name: "one", Single: true}),
		push(t, r, "library/kill", "two", registry.Variant{Name: "two", Single: true}),
	}
	dir := filepath.Join(t.TempDir(), "log")
	env := []string{"TLOG_DIR=" + dir, "UPSTREAMS=" + r.Upstreams()}
	acknowledged := make(map[string]string) // digest by tag
	for round := range killRounds {
		var tags []string
		for n := range 8 * killPullers {
			tag := fmt.Sprintf("round-%d-%d", round, n)
			move(t, r, "library/kill", tag, digests[n%len(digests)])
			tags = append(tags, tag)
		}
		svc := start(t, env...)
		after := time.Duration(random.IntN(400)) * time.Millisecond
		for tag, digest := range pullUntilKilled(t, svc, tags, after) {
			acknowledged[tag] = digest
		}
	}
	svc := start(t, env...)
	for tag, digest := range acknowledged {
		a := svc.get(t, "kill", tag)
		a.mustServe(t, digest)
		if a.header.Get("Tlog-First-Seen") != "" {
			t.Errorf("tag %s was answered 200 before, and is first seen now", tag)
		}
	}
	if len(acknowledged) < killRounds {
		t.Errorf("only %d pulls were answered: the test shows little", len(acknowledged))
	}
	records, conflicts := auditLocal(t, dir)
	t.Logf("%d rounds: %d pulls answered, %d records in the log", killRounds, len(acknowledged), records)
	if records < len(acknowledged) || conflicts != 0 {
		t.Errorf("the log has %d records of %d answered, and %d conflicts", records, len(acknowledged), conflicts)
	}
}

// pullUntilKilled pulls tags, sixteen at a time, kills the service after a
// while, and returns the digests that were answered with 200.
func pullUntilKilled(t *testing.T, svc *service, tags []string, after time.Duration) map[string]string {
	t.Helper()
	var mu sync.Mutex
	answered := make(map[string]string)
	queue := make(chan string, len(tags))
	for _, tag := range tags {
		queue <- tag
	}
	close(queue)
	var pullers sync.WaitGroup
	for range killPullers {
		pullers.Go(func() {
			for tag := range queue {
				a, err := svc.try(t.Context(), http.MethodGet, "/v2/kill/manifests/"+tag)
				if err != nil {
					return // killed
				}
				if a.status == http.StatusOK {
					mu.Lock()
					answered[tag] = a.header.Get("Docker-Content-Digest")
					mu.Unlock()
				}
			}
		})
	}
	time.Sleep(after)
	if err := svc.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	pullers.Wait()
	<-svc.done
	return answered
}

// auditLocal audits the log in a directory and returns what it found. The audit
// must find the log in order, but for the conflicts that it returns.
func auditLocal(t *testing.T, dir string) (records, conflicts int) {
	t.Helper()
	cmd := exec.Command(command, "audit", "--output", "json")
	cmd.Env = []string{"TLOG=local", "TLOG_DIR=" + dir}
	out, err := cmd.Output()
	var report struct {
		Records   int
		Conflicts []json.RawMessage
		Broken    []string
	}
	if jerr := json.Unmarshal(out, &report); jerr != nil {
		t.Fatalf("audit: %v, %v\n%s", err, jerr, out)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(report.Conflicts) == 0 {
		t.Errorf("audit ended with %v\n%s%s", err, out, exit.Stderr)
	}
	if len(report.Broken) != 0 {
		t.Errorf("broken records: %v", report.Broken)
	}
	return report.Records, len(report.Conflicts)
}

// TestLocalTiles reads the served log with programs that are not ours.
func TestLocalTiles(t *testing.T) {
	r := startRegistry(t, registry.Options{})
	svc := start(t, "TLOG_DIR="+filepath.Join(t.TempDir(), "log"), "UPSTREAMS="+r.Upstreams())
	const n = 20
	for i := range n {
		tag := fmt.Sprint("v", i)
		digest := push(t, r, "library/tiles", tag, registry.Variant{Name: tag, Single: true})
		svc.get(t, "tiles", tag).mustServe(t, digest)
	}
	key := strings.TrimSpace(svc.do(t, http.MethodGet, "/tlog/key").body)
	checkTiles(t, svc.url+"/tlog/", key, n)
	home := svc.do(t, http.MethodGet, "/").body
	if !strings.Contains(strings.ReplaceAll(home, "&#43;", "+"), key) {
		t.Errorf("the home page does not name the key %s:\n%s", key, home)
	}
}
