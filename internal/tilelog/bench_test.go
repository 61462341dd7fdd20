package tilelog_test

import (
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// benchSize is how many records the measured log has.
const benchSize = 100_000

// BenchmarkLog measures a log of 100,000 records:
//
//	go test -run '^$' -bench Log -benchtime 20x ./internal/tilelog
func BenchmarkLog(b *testing.B) {
	dir := b.TempDir()
	l := mustOpen(b, tilelog.Config{Dir: dir})
	start := time.Now()
	for from := 0; from < benchSize; from += 5000 {
		fill(b, l, from, from+5000)
	}
	took := time.Since(start)
	mustClose(b, l)
	l = nil

	b.Run("Open", func(b *testing.B) {
		before := heap()
		for b.Loop() {
			l = mustOpen(b, tilelog.Config{Dir: dir})
			b.StopTimer()
			b.ReportMetric(float64(heap()-before)/benchSize, "heap-B/record")
			mustClose(b, l)
			l = nil
			b.StartTimer()
		}
		stay, partial := sizes(b, dir)
		b.ReportMetric(float64(stay)/benchSize, "disk-B/record")
		b.ReportMetric(float64(partial)/benchSize, "partial-B/record")
		b.ReportMetric(benchSize/took.Seconds(), "added/s")
	})
	l = mustOpen(b, tilelog.Config{Dir: dir})
	defer mustClose(b, l)
	b.Run("Lookup", func(b *testing.B) {
		i := 0
		for b.Loop() {
			if s, err := l.Lookup(b.Context(), numbered(i%benchSize)); err != nil || len(s) != 1 {
				b.Fatal(s, err)
			}
			i++
		}
	})
	next := benchSize
	b.Run("Add", func(b *testing.B) {
		for b.Loop() {
			fill(b, l, next, next+1)
			next++
		}
	})
	b.Run("Add2000AtOnce", func(b *testing.B) {
		for b.Loop() {
			fill(b, l, next, next+2000)
			next += 2000
		}
	})
	b.Run("Audit", func(b *testing.B) {
		r, err := tilelog.OpenReader(dir, l.VerifierKey())
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if err := auditAll(b.Context(), r); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// heap returns how many bytes live objects have.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// sizes returns how many bytes the log's files have, without the partial ones,
// which go within minutes, and those.
func sizes(b *testing.B, dir string) (stay, partial int64) {
	b.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		st, err := d.Info()
		if err == nil && strings.Contains(path, ".p/") {
			partial += st.Size()
		} else if err == nil {
			stay += st.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return stay, partial
}
