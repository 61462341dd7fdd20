package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// kept returns the path of a state file, which has this text if it has any.
func kept(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state")
	if text != "" {
		write(t, path, text)
	}
	return path
}

// alone checks that there is one file in a directory, or none.
func alone(t *testing.T, path string, there bool) {
	t.Helper()
	files, err := os.ReadDir(filepath.Dir(path))
	check(t, err)
	if there && (len(files) != 1 || files[0].Name() != filepath.Base(path)) || !there && len(files) != 0 {
		t.Errorf("beside %s there is %v", path, files)
	}
}

// The checkpoint goes on with a log that grows, and with nothing else.
func TestState(t *testing.T) {
	dir := newLog(t, signerKey, entry(t, "one:1", "a", 0))
	t.Setenv("TLOG_DIR", dir)
	checkpoint := func() string { return read(t, dir+"/log/checkpoint") }
	state := kept(t, "")

	command(t, "audit").is(t, 0, counts(1, 1, 1, 0, 0), "")
	alone(t, state, false)
	for i := range 3 {
		want := counts(1+i, 1+i, 1+i, 0, 0)
		if i > 0 {
			grow(t, dir, entry(t, "one:"+strings.Repeat("x", i), "a", i))
		}
		for range 2 { // a log that has not grown is fine
			command(t, "audit", "--state", state).is(t, 0, want, "")
			if got := read(t, state); got != checkpoint() {
				t.Fatalf("kept %q, the log has %q", got, checkpoint())
			}
			alone(t, state, true)
		}
	}
	if st, err := os.Stat(state); err != nil || st.Mode() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}

	// An audit that finds something keeps what it has proved.
	for range 2 {
		grow(t, dir, entry(t, "one:1", "b", 9))
		if r := command(t, "audit", "--state", state); r.status != 1 || r.stderr != "" {
			t.Errorf("%+v", r)
		}
		if got := read(t, state); got != checkpoint() {
			t.Errorf("kept %q, the log has %q", got, checkpoint())
		}
		alone(t, state, true)
	}
}

// A log cannot take back a conflict that an audit has seen.
func TestStateHoldsAConflict(t *testing.T) {
	dir := newLog(t, signerKey, entry(t, "one:1", "a", 0))
	back := filepath.Join(t.TempDir(), "back")
	check(t, os.CopyFS(back, os.DirFS(dir)))
	state := kept(t, "")
	t.Setenv("TLOG_DIR", dir)
	command(t, "audit", "--state", state).is(t, 0, counts(1, 1, 1, 0, 0), "")
	grow(t, dir, entry(t, "one:1", "b", 9))
	if r := command(t, "audit", "--state", state); r.status != 1 || r.stderr != "" {
		t.Errorf("with a conflict: %+v", r)
	}
	grow(t, back, entry(t, "two:1", "a", 9)) // from what was before, by the same key
	t.Setenv("TLOG_DIR", back)
	for range 2 {
		r := command(t, "audit", "--state", state)
		if r.status != 1 || r.out != "" || !strings.HasPrefix(r.stderr, "tlogistry: forked log: two checkpoints of 2 entries have the root hashes ") {
			t.Errorf("rewritten: %+v", r)
		}
	}
}

