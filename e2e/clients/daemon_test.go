package clients

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pidFile returns a shell command that writes its process ID and then runs
// until it is told to end, and a function that says when the file is there.
func pidFile(t *testing.T) (script string, ready func() error, alive func() bool) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pid")
	pid := 0
	ready = func() error {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		return err
	}
	alive = func() bool { return syscall.Kill(pid, 0) == nil }
	return "echo $$ >" + path + ".new; mv " + path + ".new " + path + "; exec sleep 1000", ready, alive
}

func TestDaemonStops(t *testing.T) {
	script, ready, alive := pidFile(t)
	d, err := startDaemon(t.Context(), t.TempDir(), nil, ready, "sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	if !alive() {
		t.Fatal("the daemon does not run")
	}
	if err := d.stop(); err != nil {
		t.Error(err)
	}
	if alive() {
		t.Error("the daemon runs on")
	}
}

func TestDaemonFails(t *testing.T) {
	notReady := func() error { return errors.New("no answer") }
	_, err := startDaemon(t.Context(), t.TempDir(), nil, notReady, "sh", "-c", "echo broken; exit 3")
	if want := "sh ended: exit status 3\nbroken\n"; err == nil || err.Error() != want {
		t.Errorf("a daemon that ends: error %v, want %q", err, want)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	script, ready, alive := pidFile(t)
	_, err = startDaemon(ctx, t.TempDir(), nil, func() error {
		if ready() == nil { // it runs, and is given up
			cancel()
		}
		return notReady()
	}, "sh", "-c", script)
	if want := "sh is not ready: context canceled: no answer\n"; err == nil || err.Error() != want {
		t.Errorf("a daemon that is never ready: error %v, want %q", err, want)
	}
	if alive() {
		t.Error("a daemon that was never ready runs on")
	}
}

func TestMissing(t *testing.T) {
	t.Setenv("PATH", "")
	_, err := start(t, "docker", Machine{})
	want := "missing client docker: no dockerd, docker, containerd, ctr in PATH; run scripts/install-clients.sh as root"
	if err == nil || err.Error() != want {
		t.Fatalf("error %v, want %s", err, want)
	}
	for ci, want := range map[string]bool{"": true, "true": false} {
		t.Setenv("CI", ci)
		if got := skippable(err); got != want {
			t.Errorf("CI=%q: skippable = %t, want %t", ci, got, want)
		}
	}
	if _, err := start(t, "wget", Machine{}); err == nil || err.Error() != `no client is named "wget"` {
		t.Errorf("an unknown client: error %v", err)
	}
}

func TestRunKillsTheGroup(t *testing.T) {
	script, ready, alive := pidFile(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for ready() != nil && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	// The second shell is a grandchild, in the background of the first.
	_, _, err := run(ctx, os.Environ(), "sh", "-c", "sh -c '"+script+"' & wait")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context canceled", err)
	}
	waitFor(t, func() bool { return !alive() })
}

// waitFor waits until a process that was killed is gone: its new parent has
// to take note of it first.
func waitFor(t *testing.T, gone func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !gone(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the process runs on")
		}
	}
}

func TestCapped(t *testing.T) {
	var c capped
	for range 3 {
		if n, err := c.Write(make([]byte, maxOutput/2+1)); n != maxOutput/2+1 || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	if c.Len() != maxOutput {
		t.Errorf("kept %d bytes, want %d", c.Len(), maxOutput)
	}
}
