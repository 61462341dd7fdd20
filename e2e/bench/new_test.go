package bench

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tlogistry/tlogistry/e2e/bench/load"
	"github.com/tlogistry/tlogistry/e2e/bench/report"
	"github.com/tlogistry/tlogistry/e2e/registry"
)

// settleTime is the service's default of REKOR_SETTLE: what it waits after a
// write, as another instance's may still be on its way into the index.
const settleTime = 250 * time.Millisecond

// proposals returns signed entries that say of tags what the registry would.
// They are by another author, so that they are nobody's records.
func proposals(t testing.TB, l *logServer, prefix string, n int) [][]byte {
	t.Helper()
	w := Wish{Email: "somebody@example.com", Digest: need(t, stored).digests[0]}
	for i := range n {
		w.Refs = append(w.Refs, fmt.Sprintf("index.docker.io/%s:%s%d", repository, prefix, i))
	}
	return need(t, func() ([][]byte, error) { return call[[][]byte](l.server, "Proposals", w) })
}

// TestNewTag measures the first pull of a tag from a log whose creates take as
// long as a real one's. The floor is the parts one after the other: search and
// registry at once, create, settle time, search and entries. A create ends with
// the log's next pass: so each round has creates begin at every part of the time
// between two passes, the bare ones as well as the service's, and counts sums.
func TestNewTag(t *testing.T) {
	u, l := need(t, plain), need(t, slowLog)
	const parts = 5
	n := long(5, 1)
	tags := u.tagged(t, "new-", 1+n*parts)
	f := function(t, l, u.far)
	once(t, f, 1, tagPath(tags[0])) // there is a certificate now
	base := direct(t, u, u.far)
	bare := proposals(t, l, "bare-", n*parts)
	var took, floor report.Figure
	for i := range n {
		var ours, least time.Duration
		for j := range parts {
			at, tag := time.Duration(j)*passEvery/parts, tags[1+i*parts+j]
			time.Sleep(at)
			least += newTagParts(t, l, base, bare[i*parts+j], tag, tags[0])
			time.Sleep(at)
			ours += once(t, f, 1, tagPath(tag)).Latencies[0]
		}
		took, floor = append(took, milliseconds(ours/parts)), append(floor, milliseconds(least/parts))
	}
	figures.Add(newTitle, report.Row{
		Name: "one tag, registry behind 20 ms",
		Unit: "ms",
		Of:   []report.Column{{Name: "tlogistry", Figure: took}, {Name: "parts", Figure: floor}},
	})
	figures.Add(newTitle, report.Row{
		Name: "one tag, registry behind 20 ms",
		Unit: "x parts",
		Of:   []report.Column{{Name: "tlogistry", Figure: took.Over(floor)}},
		Goal: report.AtMost(1.1),
	})
}

// newTagParts is how long the parts of a first pull of tag take alone. There is
// a record of recorded.
func newTagParts(t *testing.T, l *logServer, base front, proposal []byte, tag, recorded string) time.Duration {
	t.Helper()
	registry := trip(t, base, tagPath(tag))
	search := lookup(t, l, "nobody's")
	start := time.Now()
	if _, err := post(l, createPath, proposal); err != nil {
		t.Fatal(err)
	}
	create := time.Since(start)
	return max(registry, search) + create + max(settleTime, create) + lookup(t, l, recorded)
}

// TestNewTagAtOnce has fifty clients ask a new process for one new tag.
func TestNewTagAtOnce(t *testing.T) {
	u, l := need(t, hub), need(t, slowLog)
	tag := u.tagged(t, "wanted-", 1)[0]
	f := function(t, l, u.far)
	counted[registry.Counts](t, u.server)
	counted[LogCounts](t, l.server)
	requests := append(f.requests(http.MethodHead, http.StatusOK, tagPath(tag)), f.requests(http.MethodGet, http.StatusOK, tagPath(tag))...)
	if _, err := load.Run(t.Context(), load.Plan{Addr: f.addr, Requests: requests, Connections: 50, Each: 1}); err != nil {
		t.Fatal(err)
	}
	asked, log := counted[registry.Counts](t, u.server), counted[LogCounts](t, l.server)
	counts(newTitle, "one tag, 50 clients at once, HEAD and GET", asked, log, 1)
	for _, row := range []struct {
		name  string
		count int
	}{{"creates", log.Create}, {"certificates", log.Certificate}, {"tokens", asked.Token}} {
		figures.Add(newTitle, report.Row{
			Name: "one tag, 50 clients at once: " + row.name,
			Of:   []report.Column{{Name: "tlogistry", Figure: report.One(float64(row.count))}},
			Goal: report.AtMost(1),
		})
	}
}

// TestNewTags compares a hundred new tags, sixteen at a time, with as many
// creates of Rekor's that are each followed by the settle time.
func TestNewTags(t *testing.T) {
	const atOnce = 16
	n := long(100, 16)
	u, l := need(t, plain), need(t, slowLog)
	f := function(t, l, u.near)
	once(t, f, 1, tagPath(u.tagged(t, "first-", 1)[0])) // there is a certificate now
	var ours, bare report.Figure
	for round := range long(3, 1) {
		entries := proposals(t, l, fmt.Sprintf("bare-%d-", round), n)
		bare = append(bare, seconds(t, atOnce, n, func(ctx context.Context, i int) error {
			_, err := post(l, createPath, entries[i])
			time.Sleep(settleTime)
			return err
		}))
		tags := u.tagged(t, fmt.Sprintf("many-%d-", round), n)
		counted[LogCounts](t, l.server)
		ours = append(ours, seconds(t, atOnce, n, func(ctx context.Context, i int) error {
			return f.get(ctx, tagPath(tags[i]))
		}))
	}
	log := counted[LogCounts](t, l.server)
	figures.Add(newTitle, report.Row{
		Name: "100 tags, 16 at a time",
		Unit: "x bare creates and settle time",
		Of: []report.Column{
			{Name: "tlogistry", Figure: ours.Over(bare)},
			{Name: "tlogistry, s", Figure: ours},
			{Name: "bare, s", Figure: bare},
		},
		Goal: report.AtMost(1.3),
	})
	counts(newTitle, "100 tags, 16 at a time", registry.Counts{}, log, n)
}

// seconds is how long n calls take, so many at a time.
func seconds(t testing.TB, atOnce, n int, f func(ctx context.Context, i int) error) float64 {
	t.Helper()
	g, ctx := errgroup.WithContext(t.Context())
	g.SetLimit(atOnce)
	start := time.Now()
	for i := range n {
		g.Go(func() error { return f(ctx, i) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return time.Since(start).Seconds()
}

// pooled keeps connections, as many as are used at once.
var pooled = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 2 * time.Minute}

// get makes one request that must be answered with 200.
func (f front) get(ctx context.Context, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+f.addr+path, nil)
	if err != nil {
		return err
	}
	req.Header = f.header.Clone()
	resp, err := pooled.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: status %d", f.name, path, resp.StatusCode)
	}
	return nil
}
