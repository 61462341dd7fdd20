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
	m.rekor.Hook(settling(t, s))
	svc := start(t, env...)
	digest := push(t, r, "library/alpine", "3.16.0", registry.Variant{Name: "counted"})
	push(t, r, "library/alpine", "3.17.0", registry.Variant{Name: "counted too"})
	push(t, open, "acme/app", "v1", registry.Variant{Name: "open", Single: true})
	blob, openBlob := firstBlob(t, r, "library/alpine", "3.16.0"), firstBlob(t, open, "acme/app", "v1")

	ok := func(svc *service, method, path string) func() {
		return func() { svc.do(t, method, path).mustStatus(t, http.StatusOK) }
	}
	doc, err := os.ReadFile("../docs/request-handling.md")
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| request | registry | log | Fulcio | metadata server |\n|---|---|---|---|---|\n")
	count := func(name string, request func()) {
		t.Helper()
		m.reset()
		request()
		_, row, _ := strings.Cut(string(doc), "\n| "+name+" | ")
		row, _, _ = strings.Cut(row, " |\n")
		fmt.Fprintf(&table, "| %s | %s |\n", name, m.settled(row))
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
	count("tag recorded a moment ago, first pull by a new process", func() {
		for n := 0; !m.young(t, svc, start(t, env...), r, fmt.Sprint("3.18.", n), digest); n++ {
			if n == 20 {
				t.Fatal("no record was young when it was looked for")
			}
		}
	})
	svc.stop(t)
	again := start(t, env...)
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

// young has one process record a tag and another pull it, and counts the pull. It
// reports whether that came less than five seconds after the record.
func (m meters) young(t *testing.T, writer, reader *service, r *registry.Registry, tag, digest string) bool {
	t.Helper()
	move(t, r, "library/alpine", tag, digest)
	recorded := writer.get(t, "alpine", tag)
	recorded.mustServe(t, digest)
	at, err := time.Parse(time.RFC3339, recorded.header.Get("Tlog-Integratedtime"))
	if err != nil {
		t.Fatal(err)
	}
	searched := make(chan time.Time, 1)
	m.rekor.Hook(on(searchPath, func(http.ResponseWriter, *http.Request, http.Handler) bool {
		select {
		case searched <- time.Now():
		default: // it is the first search that counts
		}
		return false
	}))
	m.reset()
	reader.get(t, "alpine", tag).mustServe(t, digest)
	select {
	case first := <-searched:
		return first.Sub(at) < 5*time.Second
	default:
		t.Fatal("the log was not searched")
		return false
	}
}

// settled waits until all that is wanted has been asked, for a certificate is
// obtained in the background, and then for what should not be.
func (m meters) settled(want string) string {
	for deadline := time.Now().Add(10 * time.Second); m.String() != want && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(300 * time.Millisecond)
	return m.String()
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
