package bench

import (
	"net/http"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/bench/load"
	"github.com/tlogistry/tlogistry/e2e/bench/report"
)

// A measure is what is compared, such as a median latency or a rate.
type measure func(f front) float64

// compared measures each front in turn, in every round, and right before each
// of them what it is compared with: the machine is not equally fast all the
// time. It returns the figures of the fronts, and of the base before each.
func compared(base front, fronts []front, m measure) (of, before map[string]report.Figure) {
	of, before = make(map[string]report.Figure), make(map[string]report.Figure)
	for range rounds() {
		for _, f := range fronts {
			before[f.name] = append(before[f.name], m(base))
			of[f.name] = append(of[f.name], m(f))
		}
	}
	return of, before
}

// columns returns a table's columns: each front's figure as made of its own
// and of the base before it.
func columns(fronts []front, of, before map[string]report.Figure, make func(a, b report.Figure) report.Figure) []report.Column {
	var all []report.Column
	for _, f := range fronts {
		all = append(all, report.Column{Name: f.name, Figure: make(of[f.name], before[f.name])})
	}
	return all
}

func over(a, b report.Figure) report.Figure  { return a.Over(b) }
func minus(a, b report.Figure) report.Figure { return a.Minus(b) }

// baseColumn is what all ratios are of.
func baseColumn(name string, before map[string]report.Figure) report.Column {
	var all report.Figure
	for _, f := range before {
		all = append(all, f...)
	}
	return report.Column{Name: name, Figure: report.One(all.Median())}
}

// requests are those of the paths, with the header that the front wants.
func (f front) requests(method string, status int, paths ...string) []load.Request {
	var all []load.Request
	for _, path := range paths {
		all = append(all, load.Request{Method: method, Path: path, Header: f.header, Status: status})
	}
	return all
}

// pulls are requests for every tag.
func (f front) pulls(t testing.TB, method string) []load.Request {
	t.Helper()
	var paths []string
	for _, tag := range need(t, stored).tags {
		paths = append(paths, tagPath(tag))
	}
	return f.requests(method, http.StatusOK, paths...)
}

// drive puts load on a front for some time.
func drive(t testing.TB, f front, connections int, d time.Duration, requests []load.Request) load.Result {
	t.Helper()
	r, err := load.Run(t.Context(), load.Plan{Addr: f.addr, Requests: requests, Connections: connections, For: d})
	if err != nil {
		t.Fatalf("%s: %v", f.name, err)
	}
	return r
}

// warm has a front answer every tag once.
func warm(t testing.TB, f front) {
	t.Helper()
	const connections = 16
	requests := f.pulls(t, http.MethodGet)
	each := (len(requests) + connections - 1) / connections
	_, err := load.Run(t.Context(), load.Plan{Addr: f.addr, Requests: requests, Connections: connections, Each: each})
	if err != nil {
		t.Fatalf("%s: %v", f.name, err)
	}
}
