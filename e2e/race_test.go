package e2e

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tlogistry/tlogistry/e2e/registry"
	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

const (
	pairs       = 240 // tags of a round, each seen first by two instances at the same moment
	pairsAtOnce = 16
	rounds      = 5
)

// TestRace has two instances pull the same new tags at the same moment, each
// of a registry that says something else. Of each tag, only one digest may ever
// be served.
func TestRace(t *testing.T) {
	t.Run("unmodified index", func(t *testing.T) {
		race := newRace(t, "REKOR_SETTLE=250ms")
		for n := range rounds {
			if broken := race.round(t, fmt.Sprint("tag-", n)); len(broken) > 0 {
				t.Errorf("round %d: %d of %d tags were served with two digests: %v", n, len(broken), pairs, broken)
			}
		}
	})
	t.Run("lagging index", func(t *testing.T) {
		const lag = 200 * time.Millisecond
		race := newRace(t, "REKOR_SETTLE=250ms")
		for n := range rounds {
			race.rekor.Hook(sigstore.LaggingIndex(uint64(n), lag))
			if broken := race.round(t, fmt.Sprint("lag-", n)); len(broken) > 0 {
				t.Errorf("round %d: %d of %d tags were served with two digests: %v", n, len(broken), pairs, broken)
			}
		}
	})
	// The wait is needed: without it the same race is lost. If this ever
	// passes without a broken tag, the tests above show nothing.
	t.Run("without the settle time", func(t *testing.T) {
		race := newRace(t, "REKOR_SETTLE=0s")
		for n := range rounds {
			race.rekor.Hook(sigstore.LaggingIndex(uint64(n), 200*time.Millisecond))
			broken := race.round(t, fmt.Sprint("hasty-", n))
			t.Logf("round %d: %d of %d tags were served with two digests", n, len(broken), pairs)
			if len(broken) > 0 {
				return
			}
		}
		t.Error("no tag was served with two digests")
	})
}

// A race is two instances on one log, of one identity or of two that trust each
// other, and two registries that both claim to be Docker Hub and disagree about
// every tag.
type race struct {
	rekor     *sigstore.Proxy
	tags      int // of a round
	atOnce    int // tags that are pulled at the same time
	upstreams [2]*registry.Registry
	instances [2]*service
	digests   [2]string
}

func newRace(t *testing.T, env string) *race {
	s := startSigstore(t, sigstore.Options{})
	return raceOf(t, s, [2][]string{{env}, {env}})
}

// raceOf is a race of instances with an environment of their own each.
func raceOf(t *testing.T, s *sigstore.Sigstore, env [2][]string) *race {
	r := &race{rekor: proxied(t, s.RekorURL), tags: pairs, atOnce: pairsAtOnce}
	for i := range r.instances {
		r.upstreams[i] = startRegistry(t, registry.Options{})
		r.digests[i] = push(t, r.upstreams[i], "library/race", "any", registry.Variant{Name: fmt.Sprint("side ", i), Single: true})
		r.instances[i] = start(t, append(append(s.Env(), "REKOR_URL="+r.rekor.URL, "UPSTREAMS="+r.upstreams[i].Upstreams()), env[i]...)...)
	}
	return r
}

// round races for tags of the given prefix and returns those that were served
// with two digests, in the race itself or by a later pull.
func (r *race) round(t *testing.T, prefix string) []string {
	t.Helper()
	var tags []string
	for n := range r.tags {
		tag := fmt.Sprint(prefix, "-", n)
		tags = append(tags, tag)
		for i, up := range r.upstreams {
			move(t, up, "library/race", tag, r.digests[i])
		}
	}
	served := servedDigests{seen: make(map[string]map[string]bool)}
	for range 2 { // the race, and a later pull
		g, ctx := errgroup.WithContext(t.Context())
		g.SetLimit(2 * r.atOnce)
		for _, tag := range tags {
			for _, svc := range r.instances {
				g.Go(func() error { return served.pull(ctx, svc, tag) })
			}
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	var broken []string
	for _, tag := range tags {
		switch len(served.seen[tag]) {
		case 0:
			t.Errorf("tag %s was not served at all", tag)
		case 1:
		default:
			broken = append(broken, tag)
		}
	}
	return broken
}

// servedDigests are the digests that each tag was answered 200 with.
type servedDigests struct {
	mu   sync.Mutex
	seen map[string]map[string]bool
}

func (s *servedDigests) pull(ctx context.Context, svc *service, tag string) error {
	a, err := svc.try(ctx, http.MethodHead, "/v2/library/race/manifests/"+tag)
	if err != nil {
		return err
	}
	switch a.status {
	case http.StatusForbidden:
		return nil
	case http.StatusOK:
	default:
		return fmt.Errorf("tag %s: status %d", tag, a.status)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[tag] == nil {
		s.seen[tag] = make(map[string]bool)
	}
	s.seen[tag][a.header.Get("Docker-Content-Digest")] = true
	return nil
}
