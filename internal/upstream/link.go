package upstream

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
)

var errBadLink = errors.New("bad Link header")

// next returns the raw query of the link to the next page in Link headers
// (RFC 8288), or "" if there is none. Only the query counts: which host and
// which prefix a registry believes it has is its own affair. But the link must
// be to a further page of the same list.
func next(headers []string, asked *url.URL) (string, error) {
	for _, header := range headers {
		for rest := header; rest != ""; {
			target, params, more, err := cutLink(rest)
			if err != nil {
				return "", err
			}
			rest = more
			if !isNext(params) {
				continue
			}
			u, err := asked.Parse(target)
			if err != nil {
				return "", fmt.Errorf("%w: %w", errBadLink, err)
			}
			if path.Base(u.Path) != path.Base(asked.Path) || !isQuery(u.RawQuery) || u.RawQuery == "" {
				return "", fmt.Errorf("%w: %q is no further page", errBadLink, cut(target))
			}
			return u.RawQuery, nil
		}
	}
	return "", nil
}

// cutLink cuts the first link off a header: its target, its parameters, and
// the links after it.
func cutLink(s string) (target, params, rest string, err error) {
	s, ok := strings.CutPrefix(strings.TrimLeft(s, " \t,"), "<")
	if !ok {
		return "", "", "", fmt.Errorf("%w: no target", errBadLink)
	}
	target, s, ok = strings.Cut(s, ">")
	if !ok {
		return "", "", "", fmt.Errorf("%w: the target has no end", errBadLink)
	}
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			return target, s[:i], s[i+1:], nil
		}
	}
	return target, s, "", nil
}

// isNext reports whether a link's parameters hold the relation "next".
func isNext(params string) bool {
	for _, param := range splitUnquoted(params, ';') {
		name, value, _ := strings.Cut(param, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "rel") {
			continue
		}
		value = strings.Trim(strings.TrimSpace(value), `"`)
		for relation := range strings.FieldsSeq(value) {
			if strings.EqualFold(relation, "next") {
				return true
			}
		}
		return false // only the first rel counts
	}
	return false
}
