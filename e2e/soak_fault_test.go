package e2e

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
	"github.com/tlogistry/tlogistry/e2e/soak"
)

// A weather puts faults in front of a server.
type weather struct {
	faults   *soak.Faults
	underway atomic.Int64 // requests
}

// hook returns the hook of a proxy that has the faults. What passes them goes
// through inner, if that is not nil.
//
// A slow request reaches the server even if its client has given up meanwhile,
// as it may in a network. Delays are before what the index's lag is counted
// from or after all of it, so they do not add to the lag.
func (w *weather) hook(inner sigstore.Hook) sigstore.Hook {
	return func(rw http.ResponseWriter, r *http.Request, next http.Handler) bool {
		w.underway.Add(1)
		defer w.underway.Add(-1)
		pass := func(rw http.ResponseWriter, r *http.Request) {
			if inner == nil || !inner(rw, r, next) {
				next.ServeHTTP(rw, r)
			}
		}
		f := w.faults.Next()
		switch {
		case f.Status != 0:
			http.Error(rw, http.StatusText(f.Status), f.Status)
		case f.Lost:
			pass(httptest.NewRecorder(), detached(r))
			panic(http.ErrAbortHandler)
		case f.Cut:
			panic(http.ErrAbortHandler)
		case f.Delay > 0:
			r = detached(r)
			time.Sleep(f.Delay)
			pass(rw, r)
		case f.Hold > 0:
			answer := httptest.NewRecorder()
			pass(answer, detached(r))
			time.Sleep(f.Hold)
			maps.Copy(rw.Header(), answer.Header())
			rw.WriteHeader(answer.Code)
			rw.Write(answer.Body.Bytes())
		default:
			pass(rw, r)
		}
		return true
	}
}

// detached returns a request, read whole, that does not end with its client.
func detached(r *http.Request) *http.Request {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r = r.WithContext(context.WithoutCancel(r.Context()))
	r.Body = io.NopCloser(bytes.NewReader(body))
	return r
}
