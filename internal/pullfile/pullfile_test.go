package pullfile_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/tlogistry/tlogistry/internal/ociref"
	"github.com/tlogistry/tlogistry/internal/pullfile"
)

// A reading is a file and what is found in it, as show writes it.
type reading struct {
	name string
	text string
	want []string
}

func (r reading) run(t *testing.T, file string) {
	t.Run(r.name, func(t *testing.T) {
		list, err := pullfile.Read(file, strings.NewReader(r.text))
		if err != nil {
			t.Fatal(err)
		}
		if got := show(list); !slices.Equal(got, r.want) {
			t.Errorf("found\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(r.want, "\n\t"))
		}
	})
}

// show writes each image as its line and reference, or as its error.
func show(list []pullfile.Image) []string {
	var lines []string
	for _, i := range list {
		if i.Err != nil {
			lines = append(lines, i.Err.Error())
			continue
		}
		lines = append(lines, fmt.Sprintf("%d %s", i.Line, i.Reference))
	}
	return lines
}

const digest = "sha256:c5b1261d6d3e43071626931fc004f70149baeba2c8ec672bd4f27761f8e1ad6b"

func TestLines(t *testing.T) {
	for _, r := range []reading{
		{"nothing", "", nil},
		{"only comments", "# a\n\n  # b\n", nil},
		{"names", "alpine\nghcr.io/acme/app:v1\n", []string{"1 alpine", "2 ghcr.io/acme/app:v1"}},
		{"no newline at the end", "alpine", []string{"1 alpine"}},
		{"space, comments, CRLF", "# mine\r\n\r\n  alpine:3.16 # old\r\n\tbusybox\r\n", []string{"3 alpine:3.16", "4 busybox"}},
		{"byte order mark", "\ufeffalpine\n", []string{"1 alpine"}},
		{"digest", "alpine:3.16@" + digest, []string{"1 alpine:3.16@" + digest}},
		{"twice", "alpine\nbusybox\nalpine\n", []string{"1 alpine", "2 busybox"}},
		{"two spellings", "alpine\nalpine:latest\n", []string{"1 alpine", "2 alpine:latest"}},
		{"from", "from\narg\n", []string{"1 from", "2 arg"}},
		{"no reference", "alpine\nalpine 3.16\nalpine:\nAlpine\nalpine 3.16\n", []string{
			"1 alpine",
			`stdin:2: "alpine 3.16": invalid repository name: "alpine 3.16"`,
			`stdin:3: "alpine:": invalid tag: ""`,
			`stdin:4: "Alpine": invalid repository name: "Alpine"`,
		}},
		{"no variables", "alpine:$TAG", []string{`stdin:1: "alpine:$TAG": invalid tag: "$TAG"`}},
		{"terminal", "a\x1b[2J", []string{`stdin:1: "a\x1b[2J": invalid repository name: "a\x1b[2J"`}},
	} {
		r.run(t, "stdin")
	}
}

// An image that cannot be told keeps its text and line, and its error what a
// caller may ask of it.
func TestErr(t *testing.T) {
	list, err := pullfile.Read("refs", strings.NewReader("alpine\n alpine:% # odd\n"))
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	if i := list[1]; i.Reference != "alpine:%" || i.Line != 2 || !errors.Is(i.Err, ociref.ErrTag) {
		t.Errorf("%+v", i)
	}
}

func TestKind(t *testing.T) {
	const (
		dockerfile = "FROM alpine\n"
		manifest   = "image: alpine\n"
		lines      = "alpine\n"
	)
	for _, c := range []struct{ name, text string }{
		{"Dockerfile", dockerfile}, {"a/b/Dockerfile", dockerfile}, {"dockerfile", dockerfile}, {"Dockerfile.dev", dockerfile},
		{"Containerfile", dockerfile}, {"Containerfile.fedora", dockerfile}, {"app.Dockerfile", dockerfile}, {"app.containerfile", dockerfile},
		{"compose.yaml", manifest}, {"k8s/deploy.YML", manifest}, {"dockerfile.yml", manifest},
		{"-", dockerfile}, {"", "\n# build\n\nfrom\talpine\n"}, {"Dockerfile-dev", "# syntax=docker/dockerfile:1\nARG A=1\nFROM alpine\n"},
		{"-", manifest}, {"-", "---\nimage: alpine\n"}, {"-", "%YAML 1.1\n---\nimage: alpine\n"}, {"-", "# x\n\napiVersion: v1\nimage: alpine\n"},
		{"-", "- image: alpine\n"}, {"-", `{"image": "alpine"}`}, {"-", "\"a\": 1\nimage: alpine\n"}, {"-", "services: # mine\n  a:\n    image: alpine\n"},
		{"-", lines}, {"refs.txt", lines}, {"yaml", lines}, {"mydockerfile", lines}, {"-", "#FROM a\nalpine"},
	} {
		list, err := pullfile.Read(c.name, strings.NewReader(c.text))
		if err != nil || len(list) != 1 || list[0].Reference != "alpine" || list[0].Err != nil {
			t.Errorf("%s, %q: %v, %v", c.name, c.text, list, err)
		}
	}
}

func TestUnreadable(t *testing.T) {
	const most = 1 << 20
	broken := errors.New("broken")
	for _, c := range []struct {
		name string
		file string
		text io.Reader
		want string
	}{
		{"reader", "refs", iotest.ErrReader(broken), "refs: broken"},
		{"too large", "refs", strings.NewReader("a\n#" + strings.Repeat(" ", most-2)), "refs: larger than 1 MiB"},
		{"endless", "compose.yaml", endless{}, "compose.yaml: larger than 1 MiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, err := pullfile.Read(c.file, c.text)
			if list != nil || err == nil || err.Error() != c.want {
				t.Errorf("%v, %v, want error %s", list, err, c.want)
			}
		})
	}
	if _, err := pullfile.Read("refs", iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("%v does not wrap the reader's error", err)
	}
	list, err := pullfile.Read("refs", strings.NewReader("a\n#"+strings.Repeat(" ", most-3)))
	if err != nil || len(list) != 1 {
		t.Errorf("a file of 1 MiB: %v, %v", list, err)
	}
}

// endless is a file of spaces without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
