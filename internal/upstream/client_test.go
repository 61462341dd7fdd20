package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Close waits for exchanges that nobody waits for any more, and lets no other
// begin.
func TestCloseWaits(t *testing.T) {
	w, c := mapped(t, Config{})
	w.open()
	arrived, release := make(chan struct{}), make(chan struct{})
	w.mux.HandleFunc("/v2/app/manifests/v1", func(rw http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		rw.Header().Set("Content-Type", indexType)
		fmt.Fprint(rw, indexJSON)
	})
	w.serve("/v2/app/manifests/v2", 200, "Content-Type: "+indexType+"\n\n"+indexJSON)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	if _, err := c.Manifest(ctx, tag(t)); !errors.Is(err, context.Canceled) {
		t.Fatalf("the client that left got %v", err)
	}
	var released atomic.Bool
	closed := make(chan bool, 1)
	go func() {
		c.Close()
		closed <- released.Load()
	}()
	var err error
	for err == nil { // until Close has begun
		_, err = c.Manifest(t.Context(), request(t, "/v2/reg.example/app/manifests/v2"))
	}
	wantError(t, err, 503, "UNAVAILABLE", "this instance is shutting down")
	released.Store(true)
	close(release)
	if !<-closed {
		t.Error("Close did not wait for the exchange")
	}
}

// The whole against a registry that was not written for this test.
func TestRealRegistry(t *testing.T) {
	w, c := mapped(t, Config{})
	w.mux.Handle("/", ggcr.New(ggcr.WithReferrersSupport(true), ggcr.Logger(log.New(io.Discard, "", 0))))
	index, subject := push(t, w.URL)
	tagged := request(t, "/v2/reg.example/acme/app/manifests/v1")

	m, err := c.Manifest(t.Context(), tagged)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := index.RawManifest()
	kind, _ := index.MediaType()
	if !bytes.Equal(m.Bytes, raw) || m.MediaType != string(kind) {
		t.Errorf("manifest is %s %s", m.MediaType, m.Bytes)
	}
	list, _ := index.IndexManifest()
	for _, d := range list.Manifests {
		child, err := c.Manifest(t.Context(), request(t, "/v2/reg.example/acme/app/manifests/"+d.Digest.String()))
		if err != nil {
			t.Fatal(err)
		}
		image, err := v1.ParseManifest(bytes.NewReader(child.Bytes))
		if err != nil {
			t.Fatal(err)
		}
		for _, layer := range append(image.Layers, image.Config) {
			b, err := c.Blob(t.Context(), "GET", request(t, "/v2/reg.example/acme/app/blobs/"+layer.Digest.String()), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(b.Body)
			b.Body.Close()
			if err != nil || sum(body) != layer.Digest.String() {
				t.Errorf("blob %s: %d bytes, %v", layer.Digest, len(body), err)
			}
			h, err := c.Blob(t.Context(), "HEAD", request(t, "/v2/reg.example/acme/app/blobs/"+layer.Digest.String()), nil)
			if err != nil || h.Header.Get("Content-Length") != fmt.Sprint(layer.Size) {
				t.Errorf("head of %s: %+v, %v", layer.Digest, h, err)
			}
		}
	}

	tags, err := c.Pass(t.Context(), request(t, "/v2/reg.example/acme/app/tags/list"), Wish{Method: "GET", Query: "n=10"})
	if err != nil || !strings.Contains(string(tags.Body), `"v1"`) {
		t.Errorf("tags: %+v, %v", tags, err)
	}
	referrers, err := c.Pass(t.Context(), request(t, "/v2/reg.example/acme/app/referrers/"+subject), Wish{Method: "GET"})
	if err != nil || referrers.Header.Get("Content-Type") != indexType || !strings.Contains(string(referrers.Body), manifestType) {
		t.Errorf("referrers: %+v, %v", referrers, err)
	}
	_, err = c.Manifest(t.Context(), request(t, "/v2/reg.example/acme/app/manifests/missing"))
	wantError(t, err, 404, "MANIFEST_UNKNOWN", `reg.example/acme/app:missing is not known to registry reg.example; it says "Unknown manifest"`)
}

// push pushes an index as acme/app:v1 and an image that refers to one of its
// images, whose digest it returns.
func push(t *testing.T, base string) (v1.ImageIndex, string) {
	t.Helper()
	index, err := random.Index(1024, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	repo, err := name.NewRepository(strings.TrimPrefix(base, "http://") + "/acme/app")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(repo.Tag("v1"), index); err != nil {
		t.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	subject := list.Manifests[0]
	referrer, err := random.Image(16, 1)
	if err != nil {
		t.Fatal(err)
	}
	referrer = mutate.MediaType(referrer, manifestType)
	referrer = mutate.Subject(referrer, subject).(v1.Image)
	digest, err := referrer.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(repo.Digest(digest.String()), referrer); err != nil {
		t.Fatal(err)
	}
	return index, subject.Digest.String()
}

// Nothing runs on when all is answered and the client is closed.
func TestNothingRunsOn(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("pulls", func(t *testing.T) {
		w, c := mapped(t, Config{})
		w.gate(w.URL+"/token", `{"token":"good"}`)
		w.serveTo("/v2/app/manifests/v1", "good")
		w.serve(blobPath, 200, "\n\n"+strings.Repeat("x", 1<<20))
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				if _, err := c.Manifest(t.Context(), tag(t)); err != nil {
					t.Error(err)
				}
				b, err := c.Blob(t.Context(), http.MethodGet, blob(t, "reg.example"), nil)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = b.Body.Read(make([]byte, 10)) // the client goes away
				b.Body.Close()
			})
		}
		all.Wait()
		c.Close()
		asked := map[string]int{}
		for _, r := range w.requests() {
			asked[r]++
		}
		if asked["GET /v2/"] != 1 || asked[askToken] != 1 {
			t.Errorf("%d pings, %d tokens for one repository", asked["GET /v2/"], asked[askToken])
		}
	})
	for deadline := time.Now().Add(30 * time.Second); runtime.NumGoroutine() > before; {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, before %d\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
		time.Sleep(time.Millisecond)
	}
}

