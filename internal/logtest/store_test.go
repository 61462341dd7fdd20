package logtest_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tlogistry/tlogistry/internal/logtest"
	"github.com/tlogistry/tlogistry/internal/record"
)

const ref = "registry.test/app:1"

var (
	one = "sha256:" + strings.Repeat("1", 64)
	two = "sha256:" + strings.Repeat("2", 64)
)

func lookup(t *testing.T, in *logtest.Instance) []record.Sighting {
	t.Helper()
	s, err := in.Lookup(t.Context(), ref)
	if err != nil {
		t.Fatalf("Lookup: %v", err)
	}
	return s
}

func add(t *testing.T, in *logtest.Instance, digest string) record.Sighting {
	t.Helper()
	s, err := in.Add(t.Context(), ref, digest)
	if err != nil {
		t.Fatalf("Add: %v", err)
	}
	return s
}

func TestAddThenLookup(t *testing.T) {
	s := logtest.New(1)
	a, b := s.Instance(), s.Instance()
	if got := lookup(t, a); len(got) != 0 {
		t.Fatalf("an empty log shows %v", got)
	}
	own := add(t, a, one)
	if got := lookup(t, b); !slices.Equal(got, []record.Sighting{own}) {
		t.Errorf("the other instance sees %v, want %v", got, own)
	}
	if own.Ref != ref || own.Digest != one || len(own.UUID) != 80 || own.Time.IsZero() {
		t.Errorf("Add returned %+v", own)
	}
	again := add(t, b, two)
	if again != own {
		t.Errorf("Add of a recorded tag returned %+v, want the record that shows, %+v", again, own)
	}
	if got := s.Entries(ref); len(got) != 1 {
		t.Errorf("the log holds %d entries, want 1", len(got))
	}
	if a.Calls(logtest.Add) != 1 || a.Calls(logtest.Confirm) != 1 || a.Calls(logtest.Lookup) != 1 || a.Calls(logtest.Resolve) != 0 {
		t.Error("calls are miscounted")
	}
}

func TestWriteAlways(t *testing.T) {
	s := logtest.New(1)
	in := s.Instance()
	in.WriteAlways()
	first, second := add(t, in, one), add(t, in, two)
	if second.Index <= first.Index || !second.Time.After(first.Time) || second.UUID == first.UUID {
		t.Errorf("entries out of order: %+v, %+v", first, second)
	}
	if got := lookup(t, in); !slices.Equal(got, []record.Sighting{first, second}) {
		t.Errorf("Lookup = %v", got)
	}
}

func TestAddRefusesWhatIsNoRecord(t *testing.T) {
	in := logtest.New(1).Instance()
	if _, err := in.Add(t.Context(), ref, "sha256:short"); !errors.Is(err, record.ErrFormat) {
		t.Errorf("error %v, want %v", err, record.ErrFormat)
	}
	defer func() {
		if recover() == nil {
			t.Error("Record did not panic")
		}
	}()
	logtest.New(1).Record("no tag", one)
}

func TestSameSeedSameLog(t *testing.T) {
	history := func(seed uint64) string {
		s := logtest.New(seed)
		for range 5 {
			s.Record(ref, one)
		}
		return fmt.Sprint(s.Entries(ref))
	}
	seven := history(7)
	if again := history(7); again != seven {
		t.Error("one seed makes two logs")
	}
	if history(8) == seven {
		t.Error("two seeds make one log")
	}
}

// Entries that show out of order are not seen out of order, and Add returns
// when nothing before its own entry can show any more.
func TestHide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := logtest.New(1)
		in := s.Instance()
		s.Hide()
		first, second := s.Record(ref, one), s.Record(ref, two)
		if got := lookup(t, in); len(got) != 0 {
			t.Fatalf("hidden entries show: %v", got)
		}
		s.Show(second.UUID)
		seen := make(chan []record.Sighting, 1)
		go func() { seen <- lookup(t, in) }()
		added := make(chan record.Sighting, 1)
		go func() {
			in := s.Instance()
			in.WriteAlways()
			added <- add(t, in, one)
		}()
		synctest.Wait()
		own := s.Entries(ref)[2]
		s.Show(own.UUID)
		synctest.Wait()
		select {
		case got := <-seen:
			t.Fatalf("Lookup passed over the entry before: %v", got)
		case got := <-added:
			t.Fatalf("Add passed over the entry before: %v", got)
		default:
		}
		s.Show(first.UUID)
		if got := <-added; got != own {
			t.Errorf("Add = %v, want %v", got, own)
		}
		if got := <-seen; !slices.Equal(got, []record.Sighting{first, second, own}) {
			t.Errorf("Lookup = %v", got)
		}
	})
}

