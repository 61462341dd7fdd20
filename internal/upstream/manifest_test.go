package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestManifestIsServedAsItIs(t *testing.T) {
	w, c := mapped(t, Config{UserAgent: "test/1"})
	w.open()
	w.serve("/v2/app/manifests/v1", 200, "Content-Type: "+indexType+"; charset=utf-8\nETag: \"e\"\nRatelimit-Limit: 100;w=21600\n"+
		"Set-Cookie: a=b\nWWW-Authenticate: Basic\nX-Other: x\nOCI-Subject: s\n\n"+indexJSON)
	m, err := c.Manifest(t.Context(), tag(t))
	if err != nil {
		t.Fatal(err)
	}
	if string(m.Bytes) != indexJSON || m.MediaType != indexType || m.Digest != sum([]byte(indexJSON)) {
		t.Errorf("manifest is %s %s %s", m.MediaType, m.Digest, m.Bytes)
	}
	if got, want := fmt.Sprint(m.Header), `map[Etag:["e"] Oci-Subject:[s] Ratelimit-Limit:[100;w=21600]]`; got != want {
		t.Errorf("header is %s, want %s", got, want)
	}
	r := w.take()[1]
	if got, want := fmt.Sprint(r.Header), "map[Accept:["+strings.Join([]string{
		"application/vnd.oci.image.index.v1+json",
		"application/vnd.docker.distribution.manifest.list.v2+json",
		"application/vnd.oci.image.manifest.v1+json",
		"application/vnd.docker.distribution.manifest.v2+json",
	}, ", ")+"] Accept-Encoding:[identity] User-Agent:[test/1]]"; got != want {
		t.Errorf("request has %s, want %s", got, want)
	}
}

// A hostile or broken answer is an error of one line, whatever it is.
func TestManifestThatIsNotOne(t *testing.T) {
	digest := sum([]byte(imageJSON))
	const head = "Content-Type: " + manifestType + "\n"
	const asked = "registry reg.example gave a bad answer: "
	for name, test := range map[string]struct{ answer, text string }{
		"other digest in the header": {head + digestHeader + ": " + blobDigest + "\n\n" + imageJSON,
			`header Docker-Content-Digest says "` + blobDigest + `", the bytes have ` + digest},
		"upper-case digest": {head + digestHeader + ": SHA256:" + digest[7:] + "\n\n" + imageJSON,
			`header Docker-Content-Digest says "SHA256:` + digest[7:] + `", the bytes have ` + digest},
		"unknown algorithm": {head + digestHeader + ": md5:00\n\n" + imageJSON,
			`header Docker-Content-Digest says "md5:00", the bytes have ` + digest},
		"second digest header": {head + digestHeader + ": " + digest + "\n" + digestHeader + ": x\n\n" + imageJSON,
			`header Docker-Content-Digest says "x", the bytes have ` + digest},
		"HTML":            {"Content-Type: text/html\n\n<html>", `content type "text/html" is none of a manifest`},
		"HTML as JSON":    {"Content-Type: application/json\n\n<html>", `not a manifest: not a JSON object`},
		"gzip":            {head + "Content-Encoding: gzip\n\n" + imageJSON, `content encoding "gzip" was not asked for`},
		"empty":           {head + "\n", `empty`},
		"broken type":     {"Content-Type: a/b/c\n\n" + imageJSON, `content type "a/b/c": mime: unexpected content after media subtype`},
		"schema 1":        {"Content-Type: application/vnd.docker.distribution.manifest.v1+json\n\n{}", `content type "application/vnd.docker.distribution.manifest.v1+json" is none of a manifest`},
		"signed schema 1": {"Content-Type: application/vnd.docker.distribution.manifest.v1+prettyjws\n\n{}", `content type "application/vnd.docker.distribution.manifest.v1+prettyjws" is none of a manifest`},
		"schema 1 inside": {head + "\n" + `{"schemaVersion":1}`, `not a manifest of schema version 2`},
		"no version":      {head + "\n" + `{"layers":[]}`, `not a manifest of schema version 2`},
		"schema 1 as 2":   {head + "\n" + `{"schemaVersion":2,"fsLayers":[]}`, `media type "` + manifestType + `", but the manifest has members of another`},
		"other own type":  {head + "\n" + indexJSON, `content type "` + manifestType + `", but the manifest says it is "` + indexType + `"`},
		"index and image": {head + "\n" + `{"schemaVersion":2,"manifests":[],"layers":[]}`, `media type "` + manifestType + `", but the manifest has members of another`},
		"index and layers": {"Content-Type: " + indexType + "\n\n" + `{"schemaVersion":2,"manifests":[],"layers":[]}`,
			`media type "` + indexType + `", but the manifest has members of another`},
		"index and config": {"Content-Type: " + indexType + "\n\n" + `{"schemaVersion":2,"manifests":[],"config":{}}`,
			`media type "` + indexType + `", but the manifest has members of another`},
		"no type at all":    {"Content-Type: application/octet-stream\n\n" + `{"schemaVersion":2}`, `media type "" is none of a manifest`},
		"unknown own type":  {"Content-Type: application/json\n\n" + `{"schemaVersion":2,"mediaType":"x/y"}`, `media type "x/y" is none of a manifest`},
		"own type a number": {head + "\n" + `{"schemaVersion":2,"mediaType":1}`, `not a manifest: mediaType: json: cannot unmarshal number into Go value of type string`},
		"two members":       {head + "\n" + `{"schemaVersion":2,"layers":[],"layers":[]}`, `not a manifest: two members "layers"`},
		"other case":        {head + "\n" + `{"schemaVersion":2,"Manifests":[]}`, `not a manifest: member "Manifests" instead of "manifests"`},
		"long s":            {head + "\n" + `{"schemaVersion":2,"manifeſts":[]}`, `not a manifest: member "manifeſts" instead of "manifests"`},
		"two objects":       {head + "\n" + imageJSON + imageJSON, `not a manifest: invalid character '{' after top-level value`},
		"an array":          {head + "\n[]", `not a manifest: not a JSON object`},
		"half an object":    {head + "\n" + `{"schemaVersion":2`, `not a manifest: unexpected end of JSON input`},
		"too long":          {head + "\n" + strings.Repeat(" ", maxBody) + "{", `longer than 4194304 bytes`},
	} {
		t.Run(name, func(t *testing.T) {
			w, c := mapped(t, Config{})
			w.open()
			w.serve("/v2/app/manifests/", 200, test.answer)
			_, err := c.Manifest(t.Context(), tag(t))
			wantError(t, err, 502, "UNAVAILABLE", asked+test.text)
			var e *Error
			if errors.As(err, &e) && e.Message != asked+test.text { // the client is told, too
				t.Errorf("message is %s", e.Message)
			}
			w.take()
			if _, err := c.Manifest(t.Context(), tag(t)); err == nil {
				t.Error("the second time it is served")
			}
			want(t, w.requests(), "GET /v2/app/manifests/v1") // nothing of it was kept
		})
	}
}

