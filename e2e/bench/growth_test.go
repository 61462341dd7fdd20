package bench

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tlogistry/tlogistry/e2e/bench/report"
)

// TestInstances records new tags, sixteen at a time in all, through more and
// more instances that share a log. They do not know of each other.
func TestInstances(t *testing.T) {
	u, l := need(t, plain), need(t, slowLog)
	n := long(96, 16)
	for _, instances := range long([]int{1, 2, 4, 8}, []int{1, 2}) {
		var fronts []front
		for i := range instances {
			f := function(t, l, u.near)
			once(t, f, 1, tagPath(u.tagged(t, fmt.Sprintf("instance-%d-%d-", instances, i), 1)[0]))
			fronts = append(fronts, f)
		}
		tags := u.tagged(t, fmt.Sprintf("of-%d-", instances), n)
		counted[LogCounts](t, l.server)
		took := seconds(t, 16, n, func(ctx context.Context, i int) error {
			return fronts[i%instances].get(ctx, tagPath(tags[i]))
		})
		log := counted[LogCounts](t, l.server)
		later := seconds(t, 16, n, func(ctx context.Context, i int) error {
			return fronts[(i+1)%instances].get(ctx, tagPath(tags[i]))
		})
		name := fmt.Sprintf("%d instances", instances)
		figures.Add(instancesTitle, report.Row{Name: name, Of: []report.Column{
			{Name: fmt.Sprintf("%d new tags, 16 at a time, s", n), Figure: report.One(took)},
			{Name: "the same tags at another instance, s", Figure: report.One(later)},
			{Name: "creates a tag", Figure: report.One(float64(log.Create) / float64(n))},
			{Name: "searches a tag", Figure: report.One(float64(log.Search) / float64(n))},
		}})
		for _, f := range fronts {
			if err := f.proc.Stop(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestForeignEntries has more and more entries by others under a tag's own
// subject in the log, and pulls it by a process that knows nothing yet. Those
// in the name of others are narrowed away by the log; those that name the
// service's own account, in certificates that nobody trusts, must be read.
func TestForeignEntries(t *testing.T) {
	u, l := need(t, plain), need(t, quickLog)
	for _, kind := range []struct {
		name, email string
		steps       []int
	}{
		{"in others' names", "somebody@example.com", long([]int{0, 10, 100, 1000, 10_000}, []int{0, 10})},
		{"in the service's name", "", long([]int{0, 10, 100, 1000}, []int{0, 10})},
	} {
		tag := u.tagged(t, strings.ReplaceAll(kind.name, " ", "-")[:8]+"-", 1)[0]
		once(t, function(t, l, u.near, "REKOR_SETTLE=0s"), 1, tagPath(tag))
		age()
		logged := 0
		for _, n := range kind.steps {
			flood(t, l, Wish{
				Email: kind.email, Refs: []string{"index.docker.io/" + repository + ":" + tag},
				Digest: need(t, stored).digests[1],
			}, n-logged)
			logged = n
			var took report.Figure
			var log LogCounts
			for range long(3, 1) {
				f := function(t, l, u.near)
				once(t, f, 1, tagPath(need(t, stored).tags[0])) // there is a trusted root now
				counted[LogCounts](t, l.server)
				took = append(took, milliseconds(once(t, f, 1, tagPath(tag)).Latencies[0]))
				log = counted[LogCounts](t, l.server)
				if err := f.proc.Stop(); err != nil {
					t.Fatal(err)
				}
			}
			figures.Add(foreignTitle, report.Row{
				Name: fmt.Sprintf("%d %s", n, kind.name),
				Of: []report.Column{
					{Name: "first pull by a new process, ms", Figure: took},
					{Name: "searches", Figure: report.One(float64(log.Search))},
					{Name: "entries", Figure: report.One(float64(log.Entries))},
				},
			})
		}
	}
}

// flood logs n entries as wished and waits until all show.
func flood(t testing.TB, l *logServer, w Wish, n int) {
	t.Helper()
	for n > 0 {
		w.Salt = min(n, 500)
		n -= w.Salt
		entries := need(t, func() ([][]byte, error) { return call[[][]byte](l.server, "Proposals", w) })
		var g errgroup.Group
		g.SetLimit(8)
		for _, e := range entries {
			g.Go(func() error {
				_, err := post(l, createPath, e)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(100 * time.Millisecond) // the index is behind by 13 ms at most
}
