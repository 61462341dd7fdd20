package rekorlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/tlogistry/tlogistry/internal/record"
)

const someRef = "index.docker.io/library/app:v1"

// seen is a sighting at an index of a digest, which hash stands for; "" is one
// whose statement the log does not hold.
func seen(index int64, digest string, hash byte) record.Sighting {
	return record.Sighting{Ref: someRef, UUID: fmt.Sprint("entry ", index), Index: index, Digest: digest, Hash: [32]byte{hash}}
}

// TestKeep: what a process goes by is the lowest index that it has seen, and
// never one digest after another.
func TestKeep(t *testing.T) {
	type list = []record.Sighting
	for name, tc := range map[string]struct {
		old, new list
		want     int64 // index that decides afterwards; -1: none
		err      error
	}{
		"the first":                     {nil, list{seen(5, "a", 1)}, 5, nil},
		"none":                          {nil, nil, -1, nil},
		"none after one":                {list{seen(5, "a", 1)}, nil, 5, nil},
		"the same with more":            {list{seen(5, "a", 1)}, list{seen(5, "a", 1), seen(7, "b", 2)}, 5, nil},
		"a later one alone":             {list{seen(5, "a", 1)}, list{seen(7, "b", 2)}, 5, nil},
		"an earlier one, other digest":  {list{seen(5, "a", 1)}, list{seen(3, "b", 2), seen(5, "a", 1)}, -1, errOutranked},
		"an earlier one, same digest":   {list{seen(5, "a", 1)}, list{seen(3, "a", 1)}, 3, nil},
		"the same digest by another":    {list{seen(5, "a", 1)}, list{seen(3, "a", 9)}, 3, nil},
		"unnamed, of the same hash":     {list{seen(5, "a", 1)}, list{seen(3, "", 1)}, 3, nil},
		"unnamed, of another hash":      {list{seen(5, "a", 1)}, list{seen(3, "", 2)}, -1, errOutranked},
		"both unnamed, of other hashes": {list{seen(5, "", 1)}, list{seen(3, "", 2)}, -1, errOutranked},
	} {
		t.Run(name, func(t *testing.T) {
			for who, keep := range map[string]func(*memory) error{
				"a reader": func(m *memory) error { _, _, err := m.found(someRef, tc.new); return err },
				"a writer": func(m *memory) error { return m.confirmed(someRef, tc.new) },
			} {
				m := newMemory()
				if err := m.confirmed(someRef, tc.old); err != nil {
					t.Fatal(err)
				}
				if err := keep(m); !errors.Is(err, tc.err) {
					t.Errorf("%s: got %v, want %v", who, err, tc.err)
				}
				got := int64(-1)
				if s, ok := m.get(someRef); ok {
					got = s[0].Index
				}
				if got != tc.want {
					t.Errorf("%s: the record at %d decides, want %d", who, got, tc.want)
				}
				if err := m.check(someRef); !errors.Is(err, tc.err) {
					t.Errorf("%s: afterwards: %v, want %v", who, err, tc.err)
				}
				if tc.err != nil { // nor by anything that is found afterwards
					if err := keep(m); !errors.Is(err, tc.err) {
						t.Errorf("%s: once more: %v, want %v", who, err, tc.err)
					}
				}
			}
		})
	}
}

// TestOutranked: of a reference whose first record turns out to be another one
// nothing is believed any more, nothing is written, and one line says so.
func TestOutranked(t *testing.T) {
	tiny := newTinyLog(t)
	log := tiny.open(func(context.Context) (root.TrustedMaterial, error) { return tiny.trusted(), nil })
	var lines bytes.Buffer
	log.c.Logger = slog.New(slog.NewTextHandler(&lines, nil))
	if err := log.memory.confirmed(someRef, []record.Sighting{seen(5, "a", 1)}); err != nil {
		t.Fatal(err)
	}
	if err := log.remember(t.Context(), someRef, []record.Sighting{seen(3, "b", 2)}); !errors.Is(err, errOutranked) {
		t.Errorf("the writer gets %v", err)
	}
	for name, call := range map[string]func() error{
		"Lookup": func() error { _, err := log.Lookup(t.Context(), someRef); return err },
		"Find":   func() error { _, err := log.Find(t.Context(), someRef); return err },
		"Add":    func() error { _, err := log.Add(t.Context(), someRef, "sha256:"+leafA); return err },
	} {
		if err := call(); !errors.Is(err, errOutranked) {
			t.Errorf("%s: got %v, want %v", name, err, errOutranked)
		}
	}
	tiny.mu.Lock()
	defer tiny.mu.Unlock()
	if len(tiny.counts) > 0 {
		t.Errorf("the log was asked %v", tiny.counts)
	}
	const want = `level=ERROR msg="the log shows an earlier record, of another digest, than it has shown before" reference=index.docker.io/library/app:v1`
	if got := lines.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, want) {
		t.Errorf("got %s\nwant one line with %s", got, want)
	}
}

// TestReaderWaitsForWriter: a look-up neither begins nor ends while a record of
// the reference is being written.
func TestReaderWaitsForWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		end := m.begin(someRef)
		if _, ok, err := m.found(someRef, []record.Sighting{seen(5, "a", 1)}); ok || err != nil {
			t.Errorf("a reader keeps what shows during a write: %v, %v", ok, err)
		}
		if _, ok := m.get(someRef); ok {
			t.Error("it is remembered")
		}
		if err := m.written(t.Context(), "index.docker.io/library/app:v2"); err != nil {
			t.Error(err)
		}
		var readers sync.WaitGroup
		began := time.Now()
		for range 10 {
			readers.Go(func() {
				if err := m.written(t.Context(), someRef); err != nil || time.Since(began) != time.Minute {
					t.Errorf("got %v after %v", err, time.Since(began))
				}
			})
		}
		readers.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := m.written(ctx, someRef); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
			}
		})
		time.Sleep(time.Minute)
		if err := m.confirmed(someRef, []record.Sighting{seen(3, "b", 2), seen(5, "a", 1)}); err != nil {
			t.Error(err)
		}
		end()
		readers.Wait()
		if s, ok, err := m.found(someRef, []record.Sighting{seen(5, "a", 1)}); !ok || err != nil || s[0].Index != 3 {
			t.Errorf("got %v, %v, %v; want what the writer has found", s, ok, err)
		}
		if len(m.writing) != 0 {
			t.Errorf("%d writes are left", len(m.writing))
		}
	})
}

// TestFresh: a record is fresh for longer than the settle time, by the second
// that integrated times are cut to.
func TestFresh(t *testing.T) {
	for settle, want := range map[time.Duration]time.Duration{
		0: 5 * time.Second, 250 * time.Millisecond: 5 * time.Second, 4 * time.Second: 5 * time.Second,
		4500 * time.Millisecond: 5500 * time.Millisecond, 8 * time.Second: 9 * time.Second, time.Minute: 61 * time.Second,
	} {
		log := &Log{c: Config{Settle: settle}}
		if got := log.fresh(); got != want {
			t.Errorf("with a settle time of %v: %v, want %v", settle, got, want)
		}
	}
}
