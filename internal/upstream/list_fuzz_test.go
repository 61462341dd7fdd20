package upstream

import (
	"encoding/json"
	"strings"
	"testing"
)

// A tag list gets the name that the client typed and keeps all else, to the
// byte where nothing is named.
func FuzzRenamed(f *testing.F) {
	for _, list := range []string{
		`{"name":"a","tags":["1"]}`, `{"NAME":"a","name":null}`, `{"name":"a","name":"b","x":9007199254740993}`, `{}`, ` { "n\u0061me" : {"name":1} , "x" : "\"}" } `, `{"name":{}}`, "{\"name\":\"\xff\",\"\xff\":1}",
		`{` + strings.Repeat(`"a":1,`, 99) + `"name":1}`, `{` + strings.Repeat(`"a":1,`, 100) + `"name":1}`,
	} {
		f.Add([]byte(list), "docker.io/library/app")
		f.Add([]byte(list), "<\xff\"")
	}
	f.Fuzz(func(t *testing.T, list []byte, name string) {
		var before, after map[string]json.RawMessage
		if json.Unmarshal(list, &before) != nil || inside(list) == nil {
			return // Pass refuses it before
		}
		got, err := renamed(list, name)
		if err != nil {
			if err.Error() != "more than 100 members" {
				t.Error(err)
			}
			return
		}
		if before["name"] == nil {
			if string(got) != string(list) {
				t.Errorf("%q becomes %q", list, got)
			}
			return
		}
		if err := json.Unmarshal(got, &after); err != nil {
			t.Fatalf("%q becomes %q: %v", list, got, err)
		}
		typed, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		if string(after["name"]) != string(typed) || len(after) != len(before) {
			t.Errorf("%q becomes %q", list, got)
		}
		for member, value := range before {
			if member != "name" && string(value) != string(after[member]) {
				t.Errorf("%q becomes %q", list, got)
			}
		}
	})
}
