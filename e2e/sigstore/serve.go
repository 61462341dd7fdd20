package sigstore

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	fulciolog "github.com/sigstore/fulcio/pkg/log"
	rekorlog "github.com/sigstore/rekor/pkg/log"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/klog/v2"
)

// A stack holds what must be undone, and undoes it last in, first out.
type stack struct {
	mu    sync.Mutex
	undos []func(context.Context) error
}

func (s *stack) push(undo func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.undos = append(s.undos, undo)
}

func (s *stack) unwind(ctx context.Context) error {
	s.mu.Lock()
	undos := s.undos
	s.undos = nil
	s.mu.Unlock()

	var errs []error
	for i := len(undos) - 1; i >= 0; i-- {
		errs = append(errs, undos[i](ctx))
	}
	return errors.Join(errs...)
}

// listen opens a port of the loopback address.
func listen() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

// serveHTTP serves h on a free port until Close and returns its host:port.
func (s *Sigstore) serveHTTP(h http.Handler) (string, error) {
	l, err := listen()
	if err != nil {
		return "", err
	}
	s.serve(l, h)
	return l.Addr().String(), nil
}

// serve serves h on l until Close. Requests under way then have a second to
// end; connections on which no request ever came would take longer.
func (s *Sigstore) serve(l net.Listener, h http.Handler) {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 30 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(l)
	}()
	s.stack.push(func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		err := srv.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = srv.Close()
		}
		<-done
		return err
	})
}

// serveGRPC serves srv on a free port until Close and returns a connection to
// it, which Close closes as well, and its port.
func (s *Sigstore) serveGRPC(srv *grpc.Server) (*grpc.ClientConn, int, error) {
	l, err := listen()
	if err != nil {
		return nil, 0, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(l)
	}()
	s.stack.push(func(context.Context) error {
		srv.Stop()
		<-done
		return nil
	})
	addr := l.Addr().(*net.TCPAddr)
	conn, err := grpc.NewClient(addr.String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, 0, err
	}
	s.stack.push(func(context.Context) error { return conn.Close() })
	return conn, addr.Port, nil
}

// quiet drops the logs of the servers, which go to standard error by package
// variables. Once only: a server stopped a moment ago may still read them.
var quiet = sync.OnceFunc(func() {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	fulciolog.Logger = zap.NewNop().Sugar()
	rekorlog.Logger = zap.NewNop().Sugar()
})
