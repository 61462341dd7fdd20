package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/rekorlog"
	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// What was found and could not be printed is not told by the status.
func TestOutputFails(t *testing.T) {
	verifySample(t)
	for _, args := range []string{"verify same:1", "verify moved:1", "verify -o json same:1", "audit", "audit -o json", "version"} {
		want := 3
		if args == "version" {
			want = 1
		}
		var stderr bytes.Buffer
		full := writerFunc(func([]byte) (int, error) { return 0, errors.New("no space left on device") })
		status := run(t.Context(), strings.Fields(args), strings.NewReader(""), full, &stderr)
		if status != want || stderr.String() != "tlogistry: no space left on device\n" {
			t.Errorf("%s: status %d, stderr %q", args, status, stderr.String())
		}
	}
}

func TestWorst(t *testing.T) {
	for verdicts, want := range map[string]int{
		"": 0, same: 0, pinned: 0, same + "," + pinned: 0,
		moved: 1, notRecorded: 2, unknown: 3,
		unknown + "," + notRecorded + "," + moved: 1, moved + "," + unknown: 1, same + "," + moved: 1,
		unknown + "," + notRecorded: 2, notRecorded + "," + same: 2, pinned + "," + unknown + "," + same: 3,
	} {
		var list []verdict
		for v := range strings.SplitSeq(verdicts, ",") {
			list = append(list, verdict{Verdict: v})
		}
		status := 0
		if err := worst(list); err != nil {
			var s *statusError
			if !errors.As(err, &s) || s.err != nil {
				t.Fatal(err)
			}
			status = s.status
		}
		if status != want {
			t.Errorf("%s: status %d, want %d", verdicts, status, want)
		}
	}
}

// crowdSample is what two and more identities recorded for two tags, and a
// third that nobody did.
func crowdSample() []crowd {
	by := func(who, digest string, index int64) record.Witness {
		return record.Witness{
			Identity: record.Identity{Issuer: "https://accounts.example", Subject: who},
			Sighting: record.Sighting{Digest: digest, Index: index, Time: at.Add(time.Duration(index) * time.Second), UUID: "id" + strconv.FormatInt(index, 10)},
		}
	}
	return []crowd{
		crowdOf("r/one:1", []record.Witness{by("a", "sha256:1", 1), by("b", "sha256:1", 2), by("b", "sha256:2", 3), by("c", "", 4)}),
		crowdOf("r/two:1", []record.Witness{by("a", "", 5), by("a", "sha256:1", 6), by("b", "sha256:2", 7), by("c", "sha256:1", 8)}),
		crowdOf("r/three:1", nil),
	}
}

func TestCrowds(t *testing.T) {
	all := crowdSample()
	// A second record of one identity is no disagreement of two.
	if all[0].split || !all[1].split || all[2].split || !all[2].Agree {
		t.Errorf("they disagree: %v %v %v", all[0].split, all[1].split, all[2].split)
	}
	// What the log does not hold is no agreement.
	if all[0].Agree {
		t.Error("a record that is not known agrees")
	}
	agreed := []crowd{crowdOf("r/four:1", []record.Witness{{Sighting: record.Sighting{Digest: "sha256:1"}}})}
	for name, test := range map[string]struct {
		crowds []crowd
		want   int
	}{
		"none": {nil, 0}, "not all known": {all[:1], 3}, "agree": {agreed, 0}, "disagree": {all[1:2], 1}, "nobody": {all[2:], 2},
		"all": {all, 1}, "nobody first": {[]crowd{all[2], all[1]}, 1}, "nobody and agreement": {[]crowd{all[2], all[0]}, 2},
	} {
		status := 0
		if err := worstCrowd(test.crowds); err != nil {
			status = err.(*statusError).status
		}
		if status != test.want {
			t.Errorf("%s: status %d, want %d", name, status, test.want)
		}
	}
	var text, js bytes.Buffer
	check(t, printer{}.crowds(&text, all[1:]))
	const want = `REFERENCE  RECORDED  FIRST SEEN            LOG INDEX  IDENTITY  ISSUER
r/two:1    -         2026-01-02T03:04:10Z  5          a         https://accounts.example
r/two:1    sha256:1  2026-01-02T03:04:11Z  6          a         https://accounts.example
r/two:1    sha256:2  2026-01-02T03:04:12Z  7          b         https://accounts.example
r/two:1    sha256:1  2026-01-02T03:04:13Z  8          c         https://accounts.example
r/two:1: identities saw different digests
r/three:1: nobody recorded it
`
	if text.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &text, want)
	}
	check(t, printer{json: true}.crowds(&js, all[2:]))
	if want := indented(t, `[{"reference":"r/three:1","agree":true,"records":[]}]`); js.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &js, want)
	}
}

