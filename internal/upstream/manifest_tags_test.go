package upstream

import (
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

// A digest is got once, by however many tags it is asked for.
func TestManifestByManyTags(t *testing.T) {
	w, c := mapped(t, Config{})
	w.open()
	other := strings.Replace(indexJSON, "[]", "[ ]", 1)
	bytes := map[string]string{"a": indexJSON, "b": indexJSON, "c": other, "d": other, sum([]byte(other)): other}
	w.mux.HandleFunc("/v2/{repo}/manifests/{tag}", func(rw http.ResponseWriter, r *http.Request) {
		body, ok := bytes[r.PathValue("tag")]
		if !ok {
			http.Error(rw, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no such tag"}]}`, http.StatusNotFound)
			return
		}
		rw.Header().Set("Content-Type", indexType)
		rw.Header().Set(digestHeader, sum([]byte(body)))
		rw.Header().Set("Ratelimit-Remaining", r.Method)
		fmt.Fprint(rw, body)
	})
	steps := []struct {
		path string
		asks []string
	}{
		{"app/manifests/a", []string{"GET a"}},                               // nothing of app is in memory
		{"app/manifests/b", []string{"HEAD b"}},                              // the same image
		{"app/manifests/c", []string{"HEAD c", "GET " + sum([]byte(other))}}, // another one
		{"app/manifests/d", []string{"HEAD d"}},                              // and the same
		{"app/manifests/b", []string{"HEAD b"}},                              // known by now
		{"two/manifests/b", []string{"GET b"}},                               // the memory of app is not that of two
		{"app/manifests/gone", []string{"HEAD gone", "GET gone"}},            // an error comes with the registry's words
	}
	want(t, w.requests())
	for i, step := range steps {
		m, err := c.Manifest(t.Context(), request(t, "/v2/reg.example/"+step.path))
		var asked []string
		for _, r := range w.take() {
			if r.URL.Path != "/v2/" {
				asked = append(asked, r.Method+" "+path.Base(r.URL.Path))
			}
		}
		if !slices.Equal(asked, step.asks) {
			t.Errorf("%d, %s: asked with %v, want %v", i, step.path, asked, step.asks)
		}
		if strings.HasSuffix(step.path, "/gone") {
			wantError(t, err, 404, "MANIFEST_UNKNOWN", `reg.example/app:gone is not known to registry reg.example; it says "no such tag"`)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		last, _, _ := strings.Cut(step.asks[len(step.asks)-1], " ")
		if body := bytes[step.path[len(step.path)-1:]]; string(m.Bytes) != body || m.Digest != sum([]byte(body)) || m.Header.Get("Ratelimit-Remaining") != last {
			t.Errorf("%d, %s: served %s %v", i, step.path, m.Bytes, m.Header)
		}
	}
}

// A tag that was served from memory is one that was served: when it is gone,
// HEAD is believed.
func TestManifestOfAnotherTagThatGoes(t *testing.T) {
	w, c := mapped(t, Config{})
	w.open()
	w.serve("/v2/app/manifests/v1", 200, "Content-Type: "+indexType+"\n\n"+indexJSON)
	answers := make(chan int, 2)
	answers <- http.StatusOK
	answers <- http.StatusNotFound
	w.mux.HandleFunc("HEAD /v2/app/manifests/v2", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set(digestHeader, sum([]byte(indexJSON)))
		rw.WriteHeader(<-answers)
	})
	other := request(t, "/v2/reg.example/app/manifests/v2")
	for _, r := range []ociref.Request{tag(t), other} {
		if _, err := c.Manifest(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.Manifest(t.Context(), other)
	wantError(t, err, 404, "MANIFEST_UNKNOWN", "reg.example/app:v2 is not known to registry reg.example")
	want(t, w.requests(), "GET /v2/", askTag, "HEAD /v2/app/manifests/v2", "HEAD /v2/app/manifests/v2")
}

// What is served to a tag for the first time came by GET, whatever HEAD says.
func TestManifestOfAnotherTagThatHeadDoesNotTell(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		digest string
		gets   []string
	}{
		"no digest":      {200, "", []string{"v2"}},
		"unknown digest": {200, blobDigest, []string{blobDigest, "v2"}},
		"not allowed":    {405, "", []string{"v2"}},
		"gone":           {404, "", []string{"v2"}},
		"denied":         {403, sum([]byte(indexJSON)), []string{"v2"}},
		"quota":          {429, "", nil},
		"broken":         {500, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			w, c := mapped(t, Config{})
			w.open()
			w.serve("/v2/app/manifests/v1", 200, "Content-Type: "+indexType+"\n\n"+indexJSON)
			w.serve("GET /v2/app/manifests/v2", 200, "Content-Type: "+manifestType+"\n\n"+imageJSON)
			w.serve("HEAD /v2/app/manifests/v2", test.status, digestHeader+": "+test.digest)
			if _, err := c.Manifest(t.Context(), tag(t)); err != nil {
				t.Fatal(err)
			}
			w.take()
			m, err := c.Manifest(t.Context(), request(t, "/v2/reg.example/app/manifests/v2"))
			asks := []string{"HEAD /v2/app/manifests/v2"}
			for _, reference := range test.gets {
				asks = append(asks, "GET /v2/app/manifests/"+reference)
			}
			want(t, w.requests(), asks...)
			if (err == nil) != (test.gets != nil) || err == nil && string(m.Bytes) != imageJSON {
				t.Errorf("%v, %v", m, err)
			}
		})
	}
}
