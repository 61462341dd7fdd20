package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

const hub = "index.docker.io/library/"

// verifySample starts a registry and makes a log, sets the environment to both,
// and returns a replacer that fills expectations in.
//
//	tag        first record  later record  registry
//	same:1     a                           a
//	same:2     a             b             a
//	moved:1    a                           b
//	moved:2    a             b             b
//	new:1                                  a
//	gone:1     a                           no such tag
//	nowhere:1                              no such tag
func verifySample(t *testing.T) (*registry, func(string) string) {
	t.Helper()
	r := newRegistry(t)
	for _, push := range [][2]string{{"same:1", "a"}, {"same:2", "a"}, {"moved:1", "b"}, {"moved:2", "b"}, {"new:1", "a"}} {
		r.push(t, "library/"+push[0], push[1])
	}
	entries := [][]byte{
		entry(t, "same:1", "a", 0),
		entry(t, "same:2", "a", 1),
		entry(t, "moved:1", "a", 2),
		entry(t, "moved:2", "a", 3),
		entry(t, "gone:1", "a", 4),
		entry(t, "same:2", "b", 5),
		entry(t, "moved:2", "b", 6),
	}
	t.Setenv("TLOG_DIR", newLog(t, signerKey, entries...))
	pairs := []string{"{a}", digest(t, "a"), "{b}", digest(t, "b")}
	for i, e := range entries {
		pairs = append(pairs, fmt.Sprintf("{%d}", i), uuid(t, e))
	}
	return r, strings.NewReplacer(pairs...).Replace
}

func TestVerdicts(t *testing.T) {
	_, fill := verifySample(t)
	type expectation struct {
		args   string
		status int
		json   string
	}
	const (
		same1 = `{"reference":"index.docker.io/library/same:1","verdict":"same","recorded":"{a}",
			"firstSeen":"2026-01-02T03:04:05Z","logIndex":0,"uuid":"{0}","current":"{a}"}`
		same2 = `{"reference":"index.docker.io/library/same:2","verdict":"same","recorded":"{a}",
			"firstSeen":"2026-01-02T03:04:06Z","logIndex":1,"uuid":"{1}","current":"{a}"}`
		moved1 = `{"reference":"index.docker.io/library/moved:1","verdict":"moved","recorded":"{a}",
			"firstSeen":"2026-01-02T03:04:07Z","logIndex":2,"uuid":"{2}","current":"{b}"}`
		moved2 = `{"reference":"index.docker.io/library/moved:2","verdict":"moved","recorded":"{a}",
			"firstSeen":"2026-01-02T03:04:08Z","logIndex":3,"uuid":"{3}","current":"{b}"}`
		new1  = `{"reference":"index.docker.io/library/new:1","verdict":"never recorded","current":"{a}"}`
		gone1 = `{"reference":"index.docker.io/library/gone:1","verdict":"cannot tell","recorded":"{a}",
			"firstSeen":"2026-01-02T03:04:09Z","logIndex":4,"uuid":"{4}",
			"reason":"index.docker.io/library/gone:1 is not known to registry index.docker.io; it says \"Unknown name\""}`
		nowhere1 = `{"reference":"index.docker.io/library/nowhere:1","verdict":"never recorded"}`
		pinnedA  = `{"reference":"index.docker.io/library/same@{b}","verdict":"pinned","current":"{b}"}`
		none     = `{"reference":"Upper:1","verdict":"cannot tell","reason":"invalid repository name: \"Upper\""}`
	)
	for _, test := range []expectation{
		{"same:1", 0, same1},
		{"same:2", 0, same2},
		{"moved:1", 1, moved1},
		{"moved:2", 1, moved2},
		{"new:1", 2, new1},
		{"nowhere:1", 2, nowhere1},
		{"gone:1", 3, gone1},
		{"Upper:1", 3, none},
		{"same@{b}", 0, pinnedA},
		{"same:9@{b}", 0, pinnedA},
		{"same:1 same@{b} same:2", 0, same1 + "," + pinnedA + "," + same2},

		// A moved tag counts more than one never recorded, and that more than
		// one that cannot be told, in whatever order.
		{"moved:1 new:1 gone:1 same:1", 1, moved1 + "," + new1 + "," + gone1 + "," + same1},
		{"gone:1 new:1 moved:1", 1, gone1 + "," + new1 + "," + moved1},
		{"gone:1 moved:1", 1, gone1 + "," + moved1},
		{"gone:1 new:1", 2, gone1 + "," + new1},
		{"same:1 new:1 gone:1", 2, same1 + "," + new1 + "," + gone1},
		{"same:1 gone:1", 3, same1 + "," + gone1},

		// One reference is judged once, however it is spelled.
		{"same:1 docker.io/library/same:1 new:1 index.docker.io/library/same:1", 2, same1 + "," + new1},
		{"Upper:1 Upper:1", 3, none},
	} {
		t.Run(test.args, func(t *testing.T) {
			r := command(t, append([]string{"verify", "-o", "json"}, strings.Fields(fill(test.args))...)...)
			r.is(t, test.status, indented(t, "["+fill(test.json)+"]"), "")
		})
	}
}

