package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/rekorlog"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// TestFaultTrust: an instance's trusted root is out of date when it meets
// another instance's record of a tag. The tag is not recorded again: not while
// there is no newer trusted root, and not when there is one, however soon.
func TestFaultTrust(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	outside := newOutsider(t)
	var old map[string]any
	must(t, json.Unmarshal(w.TrustedRoot(), &old))
	old["certificateAuthorities"] = []any{}
	path := filepath.Join(t.TempDir(), "trusted_root.json")
	write := func(b []byte) { must(t, os.WriteFile(path, b, 0o600)) }

	// A trusted root is believed to be fresh for ten minutes, and an entry that it
	// does not trust is ignored for one.
	for name, until := range map[string]func(*testing.T, clockLog, string){
		"cannot be renewed": func(t *testing.T, l clockLog, tag string) {
			time.Sleep(11 * time.Minute)
			write([]byte("{"))
			if found, err := l.Lookup(t.Context(), refOf(tag)); err == nil || !strings.Contains(err.Error(), "the trusted root may be out of date") {
				t.Errorf("found %+v, %v", found, err)
			}
			if s, err := l.Add(t.Context(), refOf(tag), w.two); err == nil {
				t.Errorf("recorded again, without trust: %+v", s)
			}
			write(w.TrustedRoot())
			time.Sleep(recovery)
		},
		"renewed just after the look-up": func(t *testing.T, l clockLog, tag string) {
			time.Sleep(10*time.Minute - 20*time.Second)
			l.findsNone(t, tag)
			write(w.TrustedRoot())
			time.Sleep(30 * time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			tag := strings.ReplaceAll(name, " ", "-")
			w.tag(t, tag, w.one)
			first := w.direct(t).get(t, "app", tag).header.Get("Tlog-Uuid")
			write(marshal(t, old))
			synctest.Test(t, func(t *testing.T) {
				l := w.clockLog(t, outside, nil, rekorlog.FileTrust(path))
				l.findsNone(t, tag)
				until(t, l, tag)
				// The writer has looked before, and then writes.
				s, err := l.Add(t.Context(), refOf(tag), w.two)
				found, lerr := l.Lookup(t.Context(), refOf(tag))
				if lerr != nil || len(found) == 0 || found[0].UUID != first {
					t.Errorf("recorded %+v, %v; then found %+v, %v; want %s first", s, err, found, lerr, first)
				}
				if outcome, by := record.Decide(w.two, found); outcome == record.Same {
					t.Errorf("the tag is served as %s, by %+v", w.two, by)
				}
			})
		})
	}
}

// findsNone looks up a tag whose record is not trusted.
func (l clockLog) findsNone(t *testing.T, tag string) {
	t.Helper()
	if found, err := l.Lookup(t.Context(), refOf(tag)); err != nil || len(found) != 0 {
		t.Errorf("found without trust: %+v, %v", found, err)
	}
}
