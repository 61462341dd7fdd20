package tilelog_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// BenchmarkGrowth measures a log that grows from one record to a million,
// which it takes minutes to write:
//
//	go test -run '^$' -bench Growth -benchtime 1x -timeout 30m ./internal/tilelog
func BenchmarkGrowth(b *testing.B) {
	dir := b.TempDir()
	has := 0
	for _, n := range []int{1, 1000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("records=%d", n), func(b *testing.B) {
			l := mustOpen(b, tilelog.Config{Dir: dir})
			start := time.Now()
			for wrote := has; has < n; {
				most := min(n, has+5000)
				fill(b, l, has, most)
				has = most
				if has == n {
					b.ReportMetric(float64(n-wrote)/time.Since(start).Seconds(), "added/s")
				}
			}
			mustClose(b, l)
			measureGrown(b, dir, n)
		})
	}
}

// measureGrown measures a log of n records: its start, what its index weighs,
// look-ups, and one more record alone.
func measureGrown(b *testing.B, dir string, n int) {
	before := heap()
	start := time.Now()
	l := mustOpen(b, tilelog.Config{Dir: dir})
	opened := time.Since(start)
	weight := float64(heap()-before) / float64(n)

	const lookups = 10_000
	start = time.Now()
	for i := range lookups {
		if s, err := l.Lookup(b.Context(), numbered(i*7919%n)); err != nil || len(s) != 1 {
			b.Fatal(s, err)
		}
	}
	looked := time.Since(start) / lookups
	mustClose(b, l)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(opened.Milliseconds()), "ms/open")
	b.ReportMetric(weight, "heap-B/record")
	b.ReportMetric(float64(looked.Nanoseconds()), "ns/lookup")
}
