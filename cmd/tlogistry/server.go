package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"golang.org/x/net/netutil"
)

// limits are what one client can take of a server before its request has come.
// Afterwards the handler has limits of its own.
type limits struct {
	header      time.Duration // for a request's header to come
	idle        time.Duration // for the next request of a connection to begin
	headerSize  int           // bytes of a request line and header; net/http adds 4096
	connections int           // open at once; more wait until one is closed
}

// serverLimits: an address of a registry has some 500 bytes, and nothing here
// reads a long header. An idle connection is kept for longer than Google's load
// balancers keep theirs, 10 minutes, so that none is closed on a request that is
// on its way. A connection takes about 20 KiB.
var serverLimits = limits{
	header:      10 * time.Second,
	idle:        11 * time.Minute,
	headerSize:  64 << 10,
	connections: 4096,
}

// metricsLimits: few ask for metrics, and what they take is not the pulls'.
var metricsLimits = limits{
	header:      serverLimits.header,
	idle:        serverLimits.idle,
	headerSize:  serverLimits.headerSize,
	connections: 64,
}

// The shares of the process's file descriptors that connections may take: one
// in so many. The rest is for registries, the log and its files.
const (
	serverShare  = 2
	metricsShare = 16
)

// within returns limits by which connections take no more than a share of the
// file descriptors that this process may have. Go has raised that number as far
// as it may be.
func (o limits) within(share uint64) (limits, error) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return o, os.NewSyscallError("getrlimit", err)
	}
	o.connections = o.connectionsOf(uint64(files.Cur) / share)
	return o, nil
}

// connectionsOf returns how many connections there may be for so many files.
func (o limits) connectionsOf(files uint64) int {
	return int(max(1, min(files, uint64(o.connections))))
}

// An httpServer answers with a handler until it is told to end.
type httpServer struct {
	http   *http.Server
	cancel context.CancelFunc
	failed chan error
}

// newServer starts to serve on a listener, which the server closes. Requests
// outlive the end of ctx, not that of the server.
func newServer(ctx context.Context, l net.Listener, h http.Handler, o limits, logger *slog.Logger) *httpServer {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &httpServer{cancel: cancel, failed: make(chan error, 1), http: &http.Server{
		Handler:           h,
		ReadHeaderTimeout: o.header,
		IdleTimeout:       o.idle,
		MaxHeaderBytes:    o.headerSize,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}}
	go func() { s.failed <- s.http.Serve(netutil.LimitListener(l, o.connections)) }()
	return s
}

// wait returns when ctx ends, or with why the server does not serve any more.
func (s *httpServer) wait(ctx context.Context) error {
	select {
	case err := <-s.failed:
		return fmt.Errorf("listen: %w", err)
	case <-ctx.Done():
		return nil
	}
}

// flushLimit is how long answers already given may take to reach their clients
// when the server ends.
const flushLimit = time.Second

// end closes the listener and all connections: at first those without a
// request, then, after flushLimit or the end of ctx, all others.
func (s *httpServer) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushLimit)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close() // what remains is closed on clients that do not read
	}
	s.cancel()
}
