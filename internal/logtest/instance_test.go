package logtest_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/tlogistry/tlogistry/internal/logtest"
	"github.com/tlogistry/tlogistry/internal/record"
)

func TestFail(t *testing.T) {
	broken := errors.New("broken")
	call := map[logtest.Call]func(*logtest.Instance) error{
		logtest.Lookup: func(in *logtest.Instance) error {
			_, err := in.Lookup(context.Background(), ref)
			return err
		},
		logtest.Resolve: func(in *logtest.Instance) error {
			s := lookup(t, in)
			_, err := in.Resolve(context.Background(), s[0], one)
			return err
		},
		logtest.Add: func(in *logtest.Instance) error {
			_, err := in.Add(context.Background(), ref, one)
			return err
		},
		logtest.Confirm: func(in *logtest.Instance) error {
			in.WriteAlways()
			_, err := in.Add(context.Background(), ref, one)
			return err
		},
	}
	for c, do := range call {
		s := logtest.New(1)
		s.Record(ref, one)
		in := s.Instance()
		in.FailOnce(c, broken)
		if err := do(in); err != broken {
			t.Errorf("call %d, told to fail once: %v", c, err)
		}
		if err := do(in); err != nil {
			t.Errorf("call %d, after it failed once: %v", c, err)
		}
		in.Fail(c, broken)
		for range 2 {
			if err := do(in); err != broken {
				t.Errorf("call %d, told to fail: %v", c, err)
			}
		}
		in.Fail(c, nil)
		if err := do(in); err != nil {
			t.Errorf("call %d, told to work again: %v", c, err)
		}
		wrote := len(s.Entries(ref)) - 1
		if want := map[logtest.Call]int{logtest.Confirm: 5}[c]; wrote != want {
			t.Errorf("call %d wrote %d entries, want %d", c, wrote, want)
		}
	}
}

func TestLie(t *testing.T) {
	s := logtest.New(1)
	in := s.Instance()
	own := s.Record(ref, one)
	in.Lie(func(asked string, truth []record.Sighting) []record.Sighting {
		if asked != ref || !slices.Equal(truth, []record.Sighting{own}) {
			t.Errorf("asked to lie about %s, %v", asked, truth)
		}
		return nil
	})
	if got := lookup(t, in); got != nil {
		t.Errorf("Lookup = %v, want the lie", got)
	}
	if got := lookup(t, s.Instance()); len(got) != 1 {
		t.Errorf("another instance lies, too: %v", got)
	}
	in.Lie(nil)
	if got := lookup(t, in); len(got) != 1 {
		t.Errorf("Lookup = %v, want the truth", got)
	}
}

func TestHold(t *testing.T) {
	s := logtest.New(1)
	in := s.Instance()
	gate := in.Hold(logtest.Lookup)
	const n = 5
	results := make(chan []record.Sighting, n)
	for range n {
		go func() {
			got, err := in.Lookup(context.Background(), ref)
			if err != nil {
				t.Error(err)
			}
			results <- got
		}()
	}
	if err := gate.Arrived(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	s.Record(ref, one)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := in.Lookup(ctx, ref); !errors.Is(err, context.Canceled) {
		t.Errorf("a held call whose context has ended: %v", err)
	}
	if err := gate.Arrived(ctx, n+2); !errors.Is(err, context.Canceled) {
		t.Errorf("Arrived: %v", err)
	}
	select {
	case got := <-results:
		t.Fatalf("a held call returned %v", got)
	default:
	}
	gate.Release()
	gate.Release()
	for range n {
		if got := <-results; len(got) != 0 {
			t.Errorf("a held look-up knows what was written meanwhile: %v", got)
		}
	}
	if got := lookup(t, in); len(got) != 1 {
		t.Errorf("after the release: %v", got)
	}
}

// Simultaneous first records of one tag by one instance are one entry.
func TestAddIsShared(t *testing.T) {
	s := logtest.New(1)
	in := s.Instance()
	gate := in.Hold(logtest.Confirm)
	const n = 20
	results := make(chan record.Sighting, n)
	for i := range n {
		go func() {
			own, err := in.Add(context.Background(), ref, []string{one, two}[i%2])
			if err != nil {
				t.Error(err)
			}
			results <- own
		}()
	}
	if err := gate.Arrived(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := in.Add(ctx, ref, one); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that gives up: %v", err)
	}
	gate.Release()
	first := <-results
	for range n - 1 {
		if got := <-results; got != first {
			t.Errorf("Add = %v, want %v", got, first)
		}
	}
	if got := s.Entries(ref); !slices.Equal(got, []record.Sighting{first}) {
		t.Errorf("the log holds %v", got)
	}
}