func TestManifestWithoutContentType(t *testing.T) {
	for _, said := range []string{"", "application/json", "application/octet-stream", "application/json; charset=utf-8"} {
		w, c := mapped(t, Config{})
		w.open()
		w.mux.HandleFunc("/v2/app/manifests/v1", func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header()["Content-Type"] = nil
			if said != "" {
				rw.Header().Set("Content-Type", said)
			}
			fmt.Fprint(rw, indexJSON)
		})
		m, err := c.Manifest(t.Context(), tag(t))
		if err != nil {
			t.Errorf("%q: %v", said, err)
		} else if m.MediaType != indexType {
			t.Errorf("%q: media type is %s", said, m.MediaType)
		}
	}
}

func TestManifestWithoutEnd(t *testing.T) {
	w, c := mapped(t, Config{})
	w.open()
	sent := 0
	ended := make(chan struct{})
	w.mux.HandleFunc("/v2/app/manifests/v1", func(rw http.ResponseWriter, r *http.Request) {
		defer close(ended)
		rw.Header().Set("Content-Type", manifestType)
		chunk := bytes.Repeat([]byte(" "), 64<<10)
		for r.Context().Err() == nil {
			n, err := rw.Write(chunk)
			if sent += n; err != nil {
				return
			}
		}
	})
	_, err := c.Manifest(t.Context(), tag(t))
	wantError(t, err, 502, "UNAVAILABLE", "registry reg.example gave a bad answer: longer than 4194304 bytes")
	<-ended
	if sent > 4*maxBody { // what is in buffers on the way counts as sent
		t.Errorf("%d bytes were taken", sent)
	}
}

func TestManifestByDigest(t *testing.T) {
	digest := sum([]byte(imageJSON))
	w, c := mapped(t, Config{})
	w.open()
	w.serve("/v2/app/manifests/"+digest, 200, "Content-Type: "+manifestType+"\n\n"+imageJSON)
	w.serve("/v2/other/manifests/"+digest, 404, "")
	w.serve("/v2/app/manifests/"+blobDigest, 200, "Content-Type: "+manifestType+"\n\n"+imageJSON)
	for range 2 {
		m, err := c.Manifest(t.Context(), byDigest(t, digest))
		if err != nil {
			t.Fatal(err)
		}
		if string(m.Bytes) != imageJSON {
			t.Errorf("bytes are %s", m.Bytes)
		}
	}
	want(t, w.requests(), "GET /v2/", "GET /v2/app/manifests/"+digest)

	_, err := c.Manifest(t.Context(), request(t, "/v2/reg.example/other/manifests/"+digest))
	wantError(t, err, 404, "MANIFEST_UNKNOWN", "reg.example/other@"+digest+" is not known to registry reg.example")
	_, err = c.Manifest(t.Context(), byDigest(t, blobDigest))
	wantError(t, err, 502, "UNAVAILABLE", "registry reg.example gave a bad answer: asked for "+blobDigest+", got bytes of "+digest)
}

