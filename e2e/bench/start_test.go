package bench

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/bench/load"
	"github.com/tlogistry/tlogistry/e2e/bench/report"
)

// TestStart measures from exec to the first 200 on /v2/, with everything that
// the service could ask accepting connections and answering nothing: it waits
// for none of it. The floor is what Linux and the Go runtime take to start a
// program of that size, and the framework's own start.
func TestStart(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	nobody := "http://" + silent.Addr().String()
	initial := filepath.Join(t.TempDir(), "root.json")
	writeFile(t, initial, "{}") // never read: it is needed when the repository answers
	l := &logServer{env: []string{
		"REKOR_URL=" + nobody, "FULCIO_URL=" + nobody, "TUF_URL=" + nobody, "TUF_ROOT=" + initial,
		"GCE_METADATA_HOST=" + silent.Addr().String(),
	}}
	base := direct(t, need(t, plain), need(t, plain).near)
	starts := make(map[string]report.Figure)
	var names []string
	for i := range long(21, 2) {
		for _, f := range append([]front{function(t, l, silent.Addr().String())}, peers(t, base)...) {
			if i == 0 {
				names = append(names, f.name)
			}
			starts[f.name] = append(starts[f.name], float64(f.start.Microseconds())/1e3)
			if err := f.proc.Stop(); err != nil {
				t.Fatal(err)
			}
		}
	}
	row := report.Row{Name: "exec to the first 200 on /v2/, 21 starts", Unit: "ms", Goal: report.AtMost(12)}
	for _, name := range names {
		row.Of = append(row.Of, report.Column{Name: name, Figure: starts[name]})
	}
	figures.Add(startTitle, row)
}

// fetchMain is a process that fetches the trusted root as soon as it runs, and
// prints how long that took.
const fetchMain = `package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tuf"
)

func main() {
	start := time.Now()
	o := tuf.DefaultOptions()
	initial, err := os.ReadFile(os.Getenv("TUF_ROOT"))
	o.RepositoryBaseURL, o.Root, o.DisableLocalCache = os.Getenv("TUF_URL"), initial, true
	c, terr := tuf.New(o)
	if err := errors.Join(err, terr); err != nil {
		log.Fatal(err)
	}
	if _, err := root.GetTrustedRoot(c); err != nil {
		log.Fatal(err)
	}
	fmt.Print(time.Since(start))
}
`

var fetchPath = sync.OnceValues(func() (string, error) { return overlaid("fetch", fetchMain) })

// fetched returns what the trusted root's fetch takes in a process that has
// just started, as the service has.
func fetched(t *testing.T, env ...string) time.Duration {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), need(t, fetchPath))
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("fetch the trusted root: %v", err)
	}
	d, err := time.ParseDuration(string(out))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestColdPull compares the first pull of a recorded tag right after the start
