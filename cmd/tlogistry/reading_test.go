package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A log that grows is never taken for a damaged one, and never seems to shrink.
func TestAuditWhileGrowing(t *testing.T) {
	r := newRegistry(t)
	dir := newLog(t, signerKey)
	t.Setenv("TLOG_DIR", dir)
	front := running(t)
	const tags = 24
	for i := range tags {
		r.push(t, fmt.Sprintf("library/grows:%d", i), "a")
	}
	var pulls sync.WaitGroup
	pulled := make(chan struct{})
	go func() {
		for i := range tags {
			pulls.Go(func() {
				if status := pull(t, front, "grows", fmt.Sprint(i)); status != http.StatusOK {
					t.Errorf("tag %d: status %d", i, status)
				}
			})
			if i%6 == 5 { // so that there is more than one checkpoint
				pulls.Wait()
			}
		}
		close(pulled)
	}()
	state := filepath.Join(t.TempDir(), "state")
	for growing := true; growing; {
		select {
		case <-pulled:
			growing = false
		default:
		}
		for _, where := range []string{dir, front + "/tlog"} {
			got := command(t, "audit", "--tlog", where, "--key", signerVkey, "--state", state)
			if got.status != 0 || !growing && got.out != counts(tags, tags, tags, 0, 0) {
				t.Fatalf("%+v", got)
			}
		}
	}
}

// Other answers of a server than a log's.
func TestLogAnswersBadly(t *testing.T) {
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"500": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, ": the answer is 500 Internal Server Error"},
		"403": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, ": 403"},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for _, err := w.Write(make([]byte, 1<<20)); err == nil; _, err = w.Write(make([]byte, 1<<20)) {
			}
		}, ": the answer has more than 16777472 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(test.answer)
			defer server.Close()
			for _, args := range [][]string{{"verify", "same:1"}, {"audit"}} {
				r := command(t, append(args, "--tlog", server.URL, "--key", signerVkey)...)
				if name == "endless" && args[0] == "audit" && r.status == 1 {
					r.status = 3 // it may as well be called damaged
				}
				if r.status != 3 || r.out != "" || !strings.HasPrefix(r.stderr, "tlogistry: read the checkpoint: ") || !strings.HasSuffix(r.stderr, test.want+"\n") {
					t.Errorf("%+v", r)
				}
			}
		})
	}
}
