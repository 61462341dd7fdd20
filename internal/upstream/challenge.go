package upstream

import "strings"

// maxRealm bounds a realm and a service.
const maxRealm = 2 << 10

// oneChallenge reduces the WWW-Authenticate headers of a 401 to the one
// challenge that matters here, in the form that go-containerregistry reads:
// the first Bearer challenge, its realm and service quoted. Registries also
// send several challenges in one header or in several, and leave quotes out.
// Without a Bearer challenge the result is the scheme of the first, or "none",
// so that a 401 never looks like an answer that wants no token.
func oneChallenge(headers []string) string {
	first := "none"
	for _, header := range headers {
		var scheme string
		params := map[string]string{}
		for _, part := range splitUnquoted(header, ',') {
			if strings.TrimSpace(part) == "" {
				continue
			}
			key, value, ok := strings.Cut(part, "=")
			// "Bearer realm=…" begins a challenge, "service=…" goes on with it.
			if before, after, more := strings.Cut(strings.TrimSpace(key), " "); !ok || more {
				if scheme == "bearer" {
					break
				}
				scheme, key = strings.ToLower(before), after
				clear(params)
				if first == "none" && isToken(scheme) {
					first = scheme
				}
			}
			if value = unquote(value); isValue(value) {
				params[strings.ToLower(strings.TrimSpace(key))] = value
			}
		}
		if scheme == "bearer" {
			return bearer(params)
		}
	}
	return first
}

func bearer(params map[string]string) string {
	text := "Bearer realm=\"" + params["realm"] + "\""
	if service := params["service"]; service != "" {
		text += ",service=\"" + service + "\""
	}
	return text
}

// splitUnquoted cuts a header at a separator, but not within quotes.
func splitUnquoted(header string, separator rune) []string {
	quoted, escaped := false, false
	return strings.FieldsFunc(header, func(r rune) bool {
		switch {
		case escaped:
			escaped = false
		case quoted && r == '\\':
			escaped = true
		case r == '"':
			quoted = !quoted
		}
		return r == separator && !quoted
	})
}

// unquote returns what a quoted string says, or s if it is none.
func unquote(s string) string {
	s = strings.TrimSpace(s)
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	var b strings.Builder
	escaped := false
	for _, r := range s[1 : len(s)-1] {
		if escaped = r == '\\' && !escaped; !escaped {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// isValue reports whether a realm or service can be quoted as it is.
func isValue(s string) bool {
	for _, r := range s {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return false
		}
	}
	return s != "" && len(s) <= maxRealm
}

// isToken reports whether s can be a scheme (RFC 9110, 11.1).
func isToken(s string) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 32
}
