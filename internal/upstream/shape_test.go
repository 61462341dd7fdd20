package upstream

import (
	"encoding/json"
	"testing"
)

// What the table of TestManifestThatIsNotOne refuses is not all: whatever is
// taken must mean the same to a reader that is lax about case and repetition,
// as Go's is.
func FuzzMediaType(f *testing.F) {
	for _, body := range []string{
		imageJSON, indexJSON, `{"schemaVersion":2,"layers":[],"LAYERS":[]}`, `{"schemaVersion":2,"mediaType":null}`,
		`{"schemaVersion":2,"\u006danifests":[]}`, `{"schemaVersion":2.0}`, `{"schemaVersion":1,"fsLayers":[]}`, `{}{}`, `[`, `{"a":1`,
	} {
		f.Add("", []byte(body))
		f.Add(indexType, []byte(body))
		f.Add(manifestType+"; charset=utf-8", []byte(body))
	}
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		got, err := mediaType(contentType, body)
		if err != nil {
			return
		}
		var lax struct {
			SchemaVersion     int
			MediaType         string
			Manifests, Layers json.RawMessage
			Config, FSLayers  json.RawMessage
		}
		if err := json.Unmarshal(body, &lax); err != nil {
			t.Fatalf("%s is taken for %s: %v", body, got, err)
		}
		index := got == indexType || got == "application/vnd.docker.distribution.manifest.list.v2+json"
		if lax.SchemaVersion != 2 || lax.MediaType != "" && lax.MediaType != got || is(lax.FSLayers) ||
			index && (is(lax.Layers) || is(lax.Config)) || !index && is(lax.Manifests) {
			t.Errorf("%s is taken for %s", body, got)
		}
	})
}

func is(raw json.RawMessage) bool { return raw != nil && string(raw) != "null" }
