package bench

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/bench/report"
	"github.com/tlogistry/tlogistry/e2e/registry"
)

// recorded returns a service before a registry that has verified the records
// of all tags in this process, so that every pull is a later one.
func recorded(t testing.TB, addr string) front {
	t.Helper()
	// Nobody else writes these records: there is nothing to settle.
	f := function(t, need(t, quickLog), addr, "REKOR_SETTLE=0s")
	warm(t, f)
	return f
}

// behind returns the service and the other fronts before a registry, all of
// which have answered every tag once.
func behind(t testing.TB, base front) []front {
	t.Helper()
	fronts := []front{recorded(t, base.addr)}
	for _, f := range peers(t, base) {
		warm(t, f)
		fronts = append(fronts, f)
	}
	return fronts
}

// microseconds returns the median latency of requests of all tags.
func microseconds(t testing.TB, method string, connections int, d time.Duration) measure {
	return func(f front) float64 {
		t.Helper()
		return float64(drive(t, f, connections, d, f.pulls(t, method)).Quantile(0.5).Nanoseconds()) / 1e3
	}
}

// rate returns the requests answered per second, over all tags.
func rate(t testing.TB, connections int, d time.Duration) measure {
	return func(f front) float64 {
		t.Helper()
		return drive(t, f, connections, d, f.pulls(t, http.MethodGet)).Rate()
	}
}

// TestTagFar measures a later pull by tag from a registry at a distance. The
// floor is one round trip to the registry, which the registry itself costs.
func TestTagFar(t *testing.T) {
	for _, kind := range []struct {
		name string
		made func() (*upstream, error)
	}{{"no token", plain}, {"token", hub}} {
		u := need(t, kind.made)
		base := direct(t, u, u.far)
		fronts := behind(t, base)
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			for _, connections := range []int{1, 16} {
				shown := fronts
				if method == http.MethodHead {
					shown = fronts[:1]
				}
				of, before := compared(base, shown, microseconds(t, method, connections, long(600*time.Millisecond, 50*time.Millisecond)))
				figures.Add(farTitle, report.Row{
					Name: fmt.Sprintf("%s, %s, connections: %d", method, kind.name, connections),
					Unit: "x direct",
					Of:   append(columns(shown, of, before, over), baseColumn("direct, µs", before)),
					Goal: report.AtMost(1.02),
				})
			}
		}
	}
}

// TestTagNear measures the same where the registry is on this machine, so that
// nothing hides what the front itself costs.
func TestTagNear(t *testing.T) {
	u := need(t, plain)
	base := direct(t, u, u.near)
	fronts := behind(t, base)

	of, before := compared(base, fronts, rate(t, 64, long(time.Second, 50*time.Millisecond)))
	figures.Add(nearTitle, report.Row{
		Name: "GET, 64 connections, requests per second",
		Unit: "x direct",
		Of:   append(columns(fronts, of, before, over), baseColumn("direct, requests/s", before)),
		Goal: report.AtLeast(0.58),
	})
	of, before = compared(base, fronts, microseconds(t, http.MethodGet, 1, long(500*time.Millisecond, 50*time.Millisecond)))
	figures.Add(nearTitle, report.Row{
		Name: "GET, 1 connection, median latency above direct",
		Unit: "µs",
		Of:   append(columns(fronts, of, before, minus), baseColumn("direct, µs", before)),
		Goal: report.AtMost(250),
	})
}

// TestTagRequests counts what later pulls ask of the registry and of the log.
func TestTagRequests(t *testing.T) {
	u, log := need(t, hub), need(t, quickLog)
	counted[registry.Counts](t, u.server)
	f := recorded(t, u.far)
	asked := counted[registry.Counts](t, u.server)
	images := len(need(t, stored).digests)
	figures.Add(tagRequestsTitle, report.Row{
		Name: "GETs that a quota counts, per digest and process",
		Of:   []report.Column{{Name: "tlogistry", Figure: report.One(float64(asked.ManifestGet) / float64(images))}},
		Goal: report.AtMost(1),
	})
	counted[LogCounts](t, log.server)
	n := float64(len(drive(t, f, 1, long(2*time.Second, 100*time.Millisecond), f.pulls(t, http.MethodGet)).Latencies))
	asked, of := counted[registry.Counts](t, u.server), counted[LogCounts](t, log.server)
	for _, row := range []struct {
		name  string
		count int
		most  float64
	}{
		{"manifest HEAD at the registry", asked.ManifestHead, 1},
		{"manifest GET at the registry", asked.ManifestGet, 0},
		{"ping, token and others at the registry", asked.Total() - asked.ManifestHead - asked.ManifestGet, 0},
		{"at the log, Fulcio and the metadata server", of.total(), 0},
	} {
		figures.Add(tagRequestsTitle, report.Row{
			Name: row.name,
			Of:   []report.Column{{Name: "tlogistry", Figure: report.One(float64(row.count) / n)}},
			Goal: report.AtMost(row.most),
		})
	}
}