// A report on Rekor has lines of its own.
func TestReportOnRekor(t *testing.T) {
	r := &report{Log: "https://rekor.example", Identity: "a@example.com\x1b[2J", Issuer: "https://accounts.example", Entries: 5,
		Unnamed: []string{"x"}, Ignored: []string{"y", "z"}, Broken: []string{"two\nlines"}}
	r.conclude([]record.Sighting{{Ref: "r/one:1", Digest: "sha256:1"}})
	var text bytes.Buffer
	check(t, printer{}.report(&text, r))
	const want = `log                             https://rekor.example
identity                        "a@example.com\x1b[2J"
issuer                          https://accounts.example
entries                         5
records                         1
tags                            1
tags with more than one digest  0
broken records                  1
entries without a statement     1
entries ignored                 2
broken  "two\nlines"
`
	if text.String() != want || r.Clean {
		t.Errorf("clean %v, got\n%s\nwant\n%s", r.Clean, &text, want)
	}
	// Entries that are nobody's records do not stain it.
	unnamed := &report{Entries: 2, Unnamed: []string{"x"}, Ignored: []string{"y"}}
	if unnamed.conclude(nil); unnamed.Clean || unnamed.status() != exitCannotTell || unnamed.Warning != "" {
		t.Errorf("an entry without a statement: %+v", unnamed)
	}
	clean := &report{Entries: 2, Ignored: []string{"y"}}
	if clean.conclude([]record.Sighting{{Ref: "r/one:1", Digest: "sha256:1"}}); !clean.Clean || clean.status() != 0 || clean.Warning != "" {
		t.Errorf("it is not clean: %+v", clean)
	}
	none := new(report)
	if none.conclude(nil); !none.Clean || none.status() != 0 {
		t.Errorf("without an entry it is not clean: %+v", none)
	}
}

// An audit that believed nothing of what names the identity has audited nothing.
func TestReportBelievesNothing(t *testing.T) {
	r := &report{Log: "https://rekor.example", Entries: 2, Ignored: []string{"entry 1: its certificate\nis not trusted", "entry 2"}}
	r.conclude(nil)
	var text, js bytes.Buffer
	check(t, printer{}.report(&text, r))
	const want = `entries ignored                 2
warning  "none of the 2 entries that name the identity is believed: is the trusted root this log's? The first: entry 1: its certificate\nis not trusted"
`
	if !strings.HasSuffix(text.String(), want) || r.Clean || r.status() != exitCannotTell {
		t.Errorf("status %d of %+v, got\n%s\nwant\n%s", r.status(), r, &text, want)
	}
	check(t, printer{json: true}.report(&js, r))
	if !strings.Contains(js.String(), `"warning": "none of the 2 entries`) || !strings.Contains(js.String(), `"clean": false`) {
		t.Error(js.String())
	}
	// A contradiction counts more.
	broken := &report{Entries: 2, Ignored: []string{"x"}, Broken: []string{"y"}}
	if broken.conclude(nil); broken.status() != exitMoved {
		t.Errorf("%+v", broken)
	}
}

func TestStatusOf(t *testing.T) {
	for _, err := range []error{tilelog.ErrDamaged, tilelog.ErrForked, rekorlog.ErrFork, rekorlog.ErrLog} {
		if got := statusOf(errors.Join(io.EOF, err)); got != 1 {
			t.Errorf("%v: status %d", err, got)
		}
	}
	for _, err := range []error{io.ErrUnexpectedEOF, rekorlog.ErrKept, fmt.Errorf("%w: entry: %w", rekorlog.ErrLog, rekorlog.ErrUnsigned)} {
		if got := statusOf(err); got != 3 {
			t.Errorf("%v: status %d", err, got)
		}
	}
	if got := statusOf(errors.Join(io.EOF, &statusError{exitCannotTell, tilelog.ErrDamaged})); got != 3 {
		t.Errorf("status %d", got)
	}
}

// On a terminal an audit shows how far it is, and takes it away again.
func TestProgress(t *testing.T) {
	t.Setenv("TLOG_DIR", newLog(t, signerKey, entry(t, "one:1", "a", 0), entry(t, "two:1", "a", 1)))
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	check(t, err)
	defer master.Close()
	fd := int(master.Fd())
	check(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	check(t, err)
	terminal, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	check(t, err)
	var out bytes.Buffer
	if status := run(t.Context(), []string{"audit"}, strings.NewReader(""), &out, terminal); status != 0 || out.String() != counts(2, 2, 2, 0, 0) {
		t.Errorf("status %d, out %s", status, &out)
	}
	check(t, terminal.Close())
	shown, _ := io.ReadAll(master) // it ends with EIO, as no terminal is left
	if !regexp.MustCompile(`^\rentries +\d+% .*\(\d/2\)[^\r]*\r(?s:.*)\r +\r$`).Match(shown) {
		t.Errorf("it shows %q", shown)
	}

	// A file is no terminal.
	file, err := os.Create(t.TempDir() + "/stderr")
	check(t, err)
	defer file.Close()
	if status := run(t.Context(), []string{"audit"}, strings.NewReader(""), io.Discard, file); status != 0 || read(t, file.Name()) != "" {
		t.Errorf("status %d, shows %q", status, read(t, file.Name()))
	}
}
