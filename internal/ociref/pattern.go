package ociref

import (
	"fmt"
	"path"
	"strings"
)

// A Pattern selects repositories by the names that users type, such as
// docker.io/library/* or ghcr.io/acme/**.
//
// A pattern is matched component by component. An asterisk stands for any
// characters within one component, as in path.Match; a last component of two
// asterisks stands for one or more components. The registry is written out.
// On Docker Hub a name of one component is in library/, here as in a path.
// The zero Pattern matches nothing.
type Pattern struct {
	parts []string
	deep  bool // ends in **
}

// ParsePattern parses a pattern. The error quotes it and says what is wrong.
func ParsePattern(s string) (Pattern, error) {
	registry, rest, ok := strings.Cut(s, "/")
	if !ok {
		return Pattern{}, fmt.Errorf("pattern %s names no repository: want registry/repository", quote(s))
	}
	registry, err := Registry(registry)
	if err != nil {
		return Pattern{}, fmt.Errorf("pattern %s: %w", quote(s), err)
	}
	parts := strings.Split(rest, "/")
	deep := parts[len(parts)-1] == "**"
	if deep {
		parts = parts[:len(parts)-1]
	}
	for _, part := range parts {
		if !nameRE.MatchString(strings.ReplaceAll(part, "*", "x")) || strings.Contains(part, "**") {
			return Pattern{}, fmt.Errorf("pattern %s: %s is neither part of a name nor an asterisk", quote(s), quote(part))
		}
	}
	if registry == hub && len(parts) == 1 && !deep {
		parts = []string{"library", parts[0]}
	}
	parts = append([]string{registry}, parts...)
	for _, text := range []string{s, strings.Join(parts, "/")} {
		if len(strings.ReplaceAll(text, "*", "")) > maxName {
			return Pattern{}, fmt.Errorf("pattern %s: no name is longer than %d characters", quote(s), maxName)
		}
	}
	return Pattern{parts: parts, deep: deep}, nil
}

// Match reports whether the pattern selects the repository of a [Request].
func (p Pattern) Match(repo string) bool {
	parts := strings.Split(repo, "/")
	if len(parts) < len(p.parts) || p.parts == nil {
		return false
	}
	if more := len(parts) > len(p.parts); more != p.deep {
		return false
	}
	for i, want := range p.parts {
		if ok, err := path.Match(want, parts[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

// A TagPattern selects references by the names that users type, such as
// docker.io/library/*:latest or ghcr.io/acme/**:nightly-*.
//
// What is before the tag is a [Pattern]. In the tag an asterisk stands for any
// characters. The zero TagPattern matches nothing.
type TagPattern struct {
	repo Pattern
	tag  string
	text string // as it was parsed
}

// String returns the pattern as it was parsed.
func (p TagPattern) String() string { return p.text }

// ParseTagPattern parses a pattern that has to name a tag: one that leaves it
// out might mean every tag, or latest. The error quotes the pattern and says
// what is wrong.
func ParseTagPattern(s string) (TagPattern, error) {
	i := strings.LastIndex(s, ":")
	if i <= strings.LastIndex(s, "/") {
		return TagPattern{}, fmt.Errorf("pattern %s names no tag: want registry/repository:tag", quote(s))
	}
	repo, tag := s[:i], s[i+1:]
	if !isTag(strings.ReplaceAll(tag, "*", "x")) || strings.Contains(tag, "**") {
		return TagPattern{}, fmt.Errorf("pattern %s: %s is neither a tag nor one with asterisks", quote(s), quote(tag))
	}
	p, err := ParsePattern(repo)
	if err != nil {
		return TagPattern{}, err
	}
	return TagPattern{repo: p, tag: tag, text: s}, nil
}

// Match reports whether the pattern selects the tag of a [Request]. It selects
// no digest.
func (p TagPattern) Match(r Request) bool {
	if r.Tag == "" {
		return false
	}
	ok, err := path.Match(p.tag, r.Tag) // no tag holds a slash
	return err == nil && ok && p.repo.Match(r.Repo)
}
