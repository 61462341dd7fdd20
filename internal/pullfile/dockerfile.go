package pullfile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/command"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

var (
	errVariable = errors.New("no variable is replaced here; one in a FROM is, and its stage can be named here")
	errStage    = errors.New("no such stage before this one")
)

// A dockerfile is what is known of a Dockerfile between two instructions.
type dockerfile struct {
	found  *images
	vars   variables // of FROM
	escape rune
	names  map[string]bool // of all stages, in lower case
	before map[string]bool // of the stages so far
	stages int             // so far
}

// readDockerfile finds the images of a Dockerfile.
func readDockerfile(found *images, text []byte) error {
	if nesting(text) > maxNesting {
		return fmt.Errorf("%s: %w", found.name, errNesting)
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return located(found, err)
	}
	d := &dockerfile{
		found:  found,
		vars:   platform(runtime.GOARCH),
		escape: parsed.EscapeToken,
		names:  map[string]bool{},
		before: map[string]bool{},
	}
	for _, n := range parsed.AST.Children {
		if args := arguments(n); strings.EqualFold(n.Value, command.From) && len(args) == 3 {
			d.names[strings.ToLower(args[2])] = true
		}
	}
	for _, n := range parsed.AST.Children {
		if err := d.instruction(n); err != nil {
			return err
		}
	}
	if d.stages == 0 {
		return fmt.Errorf("%s: no FROM", found.name)
	}
	return nil
}

// located adds the line to an error of the parser, if it tells it.
func located(found *images, err error) error {
	var at *parser.LocationError
	if errors.As(err, &at) && len(at.Locations) > 0 && len(at.Locations[0]) > 0 {
		if line := at.Locations[0][0].Start.Line; line > 0 {
			return found.errorf(line, "%w", err)
		}
	}
	return fmt.Errorf("%s: %w", found.name, err)
}

// platform returns the platform arguments of a build for Linux on the machine
// where it runs. Which variant an arm machine is, Go does not tell.
// https://docs.docker.com/reference/dockerfile/#automatic-platform-args-in-the-global-scope
func platform(arch string) variables {
	v := variables{}
	for _, side := range []string{"BUILD", "TARGET"} {
		v[side+"OS"] = variable{value: "linux"}
		v[side+"OSVERSION"] = variable{}
		v[side+"ARCH"] = variable{value: arch}
		if arch != "arm" {
			v[side+"VARIANT"] = variable{}
			v[side+"PLATFORM"] = variable{value: "linux/" + arch}
		}
	}
	return v
}

// instruction takes the next instruction. Its errors are those for which
// BuildKit refuses the file and which could hide an image.
func (d *dockerfile) instruction(n *parser.Node) error {
	name := strings.ToLower(n.Value)
	if _, ok := command.Commands[name]; !ok {
		return d.found.errorf(n.StartLine, "unknown instruction %.50q", n.Value)
	}
	switch {
	case name == command.From:
		return d.from(n)
	case name == command.Arg && d.stages == 0:
		d.arg(n)
	case d.stages == 0:
		return d.found.errorf(n.StartLine, "%s before the first FROM", strings.ToUpper(name))
	case name == command.Copy:
		for _, from := range flags(n, "from") {
			d.copied(n.StartLine, from)
		}
	case name == command.Run:
		for _, mount := range flags(n, "mount") {
			if err := d.mounted(n.StartLine, mount); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *dockerfile) from(n *parser.Node) error {
	args := arguments(n)
	if len(args) != 1 && (len(args) != 3 || !strings.EqualFold(args[1], "as")) {
		return d.found.errorf(n.StartLine, "%.200q: FROM takes an image, or an image AS a name", n.Original)
	}
	ref, err := d.vars.expand(args[0], d.escape)
	switch {
	case err != nil:
		d.found.fail(n.StartLine, args[0], err)
	case ref == "scratch", d.before[strings.ToLower(ref)]:
	case ref == "":
		d.found.fail(n.StartLine, args[0], errEmpty)
	default:
		d.found.add(n.StartLine, ref)
	}
	if len(args) == 3 {
		d.before[strings.ToLower(args[2])] = true
	}
	d.stages++
	return nil
}

// arg takes an ARG before the first FROM. One without a default leaves the
// variable as it was.
func (d *dockerfile) arg(n *parser.Node) {
	for _, arg := range arguments(n) {
		name, word, ok := strings.Cut(arg, "=")
		if !ok || !isName(name) {
			continue
		}
		value, err := d.vars.expand(word, d.escape)
		if err != nil {
			err = fmt.Errorf("line %d: %w", n.StartLine, err)
		}
		d.vars[name] = variable{value: value, err: err}
	}
}

// isName reports whether s is made of the letters that patternRE knows.
func isName(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// copied takes the value of COPY --from: a stage's number or name, or an image.
func (d *dockerfile) copied(line int, from string) {
	number, err := strconv.Atoi(from)
	switch {
	case err == nil && (number < 0 || number >= d.stages):
		d.found.fail(line, from, errStage)
	case err == nil:
	default:
		d.source(line, from)
	}
}

// mounted takes the value of RUN --mount. A number below that of the stage is
// taken for a stage too, as Buildah does; BuildKit has no number here.
func (d *dockerfile) mounted(line int, mount string) error {
	if mount == "" {
		return nil
	}
	fields, err := csv.NewReader(strings.NewReader(mount)).Read()
	if err != nil {
		return d.found.errorf(line, "%.200q: mount: %w", mount, err)
	}
	from := ""
	for _, field := range fields {
		if key, value, _ := strings.Cut(field, "="); strings.EqualFold(key, "from") {
			from = value
		}
	}
	if number, err := strconv.Atoi(from); err == nil && number >= 0 && number < d.stages {
		return nil
	}
	d.source(line, from)
	return nil
}

// source takes the name of a stage or an image that files come from.
func (d *dockerfile) source(line int, from string) {
	switch {
	case from == "", from == "scratch", d.names[strings.ToLower(from)]:
	case strings.Contains(from, "$"):
		d.found.fail(line, from, errVariable)
	default:
		d.found.add(line, from)
	}
}

// arguments returns the words of an instruction after its flags.
func arguments(n *parser.Node) []string {
	var list []string
	for n := n.Next; n != nil; n = n.Next {
		list = append(list, n.Value)
	}
	return list
}

// flags returns the values of an instruction's flag.
func flags(n *parser.Node, name string) []string {
	var list []string
	for _, flag := range n.Flags {
		if value, ok := strings.CutPrefix(flag, "--"+name+"="); ok {
			list = append(list, value)
		}
	}
	return list
}
