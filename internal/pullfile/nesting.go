package pullfile

import (
	"bytes"
	"errors"
)

// BuildKit's parser looks for heredocs with a lexer that copies the inner text
// of a substitution once for every one around it: the time is that of the
// nestings times the text. Without a limit, 1 MiB takes more than three minutes.
const maxNesting = 8 << 20

var errNesting = errors.New("too many substitutions in instructions with a heredoc")

// nesting returns a bound of the bytes that the lexer copies for a Dockerfile:
// the sum over its instructions with a heredoc of their substitutions times
// their length. Where it cannot tell that an instruction ends it goes on, which
// makes the bound larger.
func nesting(text []byte) int {
	sum := 0
	var length, substitutions int
	heredoc := false
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		length += len(line)
		substitutions += bytes.Count(line, []byte("${"))
		heredoc = heredoc || bytes.Contains(line, []byte("<<"))
		if !ends(line) {
			continue
		}
		if heredoc {
			sum += length * substitutions
		}
		length, substitutions, heredoc = 0, 0, false
	}
	if heredoc {
		sum += length * substitutions
	}
	return sum
}

// ends reports whether an instruction certainly ends with a line: it has no
// escape at its end, and is neither empty nor a comment.
func ends(line []byte) bool {
	return len(line) > 0 && line[0] != '#' && !bytes.HasSuffix(line, []byte(`\`)) && !bytes.HasSuffix(line, []byte("`"))
}
