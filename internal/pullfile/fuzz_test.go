package pullfile_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/ociref"
	"github.com/tlogistry/tlogistry/internal/pullfile"
)

// check reads a text as a file of each kind and fails unless the answer keeps
// what Read and Image promise.
func check(t *testing.T, name, text string) {
	t.Helper()
	list, err := pullfile.Read(name, strings.NewReader(text))
	if err != nil {
		if list != nil || !strings.HasPrefix(err.Error(), name+":") {
			t.Errorf("%v with error %v", list, err)
		}
		return
	}
	lines := strings.Count(text, "\n") + strings.Count(text, "\r") + 1 // YAML ends lines with either
	lines += strings.Count(text, "\u0085") + strings.Count(text, "\u2028") + strings.Count(text, "\u2029")
	seen := map[string]bool{}
	for _, i := range list {
		if i.Line < 1 || i.Line > lines {
			t.Errorf("%q in line %d of %d", i.Reference, i.Line, lines)
		}
		_, err := ociref.ParseReference(i.Reference)
		switch {
		case i.Err != nil:
			if want := fmt.Sprintf("%s:%d: %.200q: ", name, i.Line, i.Reference); !strings.HasPrefix(i.Err.Error(), want) {
				t.Errorf("error %v does not begin with %s", i.Err, want)
			}
		case err != nil:
			t.Errorf("%q without Err: %v", i.Reference, err)
		}
		key := fmt.Sprint(i.Err == nil, i.Reference)
		if seen[key] {
			t.Errorf("%q twice", i.Reference)
		}
		seen[key] = true
	}
}

func FuzzDockerfile(f *testing.F) {
	for _, s := range []string{
		"FROM alpine:3.16\n", "ARG A=1\nFROM --platform=$BUILDPLATFORM a:${A:-2} AS b\nCOPY --from=b --chown=1 a b\nCOPY --from=0 / /\n",
		"# escape=`\r\nFROM `\r\na\r\n", "# syntax=a\n# check=skip=all\nFROM a\n", "FROM a\nRUN <<-A <<\"B\"\nA\nB\nCOPY --from=c [\"a\", \"b\"]",
		"FROM a\nRUN --mount=type=cache,from=b,\"target=/x\" true\n", "ARG A=v1\nFROM a:${A#v}-${A%1}-${A//v/w}-$B-${C:?d}\\$'$E'\"$F\"",
		"FROM a\nONBUILD RUN <<E\nE\n", " #escape=\\\nFROM a", "FROM a\\\n\n#\n:b", "\ufeffFROM a",
		"FROM a\nRUN <<E ${a:-${b:-${c:+<<}}}\nE\n", "FROM $A$$$@${*}${A:-${B-${C+d}}}\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) { check(t, "Dockerfile", text) })
}

func FuzzManifest(f *testing.F) {
	for _, s := range []string{
		"image: alpine\n---\na: [{image: 'b:1'}, {image: \"c\"}]\n", "a: &a {image: &b c}\nd: *a\nimage: *b\n", "image: {reference: a}\n",
		"image: ${A:-b}:${C}\n", "image: {{ .a }}\n", "image: |\n  a\n", "? image\n: a\n", "!!map {!!str image: !!str a}\n", "a: &a\n  b: *a\n  <<: *a\n",
		"image: a\rb:\r  image: c\r", "image:\n\n  # x\n  a\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) { check(t, "a.yaml", text) })
}

// What kind a text has without a telling name is not known here; each line of
// a file of references is one or is told not to be.
func FuzzLines(f *testing.F) {
	for _, s := range []string{"alpine\n", "a:1 # b\r\n#c\n\n d@" + digest, "a b\na:\n", "FROM a", "- a", "{", "---", "a: b", "\ufeff\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) { check(t, "stdin", text) })
}
