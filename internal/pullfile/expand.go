package pullfile

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// Limits of a text with variables, so that values made of values do not grow
// without end.
const (
	// maxWord is its length in bytes, and that of its value. A reference has
	// at most 456: a name of 255, a tag of 128, a digest of 71, and two signs.
	maxWord = 512

	// maxDollars is how many variables it has.
	maxDollars = 32
)

var (
	errWord    = fmt.Errorf("longer than %d bytes", maxWord)
	errDollars = fmt.Errorf("more than %d variables", maxDollars)
	errBrace   = errors.New("syntax error: missing '}'")
	errPattern = errors.New("variable, quote or escape in a pattern of a substitution")
)

// variables are the variables of a file.
type variables map[string]variable

// A variable has a value, or the reason why it has none.
type variable struct {
	value string
	err   error
}

// Get and Keys make variables a shell.EnvGetter.
func (v variables) Get(name string) (string, bool) {
	x, ok := v[name]
	return x.value, ok && x.err == nil
}

func (v variables) Keys() []string { return nil }

var (
	// patternRE matches a substitution by pattern that may grow with each of
	// its nestings: up to its first closing brace it has more than letters.
	patternRE = regexp.MustCompile(`\$\{\w+[/#%][^}]*[$'"\\` + "`]")

	// unsetRE matches a variable, and in its third group what makes do without
	// a value.
	unsetRE = regexp.MustCompile(`\$(\{?)([\pL\d_]+|[@*#?\-$!]|)(:?[-+])?`)
)

// expand replaces the variables of a word, as a shell does and BuildKit, with
// one difference: a variable without a value and without a default is an error.
// It also removes the word's quotes and escapes.
func (v variables) expand(word string, escape rune) (string, error) {
	if len(word) > maxWord {
		return "", errWord
	}
	if strings.Count(word, "$") > maxDollars {
		return "", errDollars
	}
	if patternRE.MatchString(word) {
		return "", errPattern
	}
	lex := shell.NewLex(escape)
	lex.SkipUnsetEnv = true
	kept, _, err := lex.ProcessWord(word, v)
	if err != nil {
		return "", innermost(err)
	}
	if err := v.unset(kept); err != nil {
		return "", err
	}
	lex.SkipUnsetEnv = false
	value, _, err := lex.ProcessWord(word, v)
	if err != nil {
		return "", innermost(err)
	}
	if len(value) > maxWord {
		return "", errWord
	}
	return value, nil
}

// innermost takes from an error of the lexer the word that it quotes. The
// lexer's own text for a name up to the end of a word is a riddle.
func innermost(err error) error {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	if strings.ContainsRune(err.Error(), utf8.RuneError) {
		return errBrace
	}
	return err
}

// unset returns an error that names the variables without a value in a word
// where those with a value are replaced already.
func (v variables) unset(word string) error {
	var names []string
	for _, m := range unsetRE.FindAllStringSubmatch(word, -1) {
		if m[1] != "" && m[3] != "" {
			continue
		}
		name := m[2]
		if name == "" {
			name = "$"
		}
		if x := v[name]; x.err != nil {
			name = fmt.Sprintf("%s (%v)", name, x.err)
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if names == nil {
		return nil
	}
	return fmt.Errorf("no value for %s", strings.Join(names, ", "))
}
