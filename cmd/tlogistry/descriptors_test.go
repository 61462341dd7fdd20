package main

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Clients that connect and say nothing, more of them than the process may have
// files, neither end it nor keep it from recording.
func TestServeWithFewDescriptors(t *testing.T) {
	r := newRegistry(t)
	t.Setenv("TLOG_DIR", filepath.Join(t.TempDir(), "log"))
	const tags = 20
	for i := range tags {
		r.push(t, fmt.Sprintf("library/alpine:%d", i), "a")
	}
	s := servingBy(t, "127.0.0.1", func(cmd *exec.Cmd) {
		cmd.Args = append([]string{"sh", "-c", `ulimit -n 128 && exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
	})
	address := strings.TrimPrefix(s.url, "http://")
	ours := connect(t, address)
	ask := func(tag int) string {
		return exchange(t, ours, fmt.Sprintf("GET /v2/alpine/manifests/%d HTTP/1.1\r\nHost: localhost\r\n\r\n", tag))
	}
	if got := ask(0); got != "200 OK" {
		t.Fatal(got)
	}
	for range 300 {
		idle, err := net.Dial("tcp", address)
		check(t, err)
		defer idle.Close()
	}
	for i := range tags {
		if got := ask(i); got != "200 OK" {
			t.Errorf("tag %d: %s", i, got)
		}
	}
	s.ends(t, syscall.SIGTERM)
}
