package rekorlog

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/tlogistry/tlogistry/internal/record"
)

// BenchmarkRemembered looks up a reference that this process knows the record
// of, and weighs it, among 1 to a million references seen. As many as
// maxRemembered are remembered.
func BenchmarkRemembered(b *testing.B) {
	for _, n := range []int{1, 1000, maxRemembered, 1_000_000} {
		b.Run(fmt.Sprintf("seen=%d", n), func(b *testing.B) {
			l := newTinyLog(b).open(func(context.Context) (root.TrustedMaterial, error) {
				return nil, errors.New("a remembered reference needs no trust")
			})
			refs := make([]string, 0, maxRemembered)
			before := heap()
			for i := range n {
				s := sighting(i)
				if err := l.memory.confirmed(s.Ref, []record.Sighting{s}); err != nil {
					b.Fatal(err)
				}
				if i >= n-maxRemembered {
					refs = append(refs, s.Ref)
				}
			}
			weight := float64(heap()-before) / float64(len(refs))
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if s, err := l.Lookup(b.Context(), refs[i%len(refs)]); err != nil || len(s) != 1 {
					b.Fatal(s, err)
				}
				i++
			}
			b.ReportMetric(weight, "B/record")
		})
	}
}

// sighting is one whose strings are its own, as those of an answer are.
func sighting(i int) record.Sighting {
	return record.Sighting{
		Ref:    fmt.Sprintf("index.docker.io/library/image-%d:v1.2.3", i),
		Digest: fmt.Sprintf("sha256:%064x", i),
		UUID:   fmt.Sprintf("%080x", i),
		Index:  int64(i),
		Time:   time.Unix(int64(i), 0),
	}
}

// heap returns how many bytes live objects have.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
