package bench

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"

	"github.com/tlogistry/tlogistry/e2e/bench/load"
	"github.com/tlogistry/tlogistry/e2e/bench/report"
	"github.com/tlogistry/tlogistry/e2e/registry"
	"github.com/tlogistry/tlogistry/e2e/sigstore"
	"github.com/tlogistry/tlogistry/internal/record"
)

// tagged gives the registry n new tags of one image and returns their names.
func (u *upstream) tagged(t testing.TB, prefix string, n int) []string {
	t.Helper()
	pusher, err := remote.NewPusher()
	if err != nil {
		t.Fatal(err)
	}
	index := need(t, stored).indexes[0]
	var g errgroup.Group
	g.SetLimit(4)
	var tags []string
	for i := range n {
		tag := fmt.Sprint(prefix, i)
		tags = append(tags, tag)
		g.Go(func() error { return u.push(t.Context(), pusher, tag, index) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return tags
}

// pathsOf returns the paths of tags.
func pathsOf(tags []string) []string {
	var paths []string
	for _, tag := range tags {
		paths = append(paths, tagPath(tag))
	}
	return paths
}

// once has a front answer each path once, over so many connections.
func once(t testing.TB, f front, connections int, paths ...string) load.Result {
	t.Helper()
	connections = min(connections, len(paths))
	if len(paths)%connections != 0 {
		t.Fatalf("%d paths cannot be shared out among %d connections", len(paths), connections)
	}
	r, err := load.Run(t.Context(), load.Plan{
		Addr:        f.addr,
		Requests:    f.requests(http.MethodGet, http.StatusOK, paths...),
		Connections: connections,
		Each:        len(paths) / connections,
	})
	if err != nil {
		t.Fatalf("%s: %v", f.name, err)
	}
	return r
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// ask makes one POST request of Rekor.
func ask(t testing.TB, l *logServer, path, body string) []byte {
	t.Helper()
	b, err := post(l, path, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var rekorClient = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: time.Minute}

func post(l *logServer, path string, body []byte) ([]byte, error) {
	resp, err := rekorClient.Post(l.variable("REKOR_URL")+path, "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("rekor answered %d: %s", resp.StatusCode, b)
	}
	return b, err
}

// identity is whose records the service writes.
func identity(l *logServer) record.Identity {
	return record.Identity{Issuer: l.variable("IDENTITY_ISSUER"), Subject: sigstore.DefaultEmail}
}

// TestRecordedTag measures the first pull of a recorded tag by a process that
// knows nothing yet but the trusted root. The floor is the longer of two ways
// that are gone at once: the registry's, and the log's search and entries.
func TestRecordedTag(t *testing.T) {
	u, l := need(t, hub), need(t, quickLog)
	tags := u.tagged(t, "recorded-", 100+long(5, 1))
	writer := function(t, l, u.far, "REKOR_SETTLE=0s")
	once(t, writer, 5, pathsOf(tags[:100])...)
	once(t, writer, 1, pathsOf(tags[100:])...)
	age()
	base := direct(t, u, u.far)

	var ratios, took, floor report.Figure
	var asked registry.Counts
	var log LogCounts
	for _, tag := range tags[100:] {
		parts := max(trip(t, base, tagPath(tag)), lookup(t, l, tag))
		f := function(t, l, u.far)
		once(t, f, 1, tagPath(need(t, stored).tags[0])) // token, trusted root and identity are there
		counted[registry.Counts](t, u.server)
		counted[LogCounts](t, l.server)
		d := once(t, f, 1, tagPath(tag)).Latencies[0]
		asked, log = counted[registry.Counts](t, u.server), counted[LogCounts](t, l.server)
		took, floor = append(took, milliseconds(d)), append(floor, milliseconds(parts))
		ratios = append(ratios, float64(d)/float64(parts))
	}
	figures.Add(recordedTitle, report.Row{
		Name: "one tag, registry behind 20 ms",
		Unit: "ms",
		Of:   []report.Column{{Name: "tlogistry", Figure: took}, {Name: "the longer of registry and search + entries", Figure: floor}},
	})
	figures.Add(recordedTitle, report.Row{
		Name: "one tag, registry behind 20 ms",
		Unit: "x the longer way",
		Of:   []report.Column{{Name: "tlogistry", Figure: ratios}},
		Goal: report.AtMost(1.1),
	})
	counts(recordedTitle, "one tag", asked, log, 1)

	var all report.Figure
	for range long(3, 1) {
		f := function(t, l, u.far)
		counted[registry.Counts](t, u.server)
		counted[LogCounts](t, l.server)
		all = append(all, milliseconds(once(t, f, 100, pathsOf(tags[:100])...).Elapsed))
		asked, log = counted[registry.Counts](t, u.server), counted[LogCounts](t, l.server)
	}
	figures.Add(recordedTitle, report.Row{
		Name: "100 tags at once, by a process that has just started",
		Unit: "ms",
		Of:   []report.Column{{Name: "tlogistry", Figure: all}},
	})
	counts(recordedTitle, "100 tags at once", asked, log, 100)
}

// age waits until the newest record is so old that one look-up does: while it is
// young, another instance may be about to outrank it.
func age() { time.Sleep(long(7*time.Second, 0)) }

// trip is how long the second of two equal requests takes on one connection.
func trip(t testing.TB, f front, path string) time.Duration {
	t.Helper()
	r, err := load.Run(t.Context(), load.Plan{Addr: f.addr, Requests: f.requests(http.MethodGet, http.StatusOK, path), Each: 2})
	if err != nil {
		t.Fatalf("%s: %v", f.name, err)
	}
	return r.Latencies[0] // the first one waits for the connection too
}

// lookup is how long a search and the entries, if it finds any, take one after
// the other, without any verification.
func lookup(t testing.TB, l *logServer, tag string) time.Duration {
	t.Helper()
	own := identity(l).OwnSubject("index.docker.io/" + repository + ":" + tag)
	start := time.Now()
	ids := ask(t, l, searchPath, fmt.Sprintf(`{"hash":"sha256:%x"}`, own[:]))
	if found := string(bytes.TrimSpace(ids)); found != "[]" {
		ask(t, l, entriesPath, `{"entryUUIDs":`+found+`}`)
	}
	return time.Since(start)
}

// requestsOf is the title of the table of requests beside another table.
func requestsOf(title string) string { return title + ": requests" }

// counts adds what was asked for some tags.
func counts(title, name string, asked registry.Counts, log LogCounts, tags int) {
	one := func(n int) report.Figure { return report.One(float64(n)) }
	figures.Add(requestsOf(title), report.Row{Name: name, Of: []report.Column{
		{Name: "ping", Figure: one(asked.Ping)},
		{Name: "token", Figure: one(asked.Token)},
		{Name: "manifest", Figure: one(asked.ManifestHead + asked.ManifestGet)},
		{Name: "search", Figure: one(log.Search)},
		{Name: "entries", Figure: one(log.Entries)},
		{Name: "create", Figure: one(log.Create)},
		{Name: "certificate", Figure: one(log.Certificate)},
		{Name: "metadata", Figure: one(log.Metadata)},
	}})
}
