package tilelog_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// The test binary runs itself as a second process, told by these what to do.
const (
	childDir = "TILELOG_TEST_DIR" // the log to open
	childRun = "TILELOG_TEST_RUN" // "open", or the number of the first record to add
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(child(dir, os.Getenv(childRun)))
	}
	goleak.VerifyTestMain(m)
}

// child opens a log and adds records to it, 16 at once, until it is killed. It
// prints each one that was acknowledged.
func child(dir, run string) int {
	l, err := tilelog.Open(context.Background(), tilelog.Config{Dir: dir})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if run == "open" {
		fmt.Println("opened")
		return 0 // without a close: the kernel takes the lock back
	}
	var from int
	if _, err := fmt.Sscan(run, &from); err != nil {
		fmt.Println(err)
		return 1
	}
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			for i := from + worker; ; i += 16 {
				s, err := add(context.Background(), l, numbered(i), digest(numbered(i)))
				if err != nil {
					fmt.Println("error", err)
					return
				}
				fmt.Printf("added %d %d %s\n", i, s.Index, s.UUID)
			}
		})
	}
	wg.Wait()
	return 1
}

func command(t *testing.T, dir, run string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childRun+"="+run)
	return cmd
}

func TestSecondProcess(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, tilelog.Config{Dir: dir})
	want := "the log in " + dir + " is in use by another process"
	start := time.Now()
	out, err := command(t, dir, "open").Output()
	if err == nil || string(out) != want+"\n" {
		t.Errorf("the second process: %q, %v, want %q", out, err, want)
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("it took %v to be refused", d)
	}
	// Nor twice in one process.
	if _, err := tilelog.Open(t.Context(), tilelog.Config{Dir: dir}); err == nil || err.Error() != want {
		t.Errorf("the second time: %v, want %s", err, want)
	}
	fill(t, l, 0, 1)
	mustClose(t, l)
	for range 2 {
		if out, err := command(t, dir, "open").Output(); err != nil || string(out) != "opened\n" {
			t.Errorf("after the close: %q, %v", out, err)
		}
	}
}

// Whatever a process acknowledged before it was killed is in the log, which
// then opens, is whole, and takes more.
func TestKill(t *testing.T) {
	const rounds = 8
	dir := t.TempDir()
	acknowledged := map[string]string{} // reference to index and entry
	next := 0
	for round := range rounds {
		next += killed(t, dir, next, acknowledged)
		l := mustOpen(t, tilelog.Config{Dir: dir})
		for ref, want := range acknowledged {
			got, err := l.Lookup(t.Context(), ref)
			if err != nil || len(got) != 1 || fmt.Sprint(got[0].Index, " ", got[0].UUID) != want || got[0].Digest != digest(ref) {
				t.Fatalf("round %d: %s is %+v, %v, was acknowledged as %s", round, ref, got, err, want)
			}
		}
		fill(t, l, 1_000_000+round, 1_000_001+round)
		vkey, size := l.VerifierKey(), l.Size()
		mustClose(t, l)
		if n := audit(t, dir, vkey); n != size {
			t.Errorf("round %d: the log has %d entries, %d of them audited", round, size, n)
		}
	}
	t.Logf("%d records were acknowledged in %d rounds", len(acknowledged), rounds)
}

// killed runs a process that adds records from a number on, kills it at some
// time after its first acknowledgment, and notes what it acknowledged. It
// returns how many numbers may be in use.
func killed(t *testing.T, dir string, from int, acknowledged map[string]string) int {
	t.Helper()
	cmd := command(t, dir, fmt.Sprint(from))
	cmd.Stderr = nil
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	used := 0
	var once sync.Once
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		once.Do(func() {
			time.AfterFunc(rand.N(400*time.Millisecond), func() { cmd.Process.Kill() })
		})
		var i int
		var index, uuid string
		if n, _ := fmt.Sscanf(lines.Text(), "added %d %s %s", &i, &index, &uuid); n != 3 {
			if !strings.HasPrefix(lines.Text(), "added ") { // else cut by the kill
				t.Errorf("the process printed %q", lines.Text())
			}
			continue
		}
		used = max(used, i-from+1)
		acknowledged[numbered(i)] = index + " " + uuid
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the process ended by itself")
	}
	return used + 64 // more may have been written than acknowledged
}

// audit reads the whole log in dir with a Reader and returns how many records
// it has.
func audit(t *testing.T, dir, vkey string) (n int64) {
	t.Helper()
	r, err := tilelog.OpenReader(dir, vkey)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cp, err := r.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = r.Records(t.Context(), cp, func(index int64, entry []byte, rec tilelog.Record, err error) error {
		if index != n {
			t.Errorf("entry %d comes after %d", index, n-1)
		}
		n++
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return n
}
