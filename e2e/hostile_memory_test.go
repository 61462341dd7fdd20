package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/hostile"
	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// bombs are the cases that are about memory. None of them is slow: then the
// others would only wait.
var bombs = []string{
	"header of a megabyte", "headers of a megabyte", "ten thousand early hints", "chunk with a long name", "trailer of a megabyte",
}

// bombsToo are those that are meant for HTTP/2 as well.
var bombsToo = []string{
	"endless manifest", "manifest too long", "manifest of one too many", "gzip bomb", "zstd bomb", "many members", "deep", "deep, closed",
	"long name", "long type", "long text", "error without end", "404 without end", "redirect with a body without end",
	"token without end, TLS", "tags: without end", "tags: too long", "tags: deep", "tags: many members", "tags: gzip bomb",
	"referrers: without end", "referrers: deep", "blob: without end", "blob: 500 without end",
}

// TestHostileMemory has a hundred requests run into bombs at the same moment,
// none of which is answered before all have arrived. The peak of the service's
// memory stays near what it was before, and it serves as before.
func TestHostileMemory(t *testing.T) {
	const clients = 100
	s := &siege{Sigstore: startSigstore(t, sigstore.Options{}), registries: map[string]*hostile.Registry{}}
	await := barrier(t, clients)
	var upstreams []string
	var paths []string
	var certificates []byte
	add := func(name, as string, o hostile.Options) {
		r, err := hostile.Start(name, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		s.registries[as] = r
		upstreams = append(upstreams, registryOf(as)+"="+r.URL)
		paths = append(paths, "/v2/"+registryOf(as)+"/app"+pathOf(name))
		if o.TLS {
			certificates = r.Certificate()
		}
	}
	for _, name := range append(bombs, bombsToo...) {
		add(name, name, hostile.Options{Await: await})
	}
	for _, name := range bombsToo {
		add(name, "TLS "+name, hostile.Options{Await: await, TLS: true})
	}
	for _, o := range []hostile.Options{{}, {TLS: true}} {
		add("honest", fmt.Sprint("honest ", o.TLS), o)
	}
	hostilePaths, honestPaths := paths[:len(paths)-2], paths[len(paths)-2:]
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, certificates, 0o600); err != nil {
		t.Fatal(err)
	}
	s.service = start(t, append(s.Env(), "REKOR_SETTLE=10ms", "NEW_RECORDS_PER_MINUTE=0", "SSL_CERT_FILE="+roots,
		"UPSTREAMS="+strings.Join(upstreams, ","), "UPSTREAM_TIMEOUT="+patience.String())...)
	honest := func() {
		t.Helper()
		for _, path := range honestPaths {
			s.service.do(t, http.MethodGet, path).mustServe(t, honestDigest)
		}
	}
	honest()
	idle := s.service.idle(t)

	var all sync.WaitGroup
	for i := range clients {
		path := hostilePaths[i%len(hostilePaths)]
		if i >= len(hostilePaths) { // not the same exchange again, which would be shared
			path = strings.Replace(path, "/app/", fmt.Sprintf("/app%d/", i), 1)
		}
		all.Go(func() {
			h := s.ask(t.Context(), http.MethodGet, path)
			if h.status == http.StatusOK && !strings.Contains(path, "/blobs/") || h.status == 0 {
				t.Errorf("%s: status %d, %v", path, h.status, h.err)
			}
		})
	}
	all.Wait()
	peak := s.service.peak(t)
	t.Logf("%d KiB idle, %d KiB at the peak: %d MiB more", idle>>10, peak>>10, (peak-idle)>>20)
	if peak-idle > spareMemory {
		t.Errorf("the peak is %d MiB above the %d MiB of the idle process, want %d at most", (peak-idle)>>20, idle>>20, spareMemory>>20)
	}
	honest()
}

// barrier returns a function that returns when it has been called n times, and
// at once from then on.
func barrier(t *testing.T, n int) func() {
	var mu sync.Mutex
	arrived := 0
	open := make(chan struct{})
	return func() {
		mu.Lock()
		if arrived++; arrived == n {
			close(open)
		}
		mu.Unlock()
		select {
		case <-open:
		case <-time.After(patience):
			t.Error("not all requests arrived")
		}
	}
}
