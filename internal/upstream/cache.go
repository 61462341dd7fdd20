package upstream

import (
	"math"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxTags bounds the tags whose last digest is remembered.
const maxTags = 4096

// entryCost is added to a manifest's length for what surrounds it: the keys,
// the headers, the list.
const entryCost = 1024

// A memory holds verified manifests, bounded in bytes, and for each tag the
// digest last served. It is safe for concurrent use.
//
// A manifest is kept under the repository that served it: another repository
// is not known to have it.
type memory struct {
	mu        sync.Mutex
	most      int
	used      int
	manifests *simplelru.LRU[string, *Manifest] // by repository@digest
	tags      *simplelru.LRU[string, string]    // repository:tag to digest
}

func newMemory(bytes int) *memory {
	m := &memory{most: bytes}
	// Only a size below one is an error.
	m.manifests, _ = simplelru.NewLRU(math.MaxInt, func(_ string, gone *Manifest) {
		m.used -= cost(gone)
	})
	m.tags, _ = simplelru.NewLRU[string, string](maxTags, nil)
	return m
}

// add keeps a manifest and, if tag is not empty, what the tag is now.
// The quota of the exchange that brought the manifest is not kept with it.
func (m *memory) add(repo, tag string, manifest *Manifest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if tag != "" {
		m.tags.Add(repo+":"+tag, manifest.Digest)
	}
	key := repo + "@" + manifest.Digest
	if m.manifests.Contains(key) || cost(manifest) > m.most {
		return
	}
	kept := *manifest
	kept.Header = without(manifest.Header, limits)
	m.used += cost(&kept)
	m.manifests.Add(key, &kept)
	for m.used > m.most {
		m.manifests.RemoveOldest()
	}
}

// get returns a repository's manifest, or nil.
func (m *memory) get(repo, digest string) *Manifest {
	m.mu.Lock()
	defer m.mu.Unlock()
	manifest, _ := m.manifests.Get(repo + "@" + digest)
	return manifest
}

// last returns the manifest last served for a tag, or nil.
func (m *memory) last(repo, tag string) *Manifest {
	m.mu.Lock()
	defer m.mu.Unlock()
	digest, ok := m.tags.Get(repo + ":" + tag)
	if !ok {
		return nil
	}
	manifest, _ := m.manifests.Get(repo + "@" + digest)
	return manifest
}

// cost is the same for a manifest and for the copy that is kept.
func cost(m *Manifest) int { return len(m.Bytes) + entryCost }
