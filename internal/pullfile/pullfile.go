// Package pullfile finds the images that a file makes a machine pull.
//
// In a Dockerfile it finds the image of every FROM, COPY --from and
// RUN --mount=from=, whether or not the last stage needs it, and none of these:
// scratch, build stages by name or number, the frontend named by a syntax
// directive, what an ONBUILD trigger names (its stages are those of another
// file), and what ADD downloads. Variables of FROM have the values that
// "docker build" gives them without a flag: the defaults of the ARGs before the
// first FROM, and the platform arguments, such as TARGETARCH, of Linux on this
// machine's architecture. Line continuation, comments, the escape directive,
// heredocs and substitutions are BuildKit's, whose parser does the work.
//
// In a Kubernetes or Compose file, which may hold many documents, it finds
// every field image with a string, wherever it stands, and the reference of a
// Kubernetes image volume. It does not find an image put together from several
// fields, as in a chart's values, nor one in a field of another name, nor a
// Dockerfile in the file. A field that a merge key brings is found where it is
// written. ${VAR:-default} and its kin have their defaults: no environment and
// no .env file is read. A template has to be rendered first.
//
// In any other file each line is a reference; # begins a comment.
//
// The package opens nothing, and asks neither network nor environment.
package pullfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

// maxFile is the size in bytes of the largest file that is read.
const maxFile = 1 << 20

var (
	errTooLarge = errors.New("larger than 1 MiB")
	errEmpty    = errors.New("names no image")
)

// An Image is a reference found in a file.
type Image struct {
	// Reference is valid for [ociref.ParseReference] and has the spelling of
	// the file, after defaults. Where Err is set it is the file's text instead,
	// which may be anything.
	Reference string

	// Line is where the reference first stands, counted from 1. In a
	// Dockerfile it is the line where the instruction begins.
	Line int

	// Err tells why the file's text does not tell which image is meant: it is
	// no reference, or a variable has no value. It names file, line and text.
	Err error
}

// Read returns the images of a file in the order of their first appearance,
// each spelling once. An image that cannot be told is among them, with its Err
// set: a file is not unreadable for one of them.
//
// A file's kind is told by its name: Dockerfile, Containerfile, either with a
// suffix or as the suffix (app.dockerfile); *.yaml, *.yml. For another name, as
// for standard input, the first line that says something tells it: FROM or ARG
// begin a Dockerfile; a key, a list or a document marker, a YAML file. Else
// lines are references.
//
// An error of Read itself names the file. It is one of r, or the file is
// larger than 1 MiB, or no file of its kind; then no image is returned.
func Read(name string, r io.Reader) ([]Image, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s: %w", name, errTooLarge)
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	found := &images{name: name, seen: map[spelling]bool{}}
	switch kindOf(name, text) {
	case dockerfileKind:
		err = readDockerfile(found, text)
	case manifestKind:
		err = readManifest(found, text)
	default:
		readLines(found, text)
	}
	if err != nil {
		return nil, err
	}
	return found.list, nil
}

type kind int

const (
	linesKind kind = iota
	dockerfileKind
	manifestKind
)

// keyRE matches a line that begins with a key of a YAML mapping. No reference
// has a colon followed by nothing or by a space.
var keyRE = regexp.MustCompile(`^["']?[\w./-]+["']?\s*:(?:\s|$)`)

func kindOf(name string, text []byte) kind {
	base := strings.ToLower(filepath.Base(name))
	switch ext := filepath.Ext(base); {
	case ext == ".yaml", ext == ".yml":
		return manifestKind
	case ext == ".dockerfile", ext == ".containerfile", base == "dockerfile", base == "containerfile",
		strings.HasPrefix(base, "dockerfile."), strings.HasPrefix(base, "containerfile."):
		return dockerfileKind
	}
	first := firstLine(text)
	word, _, more := strings.Cut(strings.ToLower(first), " ")
	switch {
	case more && (word == "from" || word == "arg"):
		return dockerfileKind
	case word == "-", word == "---", word == "%yaml", strings.HasPrefix(word, "{"), keyRE.MatchString(first):
		return manifestKind
	}
	return linesKind
}

// firstLine returns the first line that is more than a comment.
func firstLine(text []byte) string {
	for line := range bytes.Lines(text) {
		if first := uncommented(line); first != "" {
			return strings.Join(strings.Fields(first), " ")
		}
	}
	return ""
}

// readLines finds the references of a file with one on each line.
func readLines(found *images, text []byte) {
	number := 0
	for line := range bytes.Lines(text) {
		number++
		if ref := uncommented(line); ref != "" {
			found.add(number, ref)
		}
	}
}

// uncommented returns what stands on a line before a comment, without the
// space around it. No reference has the sign that begins a comment.
func uncommented(line []byte) string {
	line, _, _ = bytes.Cut(line, []byte("#"))
	return string(bytes.TrimSpace(line))
}

// images collects what is found in one file.
type images struct {
	name string // of the file
	list []Image
	seen map[spelling]bool
}

// A spelling is a text that was found before, as a reference or as none.
type spelling struct {
	text string
	told bool
}

// add notes a reference, or that the text is none.
func (f *images) add(line int, ref string) {
	if _, err := ociref.ParseReference(ref); err != nil {
		f.fail(line, ref, err)
		return
	}
	f.note(Image{Reference: ref, Line: line})
}

// fail notes a text that does not tell an image.
func (f *images) fail(line int, text string, err error) {
	f.note(Image{Reference: text, Line: line, Err: f.errorf(line, "%.200q: %w", text, err)})
}

func (f *images) note(i Image) {
	s := spelling{i.Reference, i.Err == nil}
	if !f.seen[s] {
		f.seen[s] = true
		f.list = append(f.list, i)
	}
}

// errorf returns an error that names file and line.
func (f *images) errorf(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", f.name, line, fmt.Errorf(format, args...))
}