// indented returns JSON as the command prints it.
func indented(t *testing.T, text string) string {
	t.Helper()
	var v []json.RawMessage
	check(t, json.Unmarshal([]byte(text), &v))
	b, err := json.MarshalIndent(v, "", "  ")
	check(t, err)
	return string(b) + "\n"
}

func TestVerdictsAsText(t *testing.T) {
	_, fill := verifySample(t)
	wide := func(s string) string { return s + strings.Repeat(" ", 71-len(s)+2) }
	want := fill(strings.Join([]string{
		"REFERENCE                        VERDICT         " + wide("RECORDED") + "FIRST SEEN            LOG INDEX  CURRENT",
		hub + "same:1   same            {a}  2026-01-02T03:04:05Z  0          {a}",
		hub + "moved:1  moved           {a}  2026-01-02T03:04:07Z  2          {b}",
		hub + "new:1    never recorded  " + wide("-") + "-                     -          {a}",
		hub + "gone:1   cannot tell     {a}  2026-01-02T03:04:09Z  4          -  " +
			hub + `gone:1 is not known to registry index.docker.io; it says "Unknown name"`,
		`"no\tsuch\nimage"                cannot tell     ` + wide("-") + "-                     -          -  " + `invalid repository name: "no\tsuch\nimage"`,
	}, "\n")) + "\n"
	command(t, "verify", "same:1", "moved:1", "new:1", "gone:1", "no\tsuch\nimage").is(t, 1, want, "")
	// The format may be named.
	command(t, "verify", "--output", "text", "same:1", "moved:1", "new:1", "gone:1", "no\tsuch\nimage").is(t, 1, want, "")
}

// Many references are verified at once, and stay in order.
func TestManyVerdicts(t *testing.T) {
	_, _ = verifySample(t)
	args := []string{"verify", "-o", "json"}
	var want []string
	for i := range 50 {
		args = append(args, fmt.Sprintf("nowhere:%d", i))
		want = append(want, fmt.Sprintf(hub+"nowhere:%d never recorded", i))
	}
	r := command(t, args...)
	var got []string
	for _, v := range verdictsOf(t, r) {
		got = append(got, v.Reference+" "+v.Verdict)
	}
	if r.status != 2 || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("status %d, got %q", r.status, got)
	}
}

func verdictsOf(t *testing.T, r result) []verdict {
	t.Helper()
	var v []verdict
	if err := json.Unmarshal([]byte(r.out), &v); err != nil {
		t.Fatalf("%v in %+v", err, r)
	}
	return v
}

// brief returns references, verdicts and reasons of JSON output.
func brief(t *testing.T, r result) string {
	t.Helper()
	var lines []string
	for _, v := range verdictsOf(t, r) {
		lines = append(lines, strings.TrimSpace(v.Reference+": "+v.Verdict+" "+v.Reason))
	}
	return strings.Join(lines, "\n")
}

func TestVerifyRegistryDown(t *testing.T) {
	r, fill := verifySample(t)
	r.Close()
	got := command(t, "verify", "-o", "json", "same:1", "new:1", fill("same@{a}"))
	want := hub + "same:1: cannot tell registry index.docker.io cannot be reached: dial tcp " + r.host + ": connect: connection refused\n" +
		hub + "new:1: never recorded\n" +
		fill(hub+"same@{a}: pinned")
	if text := brief(t, got); got.status != 2 || text != want {
		t.Errorf("status %d, got\n%s\nwant\n%s", got.status, text, want)
	}
	if got := command(t, "verify", "same:1"); got.status != 3 {
		t.Errorf("status %d of %s", got.status, got.out)
	}
}

// A command that is cut short has found nothing.
func TestVerifyCutShort(t *testing.T) {
	verifySample(t)
	r := cancelled(t, "verify", "same:1")
	if r.status != 3 || strings.Count(r.stderr, "\n") > 1 {
		t.Errorf("%+v", r)
	}
}
