// Package tlogistry is an OCI registry front that makes the tags of public
// images transparently immutable. It registers the HTTP function "Registry"
// with the Functions Framework.
package tlogistry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"

	"github.com/GoogleCloudPlatform/functions-framework-go/functions"

	"github.com/tlogistry/tlogistry/internal/cloudlog"
	"github.com/tlogistry/tlogistry/internal/config"
	"github.com/tlogistry/tlogistry/internal/front"
	"github.com/tlogistry/tlogistry/internal/service"
)

// registry is the process's one function, as the framework's registration
// wants it. It does nothing before its first request.
var registry = newFunction(os.Getenv, os.Stderr)

func init() {
	functions.HTTP("Registry", registry.ServeHTTP)
}

// Start builds the function now rather than on its first request, so that a bad
// configuration or a damaged log stops the start, and returns it.
// A function alone has none of the options.
func Start(ctx context.Context, o service.Options) (http.Handler, error) {
	return registry, registry.build(ctx, o)
}

// Drain refuses further requests and waits until those under way are answered
// and what they began in the log has ended, or until ctx ends.
func Drain(ctx context.Context) error {
	return registry.drain(ctx)
}

// A function builds its handler from the environment when it is needed.
type function struct {
	getenv func(string) string
	logger *slog.Logger

	once    sync.Once
	built   atomic.Bool // the once is over, and so the following do not change
	handler http.Handler
	close   func()
	err     error // why there is no handler

	mu       sync.Mutex // guards draining, and requests.Add against drain
	draining bool
	requests sync.WaitGroup
}

func newFunction(getenv func(string) string, logs io.Writer) *function {
	return &function{getenv: getenv, logger: cloudlog.New(logs, getenv("LOG_FORMAT"), getenv("GOOGLE_CLOUD_PROJECT"))}
}

func (f *function) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	if f.draining {
		f.mu.Unlock()
		w.Header().Set("Connection", "close")
		front.Unavailable(w, r, "this instance is shutting down")
		return
	}
	f.requests.Add(1)
	f.mu.Unlock()
	defer f.requests.Done()
	// The handler is for all requests: this one's end must not end its making.
	if !f.built.Load() {
		_ = f.build(context.WithoutCancel(r.Context()), service.Options{}) // kept in err
	}
	if f.err != nil {
		front.Unavailable(w, r, "this service is not configured correctly; its log says what is wrong")
		return
	}
	f.handler.ServeHTTP(w, r)
}

// build makes the handler, once. Where that fails, the log says why.
func (f *function) build(ctx context.Context, o service.Options) error {
	f.once.Do(func() {
		c, err := config.Load(f.getenv)
		if err == nil {
			var s *service.Service
			if s, err = service.New(ctx, c, f.logger, o); err == nil {
				f.handler, f.close = s.Handler, s.Close
			}
		}
		if f.err = err; err != nil {
			f.logger.Error("bad configuration", "error", err.Error())
		}
		f.built.Store(true)
	})
	return f.err
}

func (f *function) drain(ctx context.Context) error {
	f.mu.Lock()
	f.draining = true
	f.mu.Unlock()
	done := make(chan struct{})
	go func() { // ends with the requests, whose calls all have limits
		defer close(done)
		f.requests.Wait()
		if f.close != nil {
			f.close()
		}
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("drain: %w", ctx.Err())
	}
}
