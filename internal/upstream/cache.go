package upstream

import (
	"maps"
	"math"
	"net/http"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/tlogistry/tlogistry/internal/ociref"
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
	manifests *simplelru.LRU[inRepo, *Manifest] // by digest
	repos     map[string]int                    // how many of each repository; never 0
	tags      *simplelru.LRU[inRepo, string]    // digests by tag
}

// An inRepo is a tag or a digest in a repository.
type inRepo struct{ repo, what string }

func newMemory(bytes int) *memory {
	m := &memory{most: bytes, repos: map[string]int{}}
	// Only a size below one is an error.
	m.manifests, _ = simplelru.NewLRU(math.MaxInt, func(key inRepo, gone *Manifest) {
		m.used -= cost(gone)
		if m.repos[key.repo]--; m.repos[key.repo] == 0 {
			delete(m.repos, key.repo)
		}
	})
	m.tags, _ = simplelru.NewLRU[inRepo, string](maxTags, nil)
	return m
}

// add keeps a manifest and, if tag is not empty, what the tag is now.
// The quota of the exchange that brought the manifest is not kept with it.
func (m *memory) add(repo, tag string, manifest *Manifest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if tag != "" {
		m.tags.Add(inRepo{repo, tag}, manifest.Digest)
	}
	key := inRepo{repo, manifest.Digest}
	if m.manifests.Contains(key) || cost(manifest) > m.most {
		return
	}
	kept := *manifest
	kept.Header = without(manifest.Header, limits)
	m.used += cost(&kept)
	m.repos[repo]++
	m.manifests.Add(key, &kept)
	for m.used > m.most {
		m.manifests.RemoveOldest()
	}
}

// get returns a repository's manifest, or nil.
func (m *memory) get(repo, digest string) *Manifest {
	m.mu.Lock()
	defer m.mu.Unlock()
	manifest, _ := m.manifests.Get(inRepo{repo, digest})
	return manifest
}

// last returns the digest last served for a tag, or "", and whether memory may
// have what the tag names now: that digest's manifest or, where there is no
// such digest, any of the repository.
func (m *memory) last(repo, tag string) (digest string, likely bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	digest, known := m.tags.Get(inRepo{repo, tag})
	if !known {
		return "", m.repos[repo] > 0
	}
	return digest, m.manifests.Contains(inRepo{repo, digest})
}

// fresh returns the manifest in memory that an answer's header names, with the
// quota of that answer, or nil. It notes that this is what the tag is now.
func (m *memory) fresh(r ociref.Request, header http.Header) *Manifest {
	kept := m.get(r.Repo, header.Get(digestHeader))
	if kept == nil {
		return nil
	}
	m.add(r.Repo, r.Tag, kept)
	fresh := *kept
	fresh.Header = pick(header)
	maps.Copy(fresh.Header, kept.Header)
	return &fresh
}

// cost is the same for a manifest and for the copy that is kept.
func cost(m *Manifest) int { return len(m.Bytes) + entryCost }
