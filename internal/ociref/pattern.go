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
	return Pattern{parts: append([]string{registry}, parts...), deep: deep}, nil
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
