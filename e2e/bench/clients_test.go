package bench

import (
	"net"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/bench/report"
	"github.com/tlogistry/tlogistry/e2e/clients"
)

// TestWholePull measures what a user waits for: a real client pulls an image of
// twelve layers, in a later pull. The registry is behind 20 ms, wants a token
// and sends blobs elsewhere, as most public ones do; or wants none and sends
// the blobs itself, which then pass through the service.
func TestWholePull(t *testing.T) {
	names := long([]string{"docker", "crane", "skopeo"}, []string{"crane"})
	kinds := []struct {
		name string
		made func() (*upstream, error)
	}{{"token, blobs elsewhere", hub}, {"no token, blobs through", plain}}
	for _, kind := range kinds[:long(2, 1)] {
		u := need(t, kind.made)
		_, port, _ := net.SplitHostPort(function(t, need(t, quickLog), u.far).addr)
		fronts := []front{{name: "tlogistry", addr: "localhost:" + port}}
		for _, name := range names {
			t.Run(name+", "+kind.name, func(t *testing.T) {
				client := clients.Start(t, name)
				pull := func(f front) float64 {
					start := time.Now()
					if output, err := client.Pull(t.Context(), f.addr+"/"+repository+":large"); err != nil {
						t.Fatalf("%s through %s: %v\n%s", name, f.name, err, output)
					}
					return milliseconds(time.Since(start))
				}
				pull(fronts[0])
				of, before := compared(front{name: "direct", addr: u.far}, fronts, pull)
				figures.Add(wholeTitle, report.Row{
					Name: name + ", " + kind.name,
					Unit: "x direct",
					Of:   append(columns(fronts, of, before, over), baseColumn("direct, ms", before)),
					Goal: report.AtMost(1.05),
				})
			})
		}
	}
}
