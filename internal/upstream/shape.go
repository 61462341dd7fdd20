package upstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// members returns the watched members of a JSON object that are not null.
// Names that occur twice, or differ from a watched one in case only, are an
// error: parsers disagree about them, and Go's takes both.
func members(text []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	seen := map[string]bool{}
	found := map[string]json.RawMessage{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		name := key.(string) // in an object the decoder returns nothing else
		if seen[name] {
			return nil, fmt.Errorf("two members %q", cut(name))
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
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return found, nil
}
