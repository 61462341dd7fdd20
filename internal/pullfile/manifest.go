package pullfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// readManifest finds the images of the YAML documents of a file.
func readManifest(found *images, text []byte) error {
	documents := yaml.NewDecoder(bytes.NewReader(text))
	for {
		// A node keeps an alias an alias, so that a document is never larger
		// than its text.
		var document yaml.Node
		err := documents.Decode(&document)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", found.name, err)
		}
		walk(found, &document)
	}
}

var errTemplate = errors.New("a template, which has to be rendered first")

// walk looks at each node of a document once, in their order. What an alias
// stands for is found at its anchor. The decoder refuses deep documents.
func walk(found *images, n *yaml.Node) {
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 && text(n.Content[i-1]) == "image" {
			field(found, child)
		}
		walk(found, child)
	}
}

// field takes the value of a field image: a string, or the source of a
// Kubernetes volume, whose reference is one. To YAML a template's {{ is a
// mapping with a mapping for a key, which nothing else has there.
// https://kubernetes.io/docs/concepts/storage/volumes/#image
func field(found *images, n *yaml.Node) {
	line := n.Line
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if text(n.Content[i]) == "reference" {
				interpolate(found, n.Content[i+1].Line, text(n.Content[i+1]))
			}
			if n.Content[i].Kind == yaml.MappingNode {
				found.fail(line, "{{", errTemplate)
			}
		}
		return
	}
	interpolate(found, line, text(n))
}

// text returns the string that a node or its anchor holds, and none where it
// holds anything else.
func text(n *yaml.Node) string {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
		return n.Value
	}
	return ""
}

// interpolate adds a reference with the variables of Compose. Quotes and
// escapes mean nothing there, and no reference has them.
// https://docs.docker.com/reference/compose-file/interpolation/
func interpolate(found *images, line int, word string) {
	if word == "" { // as if the field were not there
		return
	}
	if strings.Contains(word, "{{") {
		found.fail(line, word, errTemplate)
		return
	}
	if !strings.Contains(word, "$") || strings.ContainsAny(word, `'"\`) {
		found.add(line, word)
		return
	}
	ref, err := variables(nil).expand(word, '\\')
	switch {
	case err != nil:
		found.fail(line, word, err)
	case ref == "":
		found.fail(line, word, errEmpty)
	default:
		found.add(line, ref)
	}
}