// with the same pull by a process that has trusted root, identity and
// challenge already. The trusted root comes from a TUF repository. What its
// fetch takes is measured in a process that has just started, too.
func TestColdPull(t *testing.T) {
	u, l := need(t, plain), need(t, quickLog)
	repository := need(t, func() (Repository, error) { return call[Repository](l.server, "TUF", none{}) })
	tags := u.tagged(t, "cold-", 2)
	once(t, function(t, l, u.near, "REKOR_SETTLE=0s"), 1, pathsOf(tags)...)
	age()
	var cold, warm, fetch report.Figure
	for range long(11, 1) {
		path := filepath.Join(t.TempDir(), "root.json")
		writeFile(t, path, string(repository.Root))
		fetch = append(fetch, milliseconds(fetched(t, "TUF_URL="+repository.URL, "TUF_ROOT="+path)))
		f := function(t, l, u.near, "TRUSTED_ROOT=", "TUF_URL="+repository.URL, "TUF_ROOT="+path, "XDG_CACHE_HOME="+t.TempDir())
		cold = append(cold, milliseconds(once(t, f, 1, tagPath(tags[0])).Latencies[0]))
		warm = append(warm, milliseconds(once(t, f, 1, tagPath(tags[1])).Latencies[0]))
		if err := f.proc.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	figures.Add(startTitle, report.Row{
		Name: "first pull of a recorded tag right after the start",
		Unit: "ms",
		Of: []report.Column{
			{Name: "tlogistry", Figure: cold},
			{Name: "the same later", Figure: warm},
			{Name: "fetch of the trusted root by a new process", Figure: fetch},
		},
	})
	figures.Add(startTitle, report.Row{
		Name: "first pull right after the start, more than the same later and the fetch of the trusted root",
		Unit: "ms",
		Of:   []report.Column{{Name: "tlogistry", Figure: cold.Minus(warm).Minus(fetch)}},
		Goal: report.AtMost(0),
	})
}

// TestSize weighs the executable.
func TestSize(t *testing.T) {
	st, err := os.Stat(need(t, functionPath))
	if err != nil {
		t.Fatal(err)
	}
	figures.Add(memoryTitle, report.Row{
		Name: "stripped executable",
		Unit: "MB",
		Of:   []report.Column{{Name: "tlogistry", Figure: report.One(float64(st.Size()) / 1e6)}},
		Goal: report.AtMost(22),
	})
}

// TestMemory has 64 connections pull tags, manifests and blobs for a minute.
// Blobs come through the service, as the registry has no other way.
func TestMemory(t *testing.T) {
	u := need(t, plain)
	base := direct(t, u, u.near)
	fronts := append([]front{function(t, need(t, quickLog), u.near, "REKOR_SETTLE=0s")}, peers(t, base)...)
	idle := report.Row{Name: "resident, idle, a moment after the first answer", Unit: "MiB", Goal: report.AtMost(20)}
	peak := report.Row{Name: "resident, at most", Unit: "MiB", Goal: report.AtMost(40)}
	open := report.Row{Name: "open files and connections, after the minute more than before", Goal: report.AtMost(0)}
	for _, f := range fronts {
		time.Sleep(long(time.Second, 10*time.Millisecond)) // what a start leaves behind is given back
		now, _, err := f.proc.RSS()
		if err != nil {
			t.Fatal(err)
		}
		idle.Of = append(idle.Of, report.Column{Name: f.name, Figure: report.One(mebibytes(now))})
		warm(t, f)
		requests := mixed(t, f)
		drive(t, f, 64, long(5*time.Second, 100*time.Millisecond), requests)
		before := settle(t, f)
		d := long(5*time.Second, 100*time.Millisecond)
		if f.name == "tlogistry" {
			d = long(time.Minute, 300*time.Millisecond)
		}
		drive(t, f, 64, d, requests)
		_, most, err := f.proc.RSS()
		if err != nil {
			t.Fatal(err)
		}
		peak.Of = append(peak.Of, report.Column{Name: f.name, Figure: report.One(mebibytes(most))})
		open.Of = append(open.Of, report.Column{Name: f.name, Figure: report.One(float64(settle(t, f) - before))})
	}
	before := function(t, need(t, quickLog), u.near)
	warm(t, before)
	drive(t, before, 64, long(5*time.Second, 100*time.Millisecond), mixed(t, before))
	settle(t, before)
	few, many := need(t, before.proc.Goroutines), need(t, fronts[0].proc.Goroutines)
	goroutines := report.Row{
		Name: "goroutines, after the minute more than after seconds",
		Of:   []report.Column{{Name: "tlogistry", Figure: report.One(float64(many - few))}},
		Goal: report.AtMost(0),
	}
	for _, row := range []report.Row{idle, peak, open, goroutines} {
		figures.Add(memoryTitle, row)
	}
}

// mixed are pulls by tag and by digest, and every eighth of a blob.
func mixed(t testing.TB, f front) []load.Request {
	t.Helper()
	c := need(t, stored)
	requests := f.pulls(t, http.MethodGet)
	for i := range requests {
		switch {
		case i%8 == 7:
			requests[i].Path = blobPath(c.blobs[i/8%len(c.blobs)])
		case i%2 == 1:
			requests[i].Path = tagPath(c.digests[i/2%len(c.digests)])
		}
	}
	return requests
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// settle waits until a front has closed the connections of clients that have
// gone, and returns how many descriptors it then has.
func settle(t testing.TB, f front) int {
	t.Helper()
	last := -1
	for range 100 {
		n, err := f.proc.Descriptors()
		if err != nil {
			t.Fatal(err)
		}
		if n == last {
			break
		}
		last = n
		time.Sleep(100 * time.Millisecond)
	}
	return last
}