func TestShowAll(t *testing.T) {
	s := logtest.New(1)
	s.Hide()
	s.Record(ref, one)
	s.Record(ref, two)
	s.ShowAll()
	s.Show("no such entry")
	if got := lookup(t, s.Instance()); len(got) != 2 {
		t.Errorf("%d entries show, want 2", len(got))
	}
}

func TestLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := logtest.New(3)
		in := s.Instance()
		s.Lag(time.Second)
		start := time.Now()
		var refs, order []string
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range 8 {
			ref := fmt.Sprintf("registry.test/app:%d", i)
			refs = append(refs, ref)
			s.Record(ref, one)
			wg.Go(func() {
				for {
					got, err := in.Lookup(t.Context(), ref)
					if err != nil {
						t.Error(err)
						return
					}
					if len(got) == 1 {
						break
					}
					time.Sleep(time.Millisecond)
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, ref)
			})
		}
		wg.Wait()
		if took := time.Since(start); took == 0 || took > time.Second {
			t.Errorf("all shows after %v, want up to 1s", took)
		}
		if slices.Equal(order, refs) {
			t.Error("entries show in the order of their writes")
		}
		s.Lag(0)
		s.Record(ref+"0", one)
		if got, err := in.Lookup(t.Context(), ref+"0"); err != nil || len(got) != 1 {
			t.Errorf("without a lag: %v, %v", got, err)
		}
	})
}

func TestGivingUp(t *testing.T) {
	s := logtest.New(1)
	s.Hide()
	s.Record(ref, one)
	s.Show(s.Record(ref, two).UUID)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	in := s.Instance()
	if _, err := in.Lookup(ctx, ref); !errors.Is(err, context.Canceled) {
		t.Errorf("Lookup: %v", err)
	}
	in.WriteAlways()
	if _, err := in.Add(ctx, ref, one); !errors.Is(err, context.Canceled) {
		t.Errorf("Add: %v", err)
	}
	s.ShowAll()
}

func TestWithhold(t *testing.T) {
	tests := []struct {
		name      string
		statement logtest.Statement
		digest    string // asked
		want      string // named
		foreign   bool
		after     string // what Lookup says then
	}{
		{"stored", logtest.Stored, two, one, false, one},
		{"late, the same", logtest.Late, one, one, false, one},
		{"late, another", logtest.Late, two, one, false, one},
		{"lost, the same", logtest.Lost, one, one, false, ""},
		{"lost, another", logtest.Lost, two, "", false, ""},
		{"foreign", logtest.Foreign, one, "", true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := logtest.New(1)
			s.Withhold(tt.statement)
			s.Record(ref, one)
			s.Withhold(logtest.Stored)
			in := s.Instance()
			seen := lookup(t, in)
			if named := tt.statement == logtest.Stored; len(seen) != 1 || (seen[0].Digest != "") != named {
				t.Fatalf("Lookup = %v", seen)
			}
			logged, err := record.Statement{
				Identity: record.Identity{Issuer: "https://issuer.example", Subject: "tlogistry@logtest.example"}, Ref: ref, Digest: one,
			}.Encode()
			if match := sha256.Sum256(logged) == seen[0].Hash; err != nil || match == tt.foreign {
				t.Errorf("the hash matches: %v, %v", match, err)
			}
			got, err := in.Resolve(t.Context(), seen[0], tt.digest)
			if errors.Is(err, record.ErrForeign) != tt.foreign || (err != nil) != tt.foreign {
				t.Errorf("Resolve: %v", err)
			}
			want := seen[0]
			want.Digest = tt.want
			if got != want {
				t.Errorf("Resolve = %+v, want %+v", got, want)
			}
			if got := lookup(t, in); got[0].Digest != tt.after {
				t.Errorf("Lookup then names %q, want %q", got[0].Digest, tt.after)
			}
			if own := add(t, in, two); (own.Digest == two) != tt.foreign {
				t.Errorf("Add then returns %+v", own)
			}
		})
	}
	if _, err := logtest.New(1).Instance().Resolve(t.Context(), record.Sighting{UUID: "00"}, one); err == nil {
		t.Error("an entry that does not exist was resolved")
	}
}

func TestFork(t *testing.T) {
	s := logtest.New(1)
	common := s.Record(ref, one)
	s.Hide()
	s.Record(ref, two)
	f := s.Fork()
	mine := f.Record(ref, two)
	s.ShowAll()
	if got := lookup(t, f.Instance()); !slices.Equal(got, []record.Sighting{common, mine}) {
		t.Errorf("the fork shows %v", got)
	}
	if got := lookup(t, s.Instance()); len(got) != 2 || got[0] != common || got[1].UUID == mine.UUID {
		t.Errorf("the log shows %v", got)
	}
}
