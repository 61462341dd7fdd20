package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// short are limits that a test can wait for, and that requests which are sent at
// once keep on a busy machine too.
var short = limits{header: 2 * time.Second, idle: 2 * time.Second, headerSize: 64 << 10, connections: 3}

// listening starts a server with the limits and returns its address.
func listening(t *testing.T, h http.HandlerFunc, o limits) (*httpServer, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	s := newServer(t.Context(), l, h, o, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { s.end(context.Background()) })
	return s, l.Addr().String()
}

// connect opens a connection on which no wait is for ever.
func connect(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	check(t, err)
	t.Cleanup(func() { c.Close() })
	check(t, c.SetDeadline(time.Now().Add(patience)))
	return c
}

// exchange sends a request and returns the status of the answer.
func exchange(t *testing.T, c net.Conn, request string) string {
	t.Helper()
	_, err := io.WriteString(c, request)
	check(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	check(t, err)
	// Where the server has not read all of the request, the reset comes later.
	if _, err := io.Copy(io.Discard, resp.Body); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	return resp.Status
}

const askHello = "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"

func hello(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "hello") }

// closes fails unless the server closes the connection, and not before a time.
func closes(t *testing.T, c net.Conn, began time.Time, least time.Duration) {
	t.Helper()
	_, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("not closed: %v", err)
	}
	if took := time.Since(began); took < least || took > least+patience/2 {
		t.Errorf("closed after %v, want %v", took, least)
	}
}

// A client that sends nothing, or a header that never ends, or the next one
// of a connection byte by byte, loses it; others are served meanwhile.
func TestSlowHeaders(t *testing.T) {
	_, address := listening(t, hello, limits{header: short.header, idle: time.Minute, headerSize: short.headerSize, connections: 10})
	for name, beginning := range map[string]string{
		"nothing": "", "a line": "GET / HTTP/1.1\r\n", "half a header": "GET / HTTP/1.1\r\nHost: localhost\r\nX-A: b",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits
			began := time.Now()
			c := connect(t, address)
			_, err := io.WriteString(c, beginning)
			check(t, err)
			if got := exchange(t, connect(t, address), askHello); got != "200 OK" {
				t.Error(got)
			}
			closes(t, c, began, short.header)
		})
	}
	t.Run("the second", func(t *testing.T) {
		t.Parallel()
		c := connect(t, address)
		if got := exchange(t, c, askHello); got != "200 OK" {
			t.Error(got)
		}
		began := time.Now()
		_, err := io.WriteString(c, "GET /")
		check(t, err)
		closes(t, c, began, short.header)
	})
}

func TestIdleConnection(t *testing.T) {
	_, address := listening(t, hello, limits{header: time.Minute, idle: short.idle, headerSize: short.headerSize, connections: 10})
	c := connect(t, address)
	var began time.Time
	for range 2 {
		began = time.Now() // the server may be idle before the client is told so
		if got := exchange(t, c, askHello); got != "200 OK" {
			t.Error(got)
		}
	}
	closes(t, c, began, short.idle)
}

