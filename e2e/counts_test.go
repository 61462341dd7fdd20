package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/registry"
	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// TestRequestCounts counts what each kind of pull asks of the registry and of
// Sigstore. The table is the one in docs/request-handling.md, which has to
// agree.
func TestRequestCounts(t *testing.T) {
	s := startSigstore(t, sigstore.Options{})
	r := startRegistry(t, registry.Options{Token: true, Redirect: true})
	open := startRegistry(t, registry.Options{})
	m := meters{
		registries: []*registry.Registry{r, open},
		rekor:      proxied(t, s.RekorURL),
		fulcio:     proxied(t, s.FulcioURL),
		metadata:   proxied(t, s.MetadataHost),
	}
	env := append(s.Env(), "REKOR_URL="+m.rekor.URL, "FULCIO_URL="+m.fulcio.URL, "GCE_METADATA_HOST="+m.metadata.Host,
		"UPSTREAMS="+r.Upstreams("docker.io")+","+open.Upstreams("ghcr.io"))
	svc := start(t, env...)
	digest := push(t, r, "library/alpine", "3.16.0", registry.Variant{Name: "counted"})
	push(t, r, "library/alpine", "3.17.0", registry.Variant{Name: "counted too"})
	push(t, open, "acme/app", "v1", registry.Variant{Name: "open", Single: true})
	blob, openBlob := firstBlob(t, r, "library/alpine", "3.16.0"), firstBlob(t, open, "acme/app", "v1")

	ok := func(svc *service, method, path string) func() {
		return func() { svc.do(t, method, path).mustStatus(t, http.StatusOK) }
	}
	var table strings.Builder
	table.WriteString("| request | registry | log | Fulcio | metadata server |\n|---|---|---|---|---|\n")
	count := func(name string, request func()) {
		t.Helper()
		m.reset()
		request()
		fmt.Fprintf(&table, "| %s | %s |\n", name, m.settled())
	}
	count("first pull of a tag, first of all by this process", ok(svc, "GET", "/v2/alpine/manifests/3.16.0"))
	count("first pull of another tag of the repository", ok(svc, "GET", "/v2/alpine/manifests/3.17.0"))
	count("later pull by tag", ok(svc, "GET", "/v2/alpine/manifests/3.16.0"))
	count("later HEAD by tag", ok(svc, "HEAD", "/v2/alpine/manifests/3.16.0"))
	count("manifest by digest, in memory", ok(svc, "GET", "/v2/alpine/manifests/"+digest))
	r.ExpireTokens()
	count("later pull by tag, the token no longer accepted", ok(svc, "GET", "/v2/alpine/manifests/3.16.0"))
	count("blob, the registry wants a token", func() {
		svc.do(t, "GET", "/v2/alpine/blobs/"+blob).mustStatus(t, http.StatusTemporaryRedirect)
	})
	svc.stop(t)
	again := start(t, env...)
	count("tag recorded a moment ago, first pull by a new process", ok(again, "GET", "/v2/alpine/manifests/3.16.0"))
	again.stop(t)
	again = start(t, env...)
	time.Sleep(7 * time.Second) // until the record is no longer fresh, which is 5 s
	count("recorded tag, first pull by a new process", ok(again, "GET", "/v2/alpine/manifests/3.16.0"))
	count("manifest by digest, a new process", func() {
		again.stop(t)
		again = start(t, env...)
		ok(again, "GET", "/v2/alpine/manifests/"+digest)()
	})
	count("blob, first request of a registry that wants no token", ok(again, "GET", "/v2/ghcr.io/acme/app/blobs/"+openBlob))
	count("blob, the registry wants no token", ok(again, "GET", "/v2/ghcr.io/acme/app/blobs/"+openBlob))

	t.Logf("requests:\n%s", &table)
	doc, err := os.ReadFile("../docs/request-handling.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(doc), table.String()) {
		t.Errorf("docs/request-handling.md has not this table:\n%s", &table)
	}
}

// meters count requests at everything that the service asks.
type meters struct {
	registries              []*registry.Registry
	rekor, fulcio, metadata *sigstore.Proxy
}

func (m meters) reset() {
	for _, r := range m.registries {
		r.Reset()
	}
	for _, p := range []*sigstore.Proxy{m.rekor, m.fulcio, m.metadata} {
		p.Reset()
	}
}

// settled waits until nothing more is asked: a certificate is obtained in the
// background.
func (m meters) settled() string {
	before := m.String()
	for {
		time.Sleep(300 * time.Millisecond)
		now := m.String()
		if now == before {
			return now
		}
		before = now
	}
}

// String returns the cells of a table's row.
func (m meters) String() string {
	var asked []string
	for _, r := range m.registries {
		if c := r.Counts(); c.Total() > 0 {
			asked = append(asked, c.String())
		}
	}
	log := m.rekor.Counts()
	var of []string
	for _, call := range []struct{ name, request string }{
		{"search", "POST /api/v1/index/retrieve"},
		{"entries", "POST /api/v1/log/entries/retrieve"},
		{"create", "POST /api/v1/log/entries"},
		{"proof", "GET /api/v1/log/proof"},
	} {
		if n := log[call.request]; n > 0 {
			of = append(of, fmt.Sprint(call.name, " ", n))
		}
	}
	return strings.Join([]string{cell(asked), cell(of), fmt.Sprint(m.fulcio.Count()), fmt.Sprint(m.metadata.Count())}, " | ")
}

func cell(parts []string) string {
	if len(parts) == 0 {
		return "0"
	}
	return strings.Join(parts, ", ")
}

// firstBlob returns the digest of the first blob that a tag's image names: of
// its index's first image where there is one.
func firstBlob(t *testing.T, r *registry.Registry, repo, tag string) string {
	t.Helper()
	reference := tag
	for {
		var m struct {
			Manifests []struct{ Digest string }
			Layers    []struct{ Digest string }
		}
		readManifest(t, r, "/v2/"+repo+"/manifests/"+reference, &m)
		if len(m.Layers) > 0 {
			return m.Layers[0].Digest
		}
		if len(m.Manifests) == 0 {
			t.Fatalf("%s:%s has neither layers nor manifests", repo, tag)
		}
		reference = m.Manifests[0].Digest
	}
}

// readManifest reads a manifest of the registry itself.
func readManifest(t testing.TB, r *registry.Registry, path string, v any) {
	t.Helper()
	a, err := r.Get(t.Context(), path, "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(a.Body, v); err != nil {
		t.Fatalf("%s: status %d: %v", path, a.Status, err)
	}
}
