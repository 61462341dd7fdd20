package front

import (
	"encoding/json"
	"testing"
)

// A tag list gets the name that the client typed and keeps all else; what is
// none stays as it is, to the byte.
func FuzzRename(f *testing.F) {
	for _, body := range []string{
		`{"name":"a","tags":["1"]}`, `{"NAME":"a","name":null}`, `{"name":"a","name":"b","x":9007199254740993}`, `{}`, `null`, `[]`, `"`, ``, `{"name":{}}`, "{\"name\":\"\xff\",\"\xff\":1}",
	} {
		f.Add([]byte(body), "docker.io/library/app")
		f.Add([]byte(body), "<\xff\"")
	}
	f.Fuzz(func(t *testing.T, body []byte, name string) {
		got := rename(body, name)
		if len(got) > 8*(len(body)+len(name))+64 {
			t.Errorf("%d bytes are %d", len(body), len(got))
		}
		var before, after map[string]json.RawMessage
		if json.Unmarshal(body, &before) != nil || before["name"] == nil {
			if string(got) != string(body) {
				t.Errorf("%q becomes %q", body, got)
			}
			return
		}
		if err := json.Unmarshal(got, &after); err != nil {
			t.Fatalf("%q becomes %q: %v", body, got, err)
		}
		typed, _ := json.Marshal(name)
		if string(after["name"]) != string(typed) || len(after) != len(before) {
			t.Errorf("%q becomes %q", body, got)
		}
		for member, value := range before {
			if member != "name" && !same(value, after[member]) {
				t.Errorf("%q becomes %q", body, got)
			}
		}
	})
}

// same reports whether two values are one but for how they are written.
func same(a, b json.RawMessage) bool {
	x, err := json.Marshal(a)
	y, other := json.Marshal(b)
	return err == nil && other == nil && string(x) == string(y)
}
