package flight_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/internal/flight"
)

// A call that panics is an error to whoever waits, and the next is made anew.
func TestPanic(t *testing.T) {
	g := flight.NewGroup[string](time.Minute)
	defer g.Close()
	got, err := g.Do(t.Context(), "key", func(context.Context) (string, error) { panic("secret reason") })
	var p *flight.PanicError
	if got != "" || !errors.As(err, &p) || p.Value != "secret reason" || err.Error() != "panic: secret reason" || !strings.Contains(string(p.Stack), "panic_test.go") {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := g.Do(t.Context(), "key", func(context.Context) (string, error) { return "result", nil }); got != "result" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestCatch(t *testing.T) {
	if err := flight.Catch(func() {}); err != nil {
		t.Error(err)
	}
	if err := flight.Catch(func() { panic(errors.New("reason")) }); err == nil || err.Error() != "panic: reason" {
		t.Error(err)
	}
}