// A later pull of a tag is one request, and not one that Docker Hub counts.
func TestManifestRequestCounts(t *testing.T) {
	w, c := mapped(t, Config{})
	w.gate(w.URL+"/token", `{"token":"t","expires_in":300}`)
	var now atomic.Value
	now.Store(indexJSON)
	w.mux.HandleFunc("/v2/app/manifests/", func(rw http.ResponseWriter, r *http.Request) {
		body := now.Load().(string)
		rw.Header().Set("Content-Type", indexType)
		rw.Header().Set(digestHeader, sum([]byte(body)))
		rw.Header().Set("Ratelimit-Remaining", r.Method)
		fmt.Fprint(rw, body)
	})
	pull := func(want string) {
		t.Helper()
		m, err := c.Manifest(t.Context(), tag(t))
		if err != nil {
			t.Fatal(err)
		}
		if string(m.Bytes) != want {
			t.Errorf("served %s", m.Bytes)
		}
	}
	const get, head = "GET /v2/app/manifests/v1", "HEAD /v2/app/manifests/v1"
	pull(indexJSON)
	want(t, w.requests(), "GET /v2/", "GET /token?scope=repository%3Aapp%3Apull&service=srv", get)
	pull(indexJSON)
	want(t, w.requests(), head)
	if m, _ := c.Manifest(t.Context(), tag(t)); m.Header.Get("Ratelimit-Remaining") != "HEAD" {
		t.Errorf("the quota is that of another answer: %v", m.Header)
	}
	want(t, w.requests(), head)
	if _, err := c.Manifest(t.Context(), byDigest(t, sum([]byte(indexJSON)))); err != nil {
		t.Fatal(err)
	}
	want(t, w.requests())

	moved := strings.Replace(indexJSON, "[]", "[ ]", 1)
	now.Store(moved)
	pull(moved)
	want(t, w.requests(), head, "GET /v2/app/manifests/"+sum([]byte(moved)))
	pull(moved)
	want(t, w.requests(), head)
	now.Store(indexJSON)
	pull(indexJSON) // which is still in memory
	want(t, w.requests(), head)
}

// A registry whose HEAD does not tell is asked with GET; one that says no to
// HEAD in a way that GET would not change is believed.
func TestManifestHeadThatDoesNotTell(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		get    bool
	}{
		"no digest":   {200, true},
		"not allowed": {405, true},
		"denied":      {403, true},
		"bad request": {400, true},
		"gone":        {404, false},
		"quota":       {429, false},
		"broken":      {500, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, c := mapped(t, Config{})
			w.open()
			w.mux.HandleFunc("/v2/app/manifests/v1", func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Content-Type", indexType)
				if r.Method == http.MethodHead {
					rw.WriteHeader(test.status)
				}
				fmt.Fprint(rw, indexJSON)
			})
			if _, err := c.Manifest(t.Context(), tag(t)); err != nil {
				t.Fatal(err)
			}
			w.take()
			_, err := c.Manifest(t.Context(), tag(t))
			if test.get {
				want(t, w.requests(), "HEAD /v2/app/manifests/v1", "GET /v2/app/manifests/v1")
			} else {
				want(t, w.requests(), "HEAD /v2/app/manifests/v1")
			}
			if (err == nil) != test.get {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// The exchange does not end with the client that began it.
func TestManifestOutlivesItsFirstClient(t *testing.T) {
	w, c := mapped(t, Config{})
	w.open()
	arrived, release := make(chan struct{}, 16), make(chan struct{})
	w.mux.HandleFunc("/v2/app/manifests/v1", func(rw http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-release
		rw.Header().Set("Content-Type", indexType)
		fmt.Fprint(rw, indexJSON)
	})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := c.Manifest(ctx, tag(t))
		first <- err
	}()
	<-arrived
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first client got %v", err)
	}
	var others sync.WaitGroup
	for range 8 {
		others.Go(func() {
			if _, err := c.Manifest(t.Context(), tag(t)); err != nil {
				t.Error(err)
			}
		})
	}
	close(release)
	others.Wait()
}