func TestLargeHeaders(t *testing.T) {
	_, address := listening(t, hello, serverLimits)
	const slop = 4096 // of net/http
	for name, test := range map[string]struct{ request, want string }{
		"a long header":    {"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: " + strings.Repeat("a", 60<<10) + "\r\n\r\n", "200 OK"},
		"too long":         {"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: " + strings.Repeat("a", 64<<10+slop) + "\r\n\r\n", "431 Request Header Fields Too Large"},
		"too many":         {"GET / HTTP/1.1\r\nHost: localhost\r\n" + strings.Repeat("X-A: b\r\n", 10<<10) + "\r\n", "431 Request Header Fields Too Large"},
		"too long an URL":  {"GET /" + strings.Repeat("a", 64<<10+slop) + " HTTP/1.1\r\nHost: localhost\r\n\r\n", "431 Request Header Fields Too Large"},
		"no host":          {"GET / HTTP/1.1\r\n\r\n", "400 Bad Request: missing required Host header"},
		"another protocol": {"GET / HTTP/3.0\r\nHost: localhost\r\n\r\n", "505 HTTP Version Not Supported: unsupported protocol version"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := exchange(t, connect(t, address), test.request); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// One connection too many waits until another one ends.
func TestConnections(t *testing.T) {
	_, address := listening(t, hello, limits{header: time.Minute, idle: time.Minute, headerSize: short.headerSize, connections: short.connections})
	var open []net.Conn
	for range short.connections {
		c := connect(t, address)
		if got := exchange(t, c, askHello); got != "200 OK" {
			t.Error(got)
		}
		open = append(open, c)
	}
	late := connect(t, address)
	_, err := io.WriteString(late, askHello)
	check(t, err)
	check(t, late.SetReadDeadline(time.Now().Add(100*time.Millisecond))) // that nothing happens has no event
	if n, err := late.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("one connection too many is answered: %v", err)
	}
	check(t, open[0].Close())
	check(t, late.SetReadDeadline(time.Now().Add(patience)))
	if resp, err := http.ReadResponse(bufio.NewReader(late), nil); err != nil || resp.StatusCode != 200 {
		t.Errorf("when one has ended: %v, %v", resp, err)
	}
}

// However few files the process may have, connections take a share of them.
func TestConnectionsOf(t *testing.T) {
	for files, want := range map[uint64]int{0: 1, 1: 1, 64: 64, 4095: 4095, 4096: 4096, 4097: 4096, math.MaxUint64: 4096} {
		if got := serverLimits.connectionsOf(files); got != want {
			t.Errorf("for %d files: %d connections, want %d", files, got, want)
		}
	}
	for name, test := range map[string]struct {
		limits
		share uint64
	}{"serve": {serverLimits, serverShare}, "metrics": {metricsLimits, metricsShare}} {
		var files syscall.Rlimit
		check(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files))
		got, err := test.within(test.share)
		want := test.limits
		want.connections = min(want.connections, int(min(uint64(files.Cur)/test.share, 4096)))
		if got != want || err != nil {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, want)
		}
	}
}

// The end waits for an answer to be read, not for a client that is too slow,
// and requests under way then end with their context.
func TestServerEnds(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan error, 1)
	s, address := listening(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hello" {
			hello(w, r)
			return
		}
		close(begun)
		<-r.Context().Done()
		ended <- r.Context().Err()
	}, serverLimits)
	idle, slow, under := connect(t, address), connect(t, address), connect(t, address)
	if got := exchange(t, idle, askHello); got != "200 OK" {
		t.Error(got)
	}
	fmt.Fprint(slow, "GET ")
	fmt.Fprint(under, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	<-begun
	began := time.Now()
	s.end(t.Context())
	if took := time.Since(began); took < flushLimit || took > patience/2 {
		t.Errorf("the end took %v", took)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("the request goes on")
	}
	for _, c := range []net.Conn{idle, slow, under} {
		closes(t, c, time.Now(), 0)
	}
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Error("it still listens")
	}
}

// The requests' context outlives the signal that ends the command.
func TestRequestOutlivesTheSignal(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	begun, release := make(chan struct{}), make(chan struct{})
	s := newServer(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-release
		if r.Context().Err() != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}), serverLimits, slog.New(slog.DiscardHandler))
	defer s.end(context.Background())
	c := connect(t, l.Addr().String())
	status := make(chan string, 1)
	go func() { status <- exchange(t, c, askHello) }()
	<-begun
	cancel()
	if err := s.wait(ctx); err != nil {
		t.Error(err)
	}
	close(release)
	if got := <-status; got != "200 OK" {
		t.Error(got)
	}
}

// A listener that breaks ends the command, with the reason.
func TestServerFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	s := newServer(t.Context(), l, http.HandlerFunc(hello), serverLimits, slog.New(slog.DiscardHandler))
	defer s.end(context.Background())
	check(t, l.Close())
	if err := s.wait(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "listen: ") || !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
