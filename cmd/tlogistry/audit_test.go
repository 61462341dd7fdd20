package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// counts is an audit's text of a log of the signer's.
func counts(entries, records, tags, conflicts, broken int) string {
	return fmt.Sprintf(`log                             %s
entries                         %d
records                         %d
tags                            %d
tags with more than one digest  %d
broken records                  %d
entries without a statement     0
entries ignored                 0
`, origin, entries, records, tags, conflicts, broken)
}

func TestAudit(t *testing.T) {
	one, two, three := entry(t, "one:1", "a", 0), entry(t, "two:1", "a", 1), entry(t, "three:1", "b", 2)
	again, moved := entry(t, "two:1", "a", 3), entry(t, "one:1", "b", 4)
	a, b := digest(t, "a"), digest(t, "b")
	at := func(e []byte, index, digest, second string) string {
		return `{"digest":"` + digest + `","logIndex":` + index + `,"time":"2026-01-02T03:04:` + second + `Z","uuid":"` + uuid(t, e) + `"}`
	}
	for _, test := range []struct {
		name    string
		entries [][]byte
		status  int
		text    string
		json    string
	}{
		{"empty", nil, 0, counts(0, 0, 0, 0, 0),
			`{"log":"tlogistry.local/test","entries":0,"records":0,"tags":0,"conflicts":[],"broken":[],"clean":true}`},
		{"clean", [][]byte{one, two, three}, 0, counts(3, 3, 3, 0, 0),
			`{"log":"tlogistry.local/test","size":3,"entries":3,"records":3,"tags":3,"conflicts":[],"broken":[],"clean":true}`},
		{"recorded twice", [][]byte{one, two, again}, 0, counts(3, 3, 2, 0, 0),
			`{"log":"tlogistry.local/test","size":3,"entries":3,"records":3,"tags":2,"conflicts":[],"broken":[],"clean":true}`},
		{"conflict", [][]byte{one, two, again, moved}, 1, counts(4, 4, 2, 1, 0) +
			"conflict  index.docker.io/library/one:1  " + a + "  0  2026-01-02T03:04:05Z\n" +
			"conflict  index.docker.io/library/one:1  " + b + "  3  2026-01-02T03:04:09Z\n",
			`{"log":"tlogistry.local/test","size":4,"entries":4,"records":4,"tags":2,"conflicts":[{"reference":"index.docker.io/library/one:1",
				"records":[` + at(one, "0", a, "05") + "," + at(moved, "3", b, "09") + `]}],"broken":[],"clean":false}`},
		{"broken", [][]byte{one, []byte("not a record\n\x1b[2J"), two}, 1, counts(3, 2, 2, 0, 1) +
			"broken  entry 1: not a valid record: invalid character 'o' in literal null (expecting 'u')\n",
			`{"log":"tlogistry.local/test","size":3,"entries":3,"records":2,"tags":2,"conflicts":[],
				"broken":["entry 1: not a valid record: invalid character 'o' in literal null (expecting 'u')"],"clean":false}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("TLOG_DIR", newLog(t, signerKey, test.entries...))
			command(t, "audit").is(t, test.status, test.text, "")
			want := indented(t, "["+test.json+"]")
			want = strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(want, "[\n  "), "\n]\n"), "\n  ", "\n") + "\n"
			command(t, "audit", "--output", "json").is(t, test.status, want, "")
		})
	}
}

// A broken record and a conflict do not hide each other, and a broken record
// names no tag.
func TestAuditAll(t *testing.T) {
	t.Setenv("TLOG_DIR", newLog(t, signerKey, []byte("{}"), entry(t, "one:1", "a", 0), []byte("{}"), entry(t, "one:1", "b", 1)))
	r := command(t, "audit")
	want := counts(4, 2, 1, 1, 2) +
		"conflict  index.docker.io/library/one:1  " + digest(t, "a") + "  1  2026-01-02T03:04:05Z\n" +
		"conflict  index.docker.io/library/one:1  " + digest(t, "b") + "  3  2026-01-02T03:04:06Z\n" +
		"broken    entry 0: not a valid record: version 0, want 1\n" +
		"broken    entry 2: not a valid record: version 0, want 1\n"
	r.is(t, 1, want, "")
	// Such a log is no reason not to verify: the first record counts.
	newRegistry(t).push(t, "library/one:1", "a")
	if got := brief(t, command(t, "verify", "-o", "json", "one:1")); got != hub+"one:1: same" {
		t.Error(got)
	}
}

// A log in which there is something else than was signed, read from a directory
// and over HTTP.
func TestTampered(t *testing.T) {
	var entries [][]byte
	for i := range 300 {
		entries = append(entries, entry(t, fmt.Sprintf("image-%03d:1", i), "a", i))
	}
	sample := newLog(t, signerKey, entries...)
	forged := newLog(t, otherKey, entries[:1]...)
	strange := newLog(t, strangeKey, entries[:1]...)
	const (
		noCheckpoint = "not a checkpoint of tlogistry.local/test by the key f5433404: failed to verify signatures on checkpoint: "
		full, edge   = "tile/entries/000", "tile/entries/001.p/44"
		leaves       = "tile/0/000"
	)
	for _, test := range []struct {
		name   string
		file   string // in log/
		change func(string) string
		want   string
	}{
		{"record altered", full, func(s string) string { return strings.Replace(s, "image-007", "image-700", 1) },
			"damaged log: tile/0/000: hash 7 is not that of entry 7 of tile/entries/000"},
		{"last record altered", edge, func(s string) string { return strings.Replace(s, "image-299", "image-999", 1) },
			"damaged log: tile/0/001.p/44: hash 43 is not that of entry 43 of tile/entries/001.p/44"},
		{"bundle cut", edge, func(s string) string { return s[:len(s)/2] }, ""},
		{"bundle empty", full, func(string) string { return "" }, "damaged log: tile/entries/000: 0 entries, want 256"},
		{"bundle missing", full, nil, "damaged log: tile/entries/000: missing"},
		{"tile altered", leaves, func(s string) string { return "x" + s[1:] },
			"damaged log: tile/0/000: hash 0 is not that of entry 0 of tile/entries/000"},
		{"tile cut", leaves, func(s string) string { return s[:len(s)-32] }, "damaged log: tile/0/000: 8160 bytes, want 8192"},
		{"tile missing", leaves, nil, "damaged log: tile/0/000: missing"},
		{"inner tile altered", "tile/1/000.p/1", func(s string) string { return "x" + s[1:] },
			"damaged log: tile/1/000.p/1: hash 0 is not that of tile/0/000"},
		{"checkpoint's size altered", "checkpoint", func(s string) string { return strings.Replace(s, "\n300\n", "\n299\n", 1) },
			"damaged log: " + noCheckpoint + "invalid signature for key tlogistry.local/test+f5433404"},
		{"checkpoint of another key", "checkpoint", func(string) string { return read(t, forged+"/log/checkpoint") }, noCheckpoint + "note has no verifiable signatures"},
		{"checkpoint of another log", "checkpoint", func(string) string { return read(t, strange+"/log/checkpoint") }, noCheckpoint + "note has no verifiable signatures"},
		{"checkpoint garbage", "checkpoint", func(string) string { return "\x1b[2Jgarbage\n" }, noCheckpoint + "malformed note"},
		{"page for a checkpoint", "checkpoint", func(string) string { return "<!doctype html>\n<title>Welcome</title>\n" }, noCheckpoint + "malformed note"},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "log")
			check(t, os.CopyFS(root, os.DirFS(filepath.Join(sample, "log"))))
			file := filepath.Join(root, test.file)
			if test.change == nil {
				check(t, os.Remove(file))
			} else {
				before := read(t, file)
				if after := test.change(before); after == before {
					t.Fatal("nothing has changed")
				} else {
					write(t, file, after)
				}
			}
			server := httptest.NewServer(http.FileServer(http.Dir(root)))
			defer server.Close()
			for _, where := range []string{root, server.URL} {
				state := filepath.Join(t.TempDir(), "state")
				r := command(t, "audit", "--tlog", where, "--key", signerVkey, "--state", state)
				if test.want == "" {
					test.want = strings.TrimSuffix(strings.TrimPrefix(r.stderr, "tlogistry: "), "\n")
					if !strings.HasPrefix(test.want, "damaged log: "+test.file+": ") {
						t.Error(r.stderr)
					}
				}
				status := 1
				if strings.HasPrefix(test.want, noCheckpoint) {
					status = 3 // it may be another log's, or no log at all
				}
				r.fails(t, status, test.want)
				if _, err := os.Stat(state); !os.IsNotExist(err) {
					t.Errorf("the checkpoint of a damaged log was kept: %v", err)
				}
				// The damage may be anywhere, and so may what it hides.
				command(t, "verify", "image-200:1", "--tlog", where, "--key", signerVkey).fails(t, 3, test.want)
			}
		})
	}
}
