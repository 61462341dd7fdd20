package flight_test

import (
	"context"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/internal/flight"
)

// BenchmarkCall makes one call after another, alone: in the caller's goroutine
// and in one of its own. The call waits for another goroutine, as an exchange
// does for those of its connection.
func BenchmarkCall(b *testing.B) {
	for name, do := range map[string]func(*flight.Group[int], context.Context, string, func(context.Context) (int, error)) (int, error){
		"Do":       (*flight.Group[int]).Do,
		"DoInline": (*flight.Group[int]).DoInline,
	} {
		b.Run(name, func(b *testing.B) {
			asked, answers := make(chan int), make(chan int)
			defer close(asked)
			go func() {
				for n := range asked {
					answers <- n
				}
			}()
			g := flight.NewGroup[int](time.Minute)
			defer g.Close()
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := do(g, ctx, "key", func(context.Context) (int, error) {
					asked <- 1
					return <-answers, nil
				}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
