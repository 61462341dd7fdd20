package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// body returns what a GET is answered.
func body(t *testing.T, url string) (status int, text string) {
	t.Helper()
	resp, err := http.Get(url)
	check(t, err)
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	check(t, err)
	return resp.StatusCode, string(b)
}

// Prometheus is answered on an address of its own, and nowhere else, and not at
// all without the flag.
func TestServeMetrics(t *testing.T) {
	r := newRegistry(t)
	r.push(t, "library/alpine:1", "a")
	t.Setenv("TLOG_DIR", filepath.Join(t.TempDir(), "log"))
	address := "127.0.0.1:" + freePort(t, "127.0.0.1")
	s := serving(t, "127.0.0.1", "serve", "--metrics-address", address)
	for range 2 {
		answer(t, s.url, "1")
	}
	const last = `tlogistry_pulls_total{verdict="served"} 1`
	status, text := body(t, "http://"+address+"/metrics")
	// A pull is measured when it has been answered.
	for deadline := time.Now().Add(patience); !strings.Contains(text, last) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
		status, text = body(t, "http://"+address+"/metrics")
	}
	for _, line := range []string{`tlogistry_pulls_total{verdict="first"} 1`, last, `tlogistry_memory_lookups_total{hit="true",memory="manifests"} 1`} {
		if status != 200 || !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("status %d, no %s in\n%s", status, line, text)
		}
	}
	for _, url := range []string{s.url + "/metrics", "http://" + address + "/", "http://" + address + "/v2/"} {
		if status, _ := body(t, url); status != 404 {
			t.Errorf("%s: status %d", url, status)
		}
	}
	s.ends(t, syscall.SIGTERM)
	s = serving(t, "127.0.0.1", "serve")
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("it listens for Prometheus without the flag")
	}
	s.ends(t, syscall.SIGTERM)
}

func TestServeBadMetricsAddress(t *testing.T) {
	newRegistry(t)
	t.Setenv("TLOG_DIR", filepath.Join(t.TempDir(), "log"))
	t.Setenv("PORT", freePort(t, "127.0.0.1"))
	for address, want := range map[string]string{
		"nonsense":        "--metrics-address: listen tcp: address nonsense: missing port in address",
		"127.0.0.1:http-": "--metrics-address: listen tcp: lookup tcp/http-: unknown port",
	} {
		cmd := process(t, "serve", "--metrics-address", address)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		_ = cmd.Run()
		if cmd.ProcessState.ExitCode() != 1 || stderr.String() != "tlogistry: "+want+"\n" {
			t.Errorf("%v: %s", cmd.ProcessState, &stderr)
		}
	}
	t.Setenv("OTEL_TRACES_EXPORTER", "fax")
	cmd := process(t, "serve")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	_ = cmd.Run()
	if want := "tlogistry: export traces as OTEL_ variables say: unknown exporter or metrics producer\n"; cmd.ProcessState.ExitCode() != 1 || stderr.String() != want {
		t.Errorf("%v: %s", cmd.ProcessState, &stderr)
	}
}

// A collector that never answers slows no pull, and the end by no more than its
// limit. The log says that it was in vain, in one line of JSON for each try.
func TestServeBlackHole(t *testing.T) {
	r := newRegistry(t)
	r.push(t, "library/alpine:1", "a")
	t.Setenv("TLOG_DIR", filepath.Join(t.TempDir(), "log"))
	var asked atomic.Int32
	release := make(chan struct{})
	hole := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer hole.Close()
	defer close(release)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", hole.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600000") // what waits for it waits for longer than a busy machine takes
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
	t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "10")
	s := serving(t, "127.0.0.1", "serve")
	answer(t, s.url, "1")
	for deadline := time.Now().Add(patience); asked.Load() == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	start := time.Now()
	for range 50 {
		if got := answer(t, s.url, "1"); got != "200 OK 0" {
			t.Fatal(got)
		}
	}
	if took := time.Since(start); took > patience/3 {
		t.Errorf("50 pulls took %v while the collector does not answer", took)
	}
	start = time.Now()
	check(t, s.cmd.Process.Signal(syscall.SIGTERM))
	_, err := io.ReadAll(s.out)
	check(t, err)
	if err := s.cmd.Wait(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 9*time.Second { // three for the export; without their limit it would be ten
		t.Errorf("the end took %v", took)
	}
	vain := 0
	for line := range strings.Lines(s.stderr.String()) {
		var said struct{ Severity, Message, Error string }
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		if said.Message == "telemetry" && said.Severity == "WARNING" && said.Error != "" {
			vain++
		}
	}
	if asked.Load() == 0 || vain == 0 {
		t.Errorf("asked %d times, %d lines say that it was in vain:\n%s", asked.Load(), vain, s.stderr)
	}
}
