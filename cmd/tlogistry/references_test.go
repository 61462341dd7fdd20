package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const dockerfile = `ARG TAG=1
ARG NONE
FROM same:${TAG} AS build
RUN true
FROM scratch AS rest
FROM moved:$TAG
COPY --from=build /a /a
COPY --from=gone:1 /b /b
COPY --from=rest /c /c
FROM same:${NONE}
FROM library/same:1
`

const pod = `apiVersion: v1
kind: Pod
spec:
  initContainers:
  - image: same:1
  containers:
  - name: one
    image: docker.io/library/new:1
  - name: two
    image: "same:2"
---
image: same:1
`

const compose = `services:
  web:
    image: ${IMAGE:-same}:2
  db:
    image: new:${TAG}
`

func TestReferences(t *testing.T) {
	_, fill := verifySample(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		write(t, path, text)
		return path
	}
	df := file("Dockerfile", dockerfile)
	yaml := file("pod.yaml", pod)
	yml := file("compose.yml", compose)
	list := file("list", "# ours\nsame:1\n\n  same:2 # this too\nsame:1\n")
	const gone = hub + `gone:1: cannot tell ` + hub + `gone:1 is not known to registry index.docker.io; it says "Unknown name"`
	none := `same:${NONE}: cannot tell ` + df + `:10: "same:${NONE}": no value for NONE`
	for _, test := range []struct {
		name   string
		in     string
		args   []string
		status int
		want   []string
	}{
		{"a Dockerfile", "", []string{"-f", df}, 1,
			[]string{hub + "same:1: same", hub + "moved:1: moved", gone, none}},
		{"a Dockerfile on stdin", dockerfile, []string{"-f", "-"}, 1,
			[]string{hub + "same:1: same", hub + "moved:1: moved", gone, strings.Replace(none, df, "-", 1)}},
		{"a Dockerfile on stdin without a flag", dockerfile, nil, 1,
			[]string{hub + "same:1: same", hub + "moved:1: moved", gone, strings.Replace(none, df, "-", 1)}},
		{"a pod", "", []string{"-f", yaml}, 2,
			[]string{hub + "same:1: same", hub + "new:1: never recorded", hub + "same:2: same"}},
		{"a pod on stdin", pod, []string{"-f", "-"}, 2,
			[]string{hub + "same:1: same", hub + "new:1: never recorded", hub + "same:2: same"}},
		{"a Compose file", "", []string{"--file", yml}, 3,
			[]string{hub + "same:2: same", "new:${TAG}: cannot tell " + yml + `:5: "new:${TAG}": no value for TAG`}},
		{"lines on stdin", "same:1\nsame:2\n", nil, 0, []string{hub + "same:1: same", hub + "same:2: same"}},
		{"lines in a file", "", []string{"-f", list}, 0, []string{hub + "same:1: same", hub + "same:2: same"}},
		{"arguments first", "", []string{"-f", list, "same:2", "new:1"}, 2,
			[]string{hub + "same:2: same", hub + "new:1: never recorded", hub + "same:1: same"}},
		{"two files", "", []string{"-f", list, "-f", yaml}, 2,
			[]string{hub + "same:1: same", hub + "same:2: same", hub + "new:1: never recorded"}},
		{"arguments leave stdin alone", "moved:1\n", []string{"same:1"}, 0, []string{hub + "same:1: same"}},
		{"a file leaves stdin alone", "moved:1\n", []string{"-f", list}, 0, []string{hub + "same:1: same", hub + "same:2: same"}},
		// What is no reference does not hide a reference of the same text.
		{"the text of a stage that is not there", "", []string{"-f", file("a.dockerfile", "FROM same:1\nCOPY --from=7 / /\n"), "-f", file("b", "7\n")}, 2,
			[]string{hub + "same:1: same", "7: cannot tell " + filepath.Join(dir, "a.dockerfile") + `:2: "7": no such stage before this one`,
				hub + "7:latest: never recorded"}},
		{"the same mistake in two files", "", []string{"-f", file("c.dockerfile", "FROM x:$N\n"), "-f", file("d.dockerfile", "FROM x:$N\n")}, 3,
			[]string{"x:$N: cannot tell " + filepath.Join(dir, "c.dockerfile") + `:1: "x:$N": no value for N`,
				"x:$N: cannot tell " + filepath.Join(dir, "d.dockerfile") + `:1: "x:$N": no value for N`}},
		{"a digest in a file", fill("FROM same:1@{b}\n"), nil, 0, []string{fill(hub + "same@{b}: pinned")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := commandWith(t, test.in, append([]string{"verify", "-o", "json"}, test.args...)...)
			if r.status != test.status || r.stderr != "" {
				t.Errorf("status %d, want %d, stderr %q", r.status, test.status, r.stderr)
			}
			if got := brief(t, r); got != strings.Join(test.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", got, strings.Join(test.want, "\n"))
			}
		})
	}
}

func TestNoReferences(t *testing.T) {
	t.Setenv("TLOG_DIR", newLog(t, signerKey))
	dir := t.TempDir()
	empty, bad, big := filepath.Join(dir, "empty"), filepath.Join(dir, "bad.yaml"), filepath.Join(dir, "big")
	write(t, empty, "")
	write(t, bad, "a: [\n")
	check(t, os.WriteFile(big, make([]byte, 1<<20+1), 0o600))
	scratch := filepath.Join(dir, "Dockerfile")
	write(t, scratch, "FROM scratch\n")
	const none = "no references: name them, or a file with -f"
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"nothing on stdin", nil, none},
		{"nothing on stdin, named", []string{"-f", "-"}, none},
		{"an empty file", []string{"-f", empty}, none},
		{"a Dockerfile that pulls nothing", []string{"-f", scratch}, none},
		{"no file", []string{"-f", filepath.Join(dir, "no")}, "open " + filepath.Join(dir, "no") + ": no such file or directory"},
		{"no file beside a reference", []string{"same:1", "-f", filepath.Join(dir, "no")}, "open " + filepath.Join(dir, "no") + ": no such file or directory"},
		{"a directory", []string{"-f", dir}, dir + ": read " + dir + ": is a directory"},
		{"a bad YAML file", []string{"-f", bad}, bad + ": yaml: line 1: did not find expected node content"},
		{"a huge file", []string{"-f", big}, big + ": larger than 1 MiB"},
	} {
		for _, more := range [][]string{nil, {"-o", "json"}} {
			t.Run(test.name+strings.Join(more, " "), func(t *testing.T) {
				command(t, append(append([]string{"verify"}, test.args...), more...)...).fails(t, 3, test.want)
			})
		}
	}
}
