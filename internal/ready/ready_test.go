package ready

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// A statusError is an error as clients of go-openapi have it.
type statusError int

func (e statusError) Error() string { return "secret" }
func (e statusError) Code() int     { return int(e) }

func TestReasons(t *testing.T) {
	refused := &url.Error{Op: "Get", URL: "http://10.0.0.1/secret", Err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"verification", fmt.Errorf("secret: %w", ErrUnverified), "its answer cannot be verified"},
		{"verification of a status", fmt.Errorf("%w: %w", ErrUnverified, statusError(500)), "its answer cannot be verified"},
		{"status", fmt.Errorf("secret: %w", statusError(503)), "it answers with status 503"},
		{"deadline", fmt.Errorf("secret: %w", context.DeadlineExceeded), "it does not answer in time"},
		{"deadline of a request", &url.Error{Op: "Get", URL: "http://secret", Err: context.DeadlineExceeded}, "it does not answer in time"},
		{"refused", fmt.Errorf("secret: %w", refused), "it cannot be reached"},
		{"name", &net.DNSError{Name: "secret"}, "it cannot be reached"},
		{"file", &fs.PathError{Op: "open", Path: "/secret", Err: fs.ErrPermission}, "its files cannot be used"},
		{"other", errors.New("secret"), "it fails; the service's log says how"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var lines bytes.Buffer
			c := New(slog.New(slog.NewTextHandler(&lines, nil)), Part{"first", func(context.Context) error { return nil }},
				Part{"second", func(context.Context) error { return tt.err }})
			want := Report{Parts: []Status{{Name: "first", Ready: true}, {Name: "second", Reason: tt.want}}}
			if got := c.Report(t.Context()); !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			line := lines.String()
			if !strings.Contains(line, `level=WARN msg="not ready" part=second`) || !strings.Contains(line, tt.err.Error()) && !strings.Contains(line, `\"`) || strings.Count(line, "\n") != 1 {
				t.Errorf("the log says %s", line)
			}
		})
	}
}

// A check that panics is a part that is not ready, and no end of the process.
func TestPanic(t *testing.T) {
	var lines bytes.Buffer
	c := New(slog.New(slog.NewTextHandler(&lines, nil)), Part{"a", func(context.Context) error { panic("secret") }})
	want := Report{Parts: []Status{{Name: "a", Reason: "it fails; the service's log says how"}}}
	if got := c.Report(t.Context()); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if line := lines.String(); !strings.Contains(line, `error="panic: secret"`) || !strings.Contains(line, "TestPanic") {
		t.Errorf("the log says %s", line)
	}
}

func TestReady(t *testing.T) {
	c := New(quiet, Part{"a", func(context.Context) error { return nil }})
	if got, want := c.Report(t.Context()), (Report{Ready: true, Parts: []Status{{Name: "a", Ready: true}}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	var none *Checker
	if !none.Report(t.Context()).Ready {
		t.Error("nothing is not ready")
	}
}

// A report is kept for a while, bad ones too, and made anew afterwards.
func TestKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var checks atomic.Int32
		var down atomic.Bool
		c := New(quiet, Part{"a", func(context.Context) error {
			checks.Add(1)
			if down.Load() {
				return errors.New("down")
			}
			return nil
		}})
		defer c.Close()
		want := func(ready bool, n int32) {
			t.Helper()
			for range 100 {
				if got := c.Report(t.Context()); got.Ready != ready {
					t.Errorf("%+v", got)
				}
			}
			if got := checks.Load(); got != n {
				t.Errorf("%d checks, want %d", got, n)
			}
		}
		want(true, 1)
		down.Store(true)
		time.Sleep(kept - time.Nanosecond)
		want(true, 1)
		time.Sleep(time.Nanosecond)
		want(false, 2)
		down.Store(false)
		time.Sleep(kept - time.Nanosecond)
		want(false, 2)
		time.Sleep(time.Nanosecond)
		want(true, 3)
	})
}

// Parts are checked at the same time: the slowest decides how long it takes.
func TestAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(context.Context) error {
			time.Sleep(limit - time.Second)
			return nil
		}
		c := New(quiet, Part{"a", slow}, Part{"b", slow}, Part{"c", slow})
		defer c.Close()
		start := time.Now()
		if r := c.Report(t.Context()); !r.Ready || time.Since(start) != limit-time.Second {
			t.Errorf("%+v after %v", r, time.Since(start))
		}
	})
}

// However many ask, the parts are checked once, all at the same time, within
// the limit; who goes away ends nothing.
func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var checks atomic.Int32
		slow := func(ctx context.Context) error {
			checks.Add(1)
			<-ctx.Done()
			return ctx.Err()
		}
		c := New(quiet, Part{"a", slow}, Part{"b", slow})
		gone, leave := context.WithCancel(t.Context())
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			if r := c.Report(gone); r.Ready || len(r.Parts) != 0 || time.Since(start) != time.Second {
				t.Errorf("who left got %+v after %v", r, time.Since(start))
			}
		})
		for range 50 {
			wg.Go(func() {
				r := c.Report(t.Context())
				want := Report{Parts: []Status{{Name: "a", Reason: "it does not answer in time"}, {Name: "b", Reason: "it does not answer in time"}}}
				if !reflect.DeepEqual(r, want) || time.Since(start) != limit {
					t.Errorf("%+v after %v", r, time.Since(start))
				}
			})
		}
		time.Sleep(time.Second)
		leave()
		wg.Wait()
		if n := checks.Load(); n != 2 {
			t.Errorf("%d checks", n)
		}
		c.Close()
		time.Sleep(kept)
		if r := c.Report(t.Context()); r.Ready {
			t.Errorf("closed: %+v", r)
		}
	})
}
