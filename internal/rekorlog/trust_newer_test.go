package rekorlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
)

// untrustedAt is what judge calls fail with for an entry of a time.
func untrustedAt(at time.Time) error { return &untrustedError{at, errors.New("unknown authority")} }

// TestJudgeWhatIsNewer: what was made after the trusted root was loaded is judged
// by one that is loaded later, however young that is, and by none more than once
// a second. What was made before is not worth a load.
func TestJudgeWhatIsNewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &loader{}
		trust := newTrust(trustAge, l.load)
		began := time.Now()
		judge := func(at time.Time, loads int, after time.Duration) {
			t.Helper()
			time.Sleep(time.Millisecond)
			err := trust.judge(t.Context(), func(root.TrustedMaterial) error { return untrustedAt(at) })
			took := time.Since(began).Truncate(time.Second)
			if n, _ := l.counts(); !errors.Is(err, errUntrusted) || errors.Is(err, errOutdated) || n != loads || took != after {
				t.Errorf("got %v after %d loads, %v; want %v after %d, %v", err, n, took, errUntrusted, loads, after)
			}
		}
		judge(began.Add(-time.Minute), 1, 0)
		judge(began.Add(-2*time.Second), 1, 0)
		judge(began, 2, time.Second) // cut to the second: perhaps after
		judge(began, 2, time.Second)
		judge(began.Add(time.Second), 3, 2*time.Second)
		time.Sleep(time.Minute)
		judge(began.Add(time.Minute), 4, 62*time.Second)
		judge(began.Add(time.Minute), 4, 62*time.Second)
		// The log's clock is ahead: one that is loaded afterwards will do.
		judge(began.Add(time.Hour), 5, 63*time.Second)
		judge(began.Add(time.Hour), 6, 64*time.Second)
		time.Sleep(time.Millisecond)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				_ = trust.judge(t.Context(), func(root.TrustedMaterial) error { return untrustedAt(began.Add(time.Hour)) })
			})
		}
		wg.Wait()
		if n, _ := l.counts(); n != 7 {
			t.Errorf("%d loads, want one for all", n)
		}
	})
}

// TestKeptFromBefore: a trusted root that is kept from before serves, and is not
// one that was just loaded: what it does not trust is not judged. It does not
// take the place of one that was loaded.
func TestKeptFromBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept, loaded := new(root.TrustedRoot), new(root.TrustedRoot)
		down := true
		trust := newTrust(trustAge, func(context.Context) (root.TrustedMaterial, error) {
			if down {
				return kept, errors.New("down")
			}
			return loaded, nil
		})
		defer trust.Close()
		judge := func(want error, by ...root.TrustedMaterial) {
			t.Helper()
			n := 0
			err := trust.judge(t.Context(), func(tm root.TrustedMaterial) error {
				if n++; n > len(by) || tm != by[n-1] {
					t.Errorf("judgement %d is by another trusted root", n)
				}
				return untrustedAt(time.Now().Add(-time.Hour))
			})
			if n != len(by) || errors.Is(err, errOutdated) != (want == errOutdated) || !errors.Is(err, errUntrusted) {
				t.Errorf("got %v after %d, want %v after %d", err, n, want, len(by))
			}
		}
		if tm, err := trust.Material(t.Context()); tm != kept || err != nil {
			t.Fatalf("got %v, %v", tm, err)
		}
		judge(errOutdated, kept)
		time.Sleep(2 * time.Second)
		judge(errOutdated, kept)
		time.Sleep(2 * time.Second)
		down = false
		judge(nil, kept, loaded)
		down = true
		time.Sleep(2 * trustAge)
		judge(errOutdated, loaded)
	})
}

// TestSameTrustedRoot: a file that is read again and has not changed is the same
// trusted root, by which nothing need be judged again.
func TestSameTrustedRoot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trusted_root.json")
	write := func(more string) {
		text := fmt.Sprintf(`{"mediaType":%q%s}`, root.TrustedRootMediaType01, more)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trust := FileTrust(path)
	load := func() root.TrustedMaterial {
		t.Helper()
		tm, err := trust.load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return tm
	}
	write("")
	first := load()
	if load() != first {
		t.Error("it is another one")
	}
	write(`,"tlogs":[]`)
	if load() == first {
		t.Error("a changed one is the same")
	}
}

// TestLatest: of several that are not trusted the one made last says how new a
// trusted root is needed.
func TestLatest(t *testing.T) {
	now := time.Now()
	early, late, other := untrustedAt(now), fmt.Errorf("entry: %w", untrustedAt(now.Add(time.Second))), errors.New("other")
	for i, tc := range []struct{ a, b, want error }{
		{nil, nil, nil}, {nil, other, nil}, {nil, early, early}, {early, other, early},
		{early, late, late}, {late, early, late}, {early, nil, early},
	} {
		if got := latest(tc.a, tc.b); got != tc.want {
			t.Errorf("%d: got %v, want %v", i, got, tc.want)
		}
	}
}
