package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/internal/config"
	"github.com/tlogistry/tlogistry/internal/record"
)

// Whose record it is stands at the end of a row, before the reason.
func TestRecordedBy(t *testing.T) {
	d := verdict{Reference: "r/one:1", Verdict: moved, Current: "sha256:2"}
	d.sighting(record.Sighting{Digest: "sha256:1", UUID: "id", Index: 7, Time: time.Unix(0, 0)})
	plain := d
	d.Identity, d.Issuer = "team@example.com", "https://issuer.example"
	failed := d
	failed.Reason = "no answer"
	var out bytes.Buffer
	check(t, printer{}.verdicts(&out, []verdict{plain, d, failed}))
	const row = "r/one:1    moved    sha256:1  1970-01-01T00:00:00Z  7          sha256:2"
	want := "REFERENCE  VERDICT  RECORDED  FIRST SEEN            LOG INDEX  CURRENT\n" +
		row + "\n" +
		row + "  recorded by team@example.com of https://issuer.example\n" +
		row + "  recorded by team@example.com of https://issuer.example  no answer\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	check(t, printer{json: true}.verdicts(&out, []verdict{plain}))
	if strings.Contains(out.String(), "identity") || strings.Contains(out.String(), "issuer") {
		t.Errorf("where one identity's records count: %s", out.String())
	}
}

// Identities choose Rekor, and a tile log that is named has none, whatever the
// environment says.
func TestTrustedFlag(t *testing.T) {
	const pair = "https://issuer.example=team@example.com"
	t.Setenv("HOME", t.TempDir())
	for _, test := range []struct {
		name, env string
		flags     sourceFlags
		log       string
		trusted   int
	}{
		{"flag", "", sourceFlags{trusted: pair}, config.Rekor, 1},
		{"flag before the environment", "https://a.example=b@c.example," + pair, sourceFlags{trusted: pair}, config.Rekor, 1},
		{"environment", pair, sourceFlags{rekor: "https://log.example"}, config.Rekor, 1},
		{"tile log", pair, sourceFlags{tlog: "/tlog"}, config.Local, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("TRUSTED_IDENTITIES", test.env)
			c, err := test.flags.config()
			if err != nil || c.Log != test.log || len(c.Trusted) != test.trusted {
				t.Errorf("log %s, trusted %v, %v", c.Log, c.Trusted, err)
			}
		})
	}
}
