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

// A loader hands out a new trusted root each time, or fails. While it hangs it
// does so when the call's context ends.
type loader struct {
	mu    sync.Mutex
	loads int
	ended int // loads that have ended
	fail  error
	hang  bool
}

func (l *loader) load(ctx context.Context) (root.TrustedMaterial, error) {
	l.mu.Lock()
	l.loads++
	hang, fail := l.hang, l.fail
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.ended++
	}()
	if hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if fail != nil {
		return nil, fail
	}
	return new(root.TrustedRoot), nil
}

func (l *loader) is(hang bool, fail error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hang, l.fail = hang, fail
}

// counts returns how many loads there were, and how many of them have ended.
func (l *loader) counts() (begun, ended int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.loads, l.ended
}

// TestMaterial: the trusted root is kept for its time. After that it serves on
// while a newer one is loaded, and longer where there is none; then nobody tries
// too often. Who holds none waits.
func TestMaterial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &loader{fail: errors.New("down")}
		trust := newTrust(trustAge, l.load)
		// get returns what is held, and waits until what that has begun has ended.
		get := func(loads int, want error) root.TrustedMaterial {
			t.Helper()
			tm, err := trust.Material(t.Context())
			synctest.Wait()
			if n, _ := l.counts(); !errors.Is(err, want) || (tm == nil) != (want != nil) || n != loads {
				t.Fatalf("got %v, %v after %d loads; want %v after %d", tm, err, n, want, loads)
			}
			return tm
		}
		get(1, l.fail)
		get(2, l.fail) // nothing is held: every caller tries
		l.is(false, nil)
		first := get(3, nil)
		get(3, nil)
		time.Sleep(trustAge)
		get(3, nil)
		time.Sleep(time.Second)
		if get(4, nil) != first {
			t.Error("an old trusted root was not served while there was a newer one to be loaded")
		}
		second := get(4, nil)
		if second == first {
			t.Error("the newer trusted root is not used")
		}

		time.Sleep(trustAge + time.Second)
		l.is(false, errors.New("down again"))
		get(5, nil)
		get(5, nil) // it has just failed
		time.Sleep(trustPause + time.Second)
		if get(6, nil) != second {
			t.Error("another trusted root than the one held")
		}
		l.is(false, nil)
		time.Sleep(trustPause + time.Second)
		get(7, nil)
		if get(7, nil) == second {
			t.Error("the trusted root held is used although there is a newer one")
		}
	})
}

// TestJudge: what is not trusted is judged once more by a trusted root that is
// fresh, if there is one.
func TestJudge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &loader{}
		trust := newTrust(trustAge, l.load)
		judge := func(want error, calls, loads int, results ...error) {
			t.Helper()
			n := 0
			err := trust.judge(t.Context(), func(root.TrustedMaterial) error {
				n++
				return results[n-1]
			})
			if begun, _ := l.counts(); !errors.Is(err, want) || n != calls || begun != loads {
				t.Errorf("got %v after %d calls, %d loads; want %v after %d, %d", err, n, begun, want, calls, loads)
			}
			if unsure := errors.Is(err, errOutdated); unsure != (trust.failed != time.Time{}) {
				t.Errorf("%v: it says that it may be for an old trusted root: %t", err, unsure)
			}
		}
		untrusted, unknown := fmt.Errorf("entry: %w", errUntrusted), fmt.Errorf("entry: %w: %w", ErrLog, ErrUnsigned)
		judge(nil, 1, 1, nil)
		judge(errUntrusted, 1, 1, untrusted) // the trusted root is fresh
		time.Sleep(staleTrust + time.Second)
		judge(ErrLog, 1, 1, ErrLog) // not for want of trust
		judge(nil, 2, 2, untrusted, nil)
		time.Sleep(staleTrust + time.Second)
		judge(nil, 2, 3, unknown, nil)
		time.Sleep(staleTrust + time.Second)
		judge(ErrUnsigned, 2, 4, unknown, unknown)
		time.Sleep(staleTrust + time.Second)
		l.is(false, errors.New("down"))
		judge(errUntrusted, 1, 5, untrusted)
	})
}

func TestFileTrust(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.json")
	if err := os.WriteFile(garbage, []byte("<html>"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none.json"): "load the trusted root: open " + filepath.Join(dir, "none.json") + ": no such file or directory",
		garbage:                         "load the trusted root: parse " + garbage + ": ",
	} {
		tm, err := FileTrust(path).Material(t.Context())
		if tm != nil || err == nil || len(err.Error()) < len(want) || err.Error()[:len(want)] != want {
			t.Errorf("got %v, %v; want %s", tm, err, want)
		}
	}
}

// TestUsable: a cache is cleared of what a power cut leaves, and of nothing else.
func TestUsable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if !usable(dir) {
		t.Fatal("a directory that can be made is not usable")
	}
	files := map[string]bool{"1.root.json": true, "timestamp.json": true, "empty.json": false, "half.json": false}
	contents := map[string]string{"1.root.json": `{"signed":{}}`, "timestamp.json": "{}\n", "empty.json": "", "half.json": `{"signed":`}
	for name := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(contents[name]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !usable(dir) {
		t.Error("a damaged cache is not usable")
	}
	for name, stays := range files {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != stays {
			t.Errorf("%s: %v, want it to stay: %v", name, err, stays)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Errorf("in the cache: %v, %v; want two files", left, err)
	}
	for _, dir := range []string{"", filepath.Join(dir, "timestamp.json"), filepath.Join(dir, "timestamp.json", "below")} {
		if usable(dir) {
			t.Errorf("%q is usable", dir)
		}
	}
}
