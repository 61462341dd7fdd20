package bench

import (
	"net/http"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/bench/report"
	"github.com/tlogistry/tlogistry/e2e/registry"
)

// TestDigest measures a manifest by digest that the service has in memory. The
// floor is what net/http and the functions framework take for any answer.
func TestDigest(t *testing.T) {
	u, c := need(t, plain), need(t, stored)
	base := direct(t, u, u.near)
	fronts := append([]front{function(t, need(t, quickLog), u.near), floor(t)}, peers(t, base)...)
	var paths []string
	for _, d := range c.digests {
		paths = append(paths, tagPath(d))
	}
	perSecond := func(f front) float64 {
		return drive(t, f, 64, long(time.Second, 100*time.Millisecond), f.requests(http.MethodGet, http.StatusOK, paths...)).Rate()
	}
	perSecond(fronts[0]) // now they are in memory
	counted[registry.Counts](t, u.server)
	perSecond(fronts[0])
	asked := counted[registry.Counts](t, u.server)
	of, before := compared(base, fronts, perSecond)
	figures.Add(digestTitle, report.Row{
		Name: "requests per second",
		Unit: "x direct",
		Of:   append(columns(fronts, of, before, over), baseColumn("direct, requests/s", before)),
		Goal: report.AtLeast(5),
	})
	figures.Add(digestTitle, report.Row{
		Name: "requests at the registry",
		Of:   []report.Column{{Name: "tlogistry", Figure: report.One(float64(asked.Total()))}},
		Goal: report.AtMost(0),
	})
}

// archeio is how many times the redirects of registry.k8s.io's server a bare
// redirect handler makes. No module proxy has that server, so the handler
// stands for it. Both were measured on one machine, also of two cores.
const archeio = 1.5

// TestBlobRedirect measures a blob of a registry that wants no token. The
// client is sent there, and the registry is not asked.
func TestBlobRedirect(t *testing.T) {
	s, err := startServer("island", IslandOptions{
		Function: need(t, functionPath),
		Redirect: need(t, redirect),
		Floor:    need(t, floorPath),
		Env:      need(t, quickLog).env,
	})
	if err != nil {
		t.Logf("not measured, as there can be no network namespace: %v", err)
		return
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	perSecond := func(f front) float64 {
		rush := Rush{f.name, long(time.Second, 100*time.Millisecond)}
		return need(t, func() (float64, error) { return call[float64](s, "Rate", rush) })
	}
	bare, service, least := front{name: "redirect"}, front{name: "tlogistry"}, front{name: "floor"}
	perSecond(service) // now it knows that the registry wants no token
	counted[int64](t, s)
	of, before := compared(bare, []front{service, least}, perSecond)
	figures.Add(blobTitle, report.Row{
		Name: "no token wanted, 64 connections: redirects per second",
		Unit: "x archeio",
		Of: []report.Column{
			{Name: "tlogistry", Figure: times(of["tlogistry"].Over(before["tlogistry"]), archeio)},
			{Name: "floor", Figure: times(of["floor"].Over(before["floor"]), archeio)},
			{Name: "archeio (by a bare redirect handler), redirects/s", Figure: times(before["tlogistry"], 1/archeio)},
		},
		Goal: report.AtLeast(1.2),
	})
	figures.Add(blobTitle, report.Row{
		Name: "no token wanted: requests at the registry",
		Of:   []report.Column{{Name: "tlogistry", Figure: report.One(float64(counted[int64](t, s)))}},
		Goal: report.AtMost(0),
	})
}

func times(f report.Figure, factor float64) report.Figure {
	var out report.Figure
	for _, v := range f {
		out = append(out, v*factor)
	}
	return out
}

// TestBlobOfHub measures a blob of a registry that wants a token and redirects:
// it is asked once, for the address that needs no token.
func TestBlobOfHub(t *testing.T) {
	u, c := need(t, hub), need(t, stored)
	base := direct(t, u, u.near)
	service := function(t, need(t, quickLog), u.far)
	var paths []string
	for _, d := range c.blobs {
		paths = append(paths, blobPath(d))
	}
	redirects := func(f front) float64 {
		requests := f.requests(http.MethodGet, http.StatusTemporaryRedirect, paths...)
		return drive(t, f, 16, long(time.Second, 200*time.Millisecond), requests).Quantile(0.5).Seconds() * 1e3
	}
	redirects(service) // now it has a token
	counted[registry.Counts](t, u.server)
	requests := service.requests(http.MethodGet, http.StatusTemporaryRedirect, paths...)
	n := float64(len(drive(t, service, 1, long(time.Second, 200*time.Millisecond), requests).Latencies))
	asked := counted[registry.Counts](t, u.server)
	base.addr = u.far
	of, before := compared(base, []front{service}, redirects)
	figures.Add(blobTitle, report.Row{
		Name: "token wanted: requests at the registry for each",
		Of:   []report.Column{{Name: "tlogistry", Figure: report.One(float64(asked.Total()) / n)}},
		Goal: report.AtMost(1),
	})
	figures.Add(blobTitle, report.Row{
		Name: "token wanted, registry behind 20 ms, 16 connections: median latency",
		Unit: "x direct",
		Of:   columns([]front{service}, of, before, over),
		Goal: report.AtMost(1.02),
	})
}