// A registry's name is reached in https at its own name; nothing in http.
func TestOnlyHTTPS(t *testing.T) {
	w := newWorld(t)
	w.Start()
	c := New(Config{})
	defer c.Close()
	host := strings.TrimPrefix(w.URL, "http://")
	if _, err := c.Manifest(t.Context(), request(t, "/v2/"+host+"/app/manifests/v1")); !errors.Is(err, ErrForbiddenAddress) {
		t.Errorf("error is %v", err)
	}
	want(t, w.requests())
}

func TestBadCertificate(t *testing.T) {
	w, c := unmapped(t, Config{})
	w.open()
	c.guarded.TLSClientConfig.RootCAs = nil
	_, err := c.Manifest(t.Context(), request(t, "/v2/reg.example.com/app/manifests/v1"))
	var e *Error
	if !errors.As(err, &e) || e.Status != 502 || e.Message != "registry reg.example.com gave a bad answer" {
		t.Errorf("error is %v", err)
	}
}

func TestUnreachableRegistry(t *testing.T) {
	_, c := unmapped(t, Config{})
	_, err := c.Manifest(t.Context(), request(t, "/v2/nowhere.example/app/manifests/v1"))
	wantError(t, err, 503, "UNAVAILABLE", "registry nowhere.example cannot be reached: no such host in this test: nowhere.example:443")
}

func TestMappedToHTTPS(t *testing.T) {
	tls := newWorld(t)
	tls.StartTLS()
	tls.gate(tls.URL+"/token", `{"token":"good"}`)
	tls.serveTo("/v2/app/manifests/v1", "good")
	c := New(Config{Mirrors: mirrors(t, map[string]string{"reg.example": tls.URL}), roots: pool(tls)})
	defer c.Close()
	if _, err := c.Manifest(t.Context(), tag(t)); err != nil {
		t.Error(err)
	}
	want(t, tls.requests(), "GET /v2/", askToken, askTag)
}
