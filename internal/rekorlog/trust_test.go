package rekorlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
)

// A loader hands out a new trusted root each time, or fails.
type loader struct {
	loads int
	fail  error
}

func (l *loader) load(context.Context) (root.TrustedMaterial, error) {
	l.loads++
	if l.fail != nil {
		return nil, l.fail
	}
	return new(root.TrustedRoot), nil
}

// TestMaterial: the trusted root is kept for its time, and beyond it where
// there is no newer one; then nobody waits for a newer one too often.
func TestMaterial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &loader{fail: errors.New("down")}
		trust := newTrust(trustAge, l.load)
		get := func(maxAge time.Duration, loads int, want error) root.TrustedMaterial {
			t.Helper()
			tm, err := trust.Material(t.Context(), maxAge)
			if !errors.Is(err, want) || (tm == nil) != (want != nil) || l.loads != loads {
				t.Fatalf("got %v, %v after %d loads; want %v after %d", tm, err, l.loads, want, loads)
			}
			return tm
		}
		get(trustAge, 1, l.fail)
		get(trustAge, 2, l.fail) // nothing is held: every caller tries
		l.fail = nil
		first := get(trustAge, 3, nil)
		get(trustAge, 3, nil)
		get(staleTrust, 3, nil)
		time.Sleep(staleTrust + time.Second)
		if get(trustAge, 3, nil) != first || get(staleTrust, 4, nil) == first {
			t.Error("the trusted root is not loaded anew by age alone")
		}

		time.Sleep(trustAge + time.Second)
		l.fail = errors.New("down again")
		held := get(trustAge, 5, nil)
		get(trustAge, 5, nil) // it has just failed
		get(staleTrust, 5, nil)
		time.Sleep(trustPause + time.Second)
		if get(trustAge, 6, nil) != held {
			t.Error("another trusted root than the one held")
		}
		l.fail = nil
		time.Sleep(trustPause + time.Second)
		if get(trustAge, 7, nil) == held {
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
			if !errors.Is(err, want) || n != calls || l.loads != loads {
				t.Errorf("got %v after %d calls, %d loads; want %v after %d, %d", err, n, l.loads, want, calls, loads)
			}
		}
		untrusted, unknown := fmt.Errorf("entry: %w", errUntrusted), fmt.Errorf("entry: %w: %w", ErrLog, errUnknownLog)
		judge(nil, 1, 1, nil)
		judge(errUntrusted, 1, 1, untrusted) // the trusted root is fresh
		time.Sleep(staleTrust + time.Second)
		judge(ErrLog, 1, 1, ErrLog) // not for want of trust
		judge(nil, 2, 2, untrusted, nil)
		time.Sleep(staleTrust + time.Second)
		judge(nil, 2, 3, unknown, nil)
		time.Sleep(staleTrust + time.Second)
		judge(errUnknownLog, 2, 4, unknown, unknown)
		time.Sleep(staleTrust + time.Second)
		l.fail = errors.New("down")
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
		tm, err := FileTrust(path).Material(t.Context(), time.Hour)
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
