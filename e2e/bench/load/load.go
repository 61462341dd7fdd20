// Package load makes HTTP requests over a fixed number of connections, each of
// which sends its next request when it has read the last answer.
//
// It takes little of the processor itself: it writes requests that are made
// beforehand and reads answers on the same goroutine. That matters where
// client, front and registry share two cores.
package load

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Request is one of those that a connection sends.
type Request struct {
	Method string // empty: GET
	Path   string // such as "/v2/library/alpine/manifests/3.16.0"
	Header http.Header
	Status int // what must be answered; 0: 200
}

// A Plan says what to send, and where.
type Plan struct {
	Addr        string    // host and port
	Requests    []Request // sent in turn, over and over; connections begin as far apart as can be
	Connections int       // at least 1
	For         time.Duration
	Each        int // requests of a connection after which it ends, instead of For
}

// A Result is what came of a plan.
type Result struct {
	Elapsed   time.Duration   // from the first request to the last answer
	Latencies []time.Duration // of every request, shortest first
	Bytes     int64           // of all bodies
}

// Rate returns the requests answered per second.
func (r Result) Rate() float64 { return float64(len(r.Latencies)) / r.Elapsed.Seconds() }

// Quantile returns the latency that the part q of all requests did not exceed.
// With q = 0.5 it is the median.
func (r Result) Quantile(q float64) time.Duration {
	if len(r.Latencies) == 0 {
		return 0
	}
	return r.Latencies[min(int(q*float64(len(r.Latencies))), len(r.Latencies)-1)]
}

// Run carries out a plan. It fails if any request is not answered as it must be.
// The time to connect is in no latency.
func Run(ctx context.Context, p Plan) (Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	workers := make([]*worker, max(p.Connections, 1))
	for i := range workers {
		w, err := newWorker(ctx, p, i)
		if err != nil {
			return Result{}, err
		}
		defer w.close()
		workers[i] = w
	}
	start := time.Now()
	var all sync.WaitGroup
	for _, w := range workers {
		all.Go(func() {
			if err := w.run(ctx, start); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	r := Result{Elapsed: time.Since(start)}
	if err := context.Cause(ctx); err != nil {
		return r, err
	}
	for _, w := range workers {
		r.Latencies = append(r.Latencies, w.latencies...)
		r.Bytes += w.bytes
	}
	slices.Sort(r.Latencies)
	return r, nil
}

// A shot is a request as it is sent, and what is known of its answer.
type shot struct {
	Request
	wire []byte
	head *http.Request // tells the reader of an answer whether it has a body
}

// A worker is one connection.
type worker struct {
	plan      Plan
	shots     []shot
	next      int
	conn      net.Conn
	in        *bufio.Reader
	latencies []time.Duration
	bytes     int64
}

func newWorker(ctx context.Context, p Plan, i int) (*worker, error) {
	w := &worker{plan: p, next: i * len(p.Requests) / max(p.Connections, 1)}
	for _, r := range p.Requests {
		w.shots = append(w.shots, ready(p.Addr, r))
	}
	if len(w.shots) == 0 {
		return nil, errors.New("load: no requests")
	}
	return w, w.connect(ctx)
}

func ready(addr string, r Request) shot {
	r.Method = cmp.Or(r.Method, http.MethodGet)
	r.Status = cmp.Or(r.Status, http.StatusOK)
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, r.Path, addr)
	for name, values := range r.Header {
		for _, v := range values {
			fmt.Fprintf(&b, "%s: %s\r\n", name, v)
		}
	}
	b.WriteString("\r\n")
	return shot{r, b.Bytes(), &http.Request{Method: r.Method}}
}

func (w *worker) connect(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", w.plan.Addr)
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	w.conn, w.in = conn, bufio.NewReaderSize(conn, 16<<10)
	return nil
}

func (w *worker) close() { w.conn.Close() }

// run sends requests until the plan ends.
func (w *worker) run(ctx context.Context, start time.Time) error {
	stop := context.AfterFunc(ctx, func() { w.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	for n := 0; ctx.Err() == nil; n++ {
		if w.plan.Each > 0 && n == w.plan.Each || w.plan.Each == 0 && time.Since(start) > w.plan.For {
			return nil
		}
		s := w.shots[w.next%len(w.shots)]
		w.next++
		sent := time.Now()
		last, err := w.send(s)
		if err != nil {
			return fmt.Errorf("load: %s http://%s%s: %w", s.Method, w.plan.Addr, s.Path, err)
		}
		w.latencies = append(w.latencies, time.Since(sent))
		if last {
			w.close()
			if err := w.connect(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// send makes one request and reports whether the server ends the connection.
func (w *worker) send(s shot) (last bool, err error) {
	if _, err := w.conn.Write(s.wire); err != nil {
		return false, err
	}
	resp, err := http.ReadResponse(w.in, s.head)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != s.Status {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return false, fmt.Errorf("status %d, want %d: %s", resp.StatusCode, s.Status, strings.TrimSpace(string(body)))
	}
	n, err := io.Copy(io.Discard, resp.Body)
	w.bytes += n
	return resp.Close, err
}