func TestStateUnchanged(t *testing.T) {
	one, two, three := entry(t, "one:1", "a", 0), entry(t, "two:1", "a", 1), entry(t, "three:1", "a", 2)
	dir := newLog(t, signerKey, one)
	small := read(t, dir+"/log/checkpoint")
	grow(t, dir, two, three)
	large := read(t, dir+"/log/checkpoint")
	zero := read(t, newLog(t, signerKey)+"/log/checkpoint")
	fork := newLog(t, signerKey, two)
	forkSmall := read(t, fork+"/log/checkpoint")
	grow(t, fork, one, three)
	forkLarge := read(t, fork+"/log/checkpoint")
	grow(t, fork, entry(t, "four:1", "a", 3))
	forkLarger := read(t, fork+"/log/checkpoint")
	other := read(t, newLog(t, otherKey, one)+"/log/checkpoint")
	strange := read(t, newLog(t, strangeKey, one)+"/log/checkpoint")
	long := strings.Repeat("x", 1<<20+1)
	const before = "the checkpoint kept from before: not a checkpoint of tlogistry.local/test by the key f5433404: failed to verify signatures on checkpoint: "
	t.Setenv("TLOG_DIR", dir)
	for _, test := range []struct {
		name   string
		state  string
		status int
		want   string // STATE is the file; a prefix if it ends in dots
	}{
		{"of an empty log", zero, 0, ""},
		{"smaller", small, 0, ""},
		{"the same", large, 0, ""},
		{"with other signatures too", strings.TrimSuffix(large, "\n") + "\n— witness.example aaaaaaaaaaaa\n", 0, ""},

		{"forked before", forkSmall, 1, "forked log: the 1 entries of an earlier checkpoint are not the first of these 3: ..."},
		{"forked at this size", forkLarge, 1, "forked log: two checkpoints of 3 entries have the root hashes ..."},
		{"shrunk", forkLarger, 1, "forked log: the checkpoint covers 3 entries, an earlier one 4"},
		{"by another key", other, 3, before + "note has no verifiable signatures"},
		{"of another log", strange, 3, before + "note has no verifiable signatures"},
		{"altered", strings.Replace(small, "\n1\n", "\n2\n", 1), 3, strings.Replace(before, "not a", "damaged log: not a", 1) + "invalid signature for key tlogistry.local/test+f5433404"},

		{"garbage", "garbage\n", 3, "STATE is no checkpoint: malformed note"},
		{"one byte", "\n", 3, "STATE is no checkpoint: malformed note"},
		{"cut", large[:len(large)-5], 3, "STATE is no checkpoint: malformed note"},
		{"signed by nobody", "tlogistry.local/test\n1\nAAAA\n\n", 3, "STATE is no checkpoint: malformed note"},
		{"huge", long, 3, "STATE is longer than 1048576 bytes: it is no checkpoint"},
		{"nearly huge", long[1:], 3, "STATE is no checkpoint: malformed note"},
	} {
		t.Run(test.name, func(t *testing.T) {
			state := kept(t, test.state)
			r := command(t, "audit", "--state", state)
			if test.want == "" {
				r.is(t, 0, counts(3, 3, 3, 0, 0), "")
				if got := read(t, state); got != large {
					t.Errorf("kept %q, want %q", got, large)
				}
				return
			}
			want := strings.Replace(test.want, "STATE", state, 1)
			if prefix, more := strings.CutSuffix(want, "..."); more {
				if !strings.HasPrefix(r.stderr, "tlogistry: "+prefix) || strings.Count(r.stderr, "\n") != 1 || r.status != test.status || r.out != "" {
					t.Errorf("%+v", r)
				}
			} else {
				r.fails(t, test.status, want)
			}
			if read(t, state) != test.state {
				t.Error("the kept checkpoint has changed")
			}
			alone(t, state, true)
		})
	}
}

func TestStateFile(t *testing.T) {
	dir := newLog(t, signerKey, entry(t, "one:1", "a", 0))
	t.Setenv("TLOG_DIR", dir)

	empty := kept(t, "x")
	write(t, empty, "")
	command(t, "audit", "--state", empty).fails(t, 3, empty+" is empty: remove it to begin anew")
	if read(t, empty) != "" {
		t.Error("the empty file was written to")
	}

	directory := t.TempDir()
	command(t, "audit", "--state", directory).fails(t, 3, "read "+directory+": is a directory")

	// The audit was clean; that its checkpoint cannot be kept is no finding.
	nowhere := filepath.Join(directory, "no", "state")
	unkept := func(r result, status int) {
		t.Helper()
		if r.status != status || !strings.HasPrefix(r.out, "log ") || strings.Count(r.stderr, "\n") != 1 || !strings.HasPrefix(r.stderr, "tlogistry: open "+directory+"/no/.checkpoint-") {
			t.Errorf("%+v", r)
		}
	}
	unkept(command(t, "audit", "--state", nowhere), 3)
	// Nor does it hide one.
	t.Setenv("TLOG_DIR", newLog(t, signerKey, []byte("{}")))
	unkept(command(t, "audit", "--state", nowhere), 1)
	t.Setenv("TLOG_DIR", dir)

	// A state whose log cannot be read stays.
	gone := kept(t, read(t, dir+"/log/checkpoint"))
	if r := command(t, "audit", "--state", gone, "--tlog", "/nowhere", "--key", signerVkey); r.status != 3 {
		t.Errorf("%+v", r)
	}
	if read(t, gone) != read(t, dir+"/log/checkpoint") {
		t.Error("the kept checkpoint has changed")
	}

	// A write that fails at the end leaves nothing behind: the name is taken.
	taken := filepath.Join(t.TempDir(), "taken")
	check(t, os.MkdirAll(filepath.Join(taken, "x"), 0o700))
	if err := writeState(taken, []byte("text")); err == nil || !strings.HasPrefix(err.Error(), "rename ") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v", err)
	}
	alone(t, taken, true)
}
