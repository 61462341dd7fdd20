package upstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"
)

// mediaType returns a manifest's media type. Content-Type must be one of the
// four that were accepted, and must be the one that the bytes name. Servers
// that know no better leave it out or say JSON or octet-stream; then the bytes
// must name one.
//
// Bytes that one client reads as an index and another as an image have one
// digest and two meanings (CVE-2021-41190). They are refused, as is schema 1,
// whose digest is not over its bytes.
func mediaType(contentType string, manifest []byte) (string, error) {
	said, err := named(contentType)
	if err != nil {
		return "", err
	}
	has, err := members(manifest)
	if err != nil {
		return "", fmt.Errorf("not a manifest: %w", err)
	}
	var version int
	if err := json.Unmarshal(has["schemaVersion"], &version); err != nil || version != 2 {
		return "", errors.New("not a manifest of schema version 2")
	}
	var own string
	if raw := has["mediaType"]; raw != nil {
		if err := json.Unmarshal(raw, &own); err != nil {
			return "", fmt.Errorf("not a manifest: mediaType: %w", err)
		}
	}
	if said == "" {
		said = own
	}
	kind := types.MediaType(said)
	switch {
	case own != "" && own != said:
		return "", fmt.Errorf("content type %q, but the manifest says it is %q", said, cut(own))
	case !kind.IsIndex() && !kind.IsImage():
		return "", fmt.Errorf("media type %q is none of a manifest", cut(said))
	case kind.IsImage() && has["manifests"] != nil, kind.IsIndex() && (has["layers"] != nil || has["config"] != nil), has["fsLayers"] != nil:
		return "", fmt.Errorf("media type %q, but the manifest has members of another", said)
	}
	return said, nil
}

// named returns the media type that a Content-Type names, or "" if it does not
// name one in particular.
func named(contentType string) (string, error) {
	if contentType == "" {
		return "", nil
	}
	said, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return "", fmt.Errorf("content type %q: %w", cut(contentType), err)
	}
	if said == "application/json" || said == "application/octet-stream" {
		return "", nil
	}
	if kind := types.MediaType(said); !kind.IsIndex() && !kind.IsImage() {
		return "", fmt.Errorf("content type %q is none of a manifest", cut(said))
	}
	return said, nil
}

// watched lists the members that tell manifests apart.
var watched = []string{"schemaVersion", "mediaType", "manifests", "config", "layers", "fsLayers"}

// maxMembers bounds the members of a manifest. Manifests have less than ten;
// four megabytes of short names would take ten times that to remember.
const maxMembers = 100

// members returns the watched members of a JSON object that are not null.
// Names that occur twice, or differ from a watched one in case only, are an
// error: parsers disagree about them, and Go's takes both. The values are parts
// of text: a decoder would copy them, and they can be as long as a manifest.
func members(text []byte) (map[string]json.RawMessage, error) {
	if inside(text) == nil {
		return nil, errors.New("not a JSON object")
	}
	var skipped struct{}
	if err := json.Unmarshal(text, &skipped); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	found := map[string]json.RawMessage{}
	for rest := inside(text); ; {
		var key, value []byte
		if key, rest = cutValue(rest); key == nil {
			return found, nil
		}
		value, rest = cutValue(rest)
		var name string
		if err := json.Unmarshal(key, &name); err != nil {
			return nil, err
		}
		if seen[name] {
			return nil, fmt.Errorf("two members %q", cut(name))
		}
		if len(seen) == maxMembers {
			return nil, fmt.Errorf("more than %d members", maxMembers)
		}
		seen[name] = true
		for _, w := range watched {
			if name != w && strings.EqualFold(name, w) {
				return nil, fmt.Errorf("member %q instead of %q", name, w)
			}
			if name == w && string(value) != "null" {
				found[w] = value
			}
		}
	}
}

// inside returns what follows the opening brace of a JSON object, and nil for
// what is none.
func inside(text []byte) []byte {
	inner, ok := bytes.CutPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{"))
	if !ok {
		return nil
	}
	return inner
}

// cutValue cuts the first value off the inside of a JSON object or array that
// is known to be valid. The value is nil at its end.
func cutValue(s []byte) (value, rest []byte) {
	s = bytes.TrimLeft(s, " \t\r\n,:")
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++ // what is escaped ends nothing
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{', c == '[':
			depth++
		case depth == 0 && bytes.IndexByte([]byte(" \t\r\n,:}]"), c) >= 0:
			if i == 0 {
				return nil, nil
			}
			return s[:i], s[i:]
		case c == '}', c == ']':
			depth--
		}
	}
	return nil, nil
}
