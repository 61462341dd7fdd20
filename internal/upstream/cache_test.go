package upstream

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
)

func sized(n, length int) *Manifest {
	body := fmt.Sprintf("%0*d", length, n)
	return &Manifest{Digest: sum([]byte(body)), Bytes: []byte(body), Header: http.Header{}}
}

func TestMemoryIsBoundedInBytes(t *testing.T) {
	const length = 9 << 10
	m := newMemory(10 * (length + entryCost))
	var all []*Manifest
	for i := range 25 {
		all = append(all, sized(i, length))
		m.add("r", fmt.Sprint(i), all[i])
		if m.used > m.most {
			t.Fatalf("%d bytes of %d are used", m.used, m.most)
		}
		if m.get("r", all[0].Digest) == nil { // used each time, so never the oldest
			t.Fatalf("the first went for number %d", i)
		}
	}
	for i, want := range all {
		kept := i == 0 || i >= 16
		if got := m.get("r", want.Digest); (got != nil) != kept {
			t.Errorf("%d is kept: %v", i, got != nil)
		}
		if digest, likely := m.last("r", fmt.Sprint(i)); digest != want.Digest || likely != kept {
			t.Errorf("%d by its tag is %s, in memory: %v", i, digest, likely)
		}
	}
	if want := 10 * (length + entryCost); m.used != want {
		t.Errorf("%d bytes are used, want %d", m.used, want)
	}
	m.add("r", "", sized(99, 12*length))
	if m.used != 10*(length+entryCost) || m.get("r", sized(99, 12*length).Digest) != nil {
		t.Error("what does not fit pushed out the rest")
	}
}

// The bound is in the documentation.
func TestMemoryBoundIsDocumented(t *testing.T) {
	docs, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	if row := fmt.Sprintf("| manifests, by repository and digest | %d MiB;", memoryBytes>>20); !strings.Contains(string(docs), row) {
		t.Errorf("docs/performance.md has no row %s", row)
	}
}

func TestMemoryCountsOnce(t *testing.T) {
	m := newMemory(1 << 20)
	one := sized(1, 100)
	for range 3 {
		m.add("r", "t", one)
	}
	if m.used != 100+entryCost {
		t.Errorf("%d bytes are used", m.used)
	}
}

func TestMemoryIsOfOneRepository(t *testing.T) {
	m := newMemory(1 << 20)
	one := sized(1, 100)
	m.add("r/a", "t", one)
	if m.get("r/b", one.Digest) != nil {
		t.Error("another repository is answered")
	}
	for _, test := range []struct {
		repo, tag, digest string
		likely            bool
	}{
		{"r/a", "t", one.Digest, true},
		{"r/a", "other", "", true},
		{"r/b", "t", "", false},
		{"r", "t", "", false},
	} {
		if digest, likely := m.last(test.repo, test.tag); digest != test.digest || likely != test.likely {
			t.Errorf("%s:%s is %q, in memory: %v", test.repo, test.tag, digest, likely)
		}
	}
}

// A repository of which nothing is left is not one that may have a tag.
func TestMemoryForgetsRepositories(t *testing.T) {
	m := newMemory(2 * (100 + entryCost))
	m.add("a", "t", sized(1, 100))
	m.add("a", "t", sized(2, 100))
	m.add("b", "t", sized(3, 100))
	if _, likely := m.last("a", "other"); !likely {
		t.Error("a has one manifest left, and is forgotten")
	}
	m.add("b", "t", sized(4, 100))
	if _, likely := m.last("a", "other"); likely {
		t.Error("a has no manifest left, and is known")
	}
	if len(m.repos) != 1 || m.repos["b"] != 2 {
		t.Errorf("repositories: %v", m.repos)
	}
}

func TestMemoryBoundsTags(t *testing.T) {
	m := newMemory(1 << 20)
	one := sized(1, 100)
	for i := range maxTags + 10 {
		m.add("r", fmt.Sprint(i), one)
	}
	if n := m.tags.Len(); n != maxTags {
		t.Errorf("%d tags are kept", n)
	}
}

// A tag that moved and moved back names what it named first.
func TestMemoryKnowsTheLastDigest(t *testing.T) {
	m := newMemory(1 << 20)
	a, b := sized(1, 100), sized(2, 100)
	for _, now := range []*Manifest{a, b, a} {
		m.add("r", "t", now)
		if digest, _ := m.last("r", "t"); digest != now.Digest {
			t.Errorf("last is %s, want %s", digest, now.Digest)
		}
	}
}

// Quota headers belong to one exchange and are not told again.
func TestMemoryForgetsTheQuota(t *testing.T) {
	m := newMemory(1 << 20)
	one := sized(1, 100)
	one.Header = http.Header{"Ratelimit-Limit": {"9"}, "Etag": {"e"}}
	m.add("r", "t", one)
	if got := fmt.Sprint(m.get("r", one.Digest).Header); got != "map[Etag:[e]]" {
		t.Errorf("header is %s", got)
	}
	if len(one.Header) != 2 {
		t.Error("the served manifest lost its header")
	}
}

func TestMemoryOfManyAtOnce(t *testing.T) {
	m := newMemory(8 * (1000 + entryCost))
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 200 {
				one := sized(i%20, 1000)
				m.add("r", fmt.Sprint(worker), one)
				if got := m.get("r", one.Digest); got != nil && string(got.Bytes) != string(one.Bytes) {
					t.Error("other bytes")
				}
			}
		})
	}
	all.Wait()
	if m.used > m.most || m.used != m.manifests.Len()*(1000+entryCost) {
		t.Errorf("%d bytes are used for %d manifests", m.used, m.manifests.Len())
	}
}

// A small memory costs requests, nothing else.
func TestManifestBeyondMemory(t *testing.T) {
	w, c := mapped(t, Config{memory: 1})
	w.open()
	w.serve("/v2/app/manifests/", 200, "Content-Type: "+indexType+"\n\n"+indexJSON)
	for range 2 {
		if _, err := c.Manifest(t.Context(), tag(t)); err != nil {
			t.Error(err)
		}
	}
	got := strings.Join(w.requests(), " ")
	if want := "GET /v2/ " + askTag + " " + askTag; got != want {
		t.Errorf("requests are %s, want %s", got, want)
	}
}
