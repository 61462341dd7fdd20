package front_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

// An origin is a real registry: go-containerregistry's, unless answer is set.
type origin struct {
	url      *url.URL
	registry http.Handler

	mu       sync.Mutex
	requests []*http.Request // answered
	answer   http.HandlerFunc
	answered chan struct{} // closed, and replaced, with each answer
}

func newOrigin(t testing.TB) *origin {
	o := &origin{
		registry: registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true)),
		answered: make(chan struct{}),
	}
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	o.url = u
	return o
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	answer := o.answer
	o.mu.Unlock()
	if answer == nil {
		answer = o.registry.ServeHTTP
	}
	answer(w, r)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.requests = append(o.requests, r.Clone(context.Background()))
	close(o.answered)
	o.answered = make(chan struct{})
}

// answers makes h answer from now on; nil brings the registry back.
func (o *origin) answers(h http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answer = h
}

// asked returns the requests answered so far, as "METHOD path?query".
func (o *origin) asked() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []string
	for _, r := range o.requests {
		list = append(list, r.Method+" "+r.URL.RequestURI())
	}
	return list
}

// saw waits until the origin has answered something n times.
func (o *origin) saw(t *testing.T, request string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		o.mu.Lock()
		next := o.answered
		o.mu.Unlock()
		count := 0
		for _, r := range o.asked() {
			if r == request {
				count++
			}
		}
		if count >= n {
			return
		}
		select {
		case <-next:
		case <-ctx.Done():
			t.Fatalf("the registry has answered %q %d times, want %d", request, count, n)
		}
	}
}

// put stores something in the registry, unseen by the record of requests.
func (o *origin) put(t testing.TB, method, path, contentType, body string) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	o.registry.ServeHTTP(w, r)
	if w.Code != http.StatusCreated {
		t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
}

// push makes a tag point at a manifest.
func (o *origin) push(t testing.TB, repo, tag, manifest string) {
	t.Helper()
	o.put(t, http.MethodPut, "/v2/"+repo+"/manifests/"+tag, manifestType, manifest)
}

// image returns a manifest with a note, and its digest.
func image(note string) (manifest, digest string) {
	config := digestOf("config")
	manifest = fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":6},"layers":[],"annotations":{"note":%q}}`,
		manifestType, config, note)
	return manifest, digestOf(manifest)
}

func digestOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256:" + hex.EncodeToString(sum[:])
}
