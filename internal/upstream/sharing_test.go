package upstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// One GET a digest, in whatever order sixteen connections ask for 512 tags of
// sixteen images, and however long each answer takes: the counted row of
// docs/performance.md.
func TestOneGetForADigest(t *testing.T) {
	const images, each, connections = 16, 32, 16
	shuffled := rand.New(rand.NewPCG(1, 2)).Perm(images * each)
	orders := map[string]func(int) int{
		"tags in turn":    func(i int) int { return i },
		"image for image": func(i int) int { return i%each*images + i/each },
		"as the bench":    func(i int) int { return i%connections*each + i/connections },
		"in no order":     func(i int) int { return shuffled[i] },
	}
	for name, order := range orders {
		t.Run(name, func(t *testing.T) {
			tags := map[string]string{}
			for i := range images * each {
				tags[fmt.Sprint("v", i)] = image(i % images)
			}
			shelved(t, Config{}, tags, func(t *testing.T, s *shelf) {
				s.answer = func(http.ResponseWriter, *http.Request) bool {
					time.Sleep(time.Duration(10+rand.IntN(40)) * time.Millisecond)
					return false
				}
				queue := make(chan string, len(tags))
				for i := range len(tags) {
					queue <- fmt.Sprint("v", order(i))
				}
				close(queue)
				var all sync.WaitGroup
				for range connections {
					all.Go(func() {
						for tag := range queue {
							s.pull(tag)
						}
					})
				}
				all.Wait()
				gets := 0
				for asked, n := range s.asked() {
					if strings.HasPrefix(asked, "GET ") {
						gets += n
					}
				}
				if gets != images {
					t.Errorf("%d GETs for %d digests", gets, images)
				}
			})
		})
	}
}

// New tags of one image wait for the GET of the first.
func TestNewTagsWaitForTheFirst(t *testing.T) {
	for name, memory := range map[string]int{"kept": 0, "larger than memory": 1} {
		t.Run(name, func(t *testing.T) {
			names, tags := tagged("a", 16, 1)
			shelved(t, Config{memory: memory}, tags, func(t *testing.T, s *shelf) {
				release := s.hold("GET a0")
				first := s.pulling("a0")
				rest := s.pulling(names[1:]...)
				s.wantAsked(and(heads(names[1:]...), "GET a0", 1))
				release()
				first()
				rest()
				s.wantAsked(nil)
			})
		})
	}
}

// New tags of other images share a GET for each, once the first has ended.
func TestNewTagsShareTheGetOfADigest(t *testing.T) {
	for name, memory := range map[string]int{"kept": 0, "larger than memory": 1} {
		t.Run(name, func(t *testing.T) {
			b, tags := tagged("b", 8, 2)
			tags["a"], tags["c"] = image(1), image(3)
			shelved(t, Config{memory: memory}, tags, func(t *testing.T, s *shelf) {
				releaseA, releaseB := s.hold("GET a"), s.hold("GET "+digestOf(2))
				first := s.pulling("a")
				rest := s.pulling(append(b, "c")...)
				s.wantAsked(and(heads(append(b, "c")...), "GET a", 1))
				releaseA()
				first()
				synctest.Wait()
				pinned := s.pulling(digestOf(2), digestOf(2)) // who knows the digest joins
				s.wantAsked(map[string]int{"GET " + digestOf(2): 1, "GET " + digestOf(3): 1})
				releaseB()
				rest()
				pinned()
				s.wantAsked(nil)
			})
		})
	}
}

// Tags share the GET that a pull by digest has begun.
func TestTagsJoinAPullByDigest(t *testing.T) {
	names, tags := tagged("b", 4, 2)
	tags["a"] = image(1)
	shelved(t, Config{}, tags, func(t *testing.T, s *shelf) {
		s.pull("a")
		release := s.hold("GET " + digestOf(2))
		pinned := s.pulling(digestOf(2))
		rest := s.pulling(names...)
		release()
		pinned()
		rest()
		s.wantAsked(and(and(heads(names...), "GET a", 1), "GET "+digestOf(2), 1))
		if m := s.pull("b0"); m.Header.Get("Ratelimit-Remaining") != "HEAD b0" {
			t.Errorf("header %v", m.Header)
		}
	})
}

// Tags that were served and whose image memory no longer has are as new ones.
func TestTagsWhoseImageHasGone(t *testing.T) {
	shelved(t, Config{memory: 1}, map[string]string{"a": image(1), "b": image(1)}, func(t *testing.T, s *shelf) {
		s.pull("a")
		s.pull("b")
		s.wantAsked(map[string]int{"GET a": 1, "GET b": 1})
		release := s.hold("GET a")
		a := s.pulling("a")
		b := s.pulling("b")
		release()
		a()
		b()
		s.wantAsked(map[string]int{"GET a": 1, "HEAD b": 1})
	})
}

// The first of one repository is of no concern to another.
func TestFirstIsOfOneRepository(t *testing.T) {
	shelved(t, Config{}, map[string]string{"a": image(1)}, func(t *testing.T, s *shelf) {
		s.serve("/v2/other/manifests/a", 200, "Content-Type: "+indexType+"\n\n"+image(1))
		defer s.hold("GET a")()
		s.pulling("a")
		if _, err := s.Manifest(t.Context(), request(t, "/v2/reg.example/other/manifests/a")); err != nil {
			t.Error(err)
		}
		want(t, s.requests(), "GET /v2/", "GET /v2/app/manifests/a", "GET /v2/other/manifests/a")
	})
}

// A first that fails, or takes too long, holds nobody up: the others share a
// GET by digest.
func TestFirstThatBringsNothing(t *testing.T) {
	names, tags := tagged("b", 4, 2)
	t.Run("not found", func(t *testing.T) {
		shelved(t, Config{}, tags, func(t *testing.T, s *shelf) {
			release, shared := s.hold("GET none"), s.hold("GET "+digestOf(2))
			first := make(chan error, 1)
			go func() {
				_, err := s.Manifest(t.Context(), s.reference("none"))
				first <- err
			}()
			synctest.Wait()
			rest := s.pulling(names...)
			release()
			wantError(t, <-first, 404, "MANIFEST_UNKNOWN", "reg.example/app:none is not known to registry reg.example")
			synctest.Wait()
			shared()
			rest()
			s.wantAsked(and(and(heads(names...), "GET none", 1), "GET "+digestOf(2), 1))
		})
	})
	t.Run("slow", func(t *testing.T) {
		shelved(t, Config{}, tags, func(t *testing.T, s *shelf) {
			release := s.hold("GET b0")
			first := s.pulling("b0")
			start := time.Now()
			s.pulling(names[1:]...)()
			if d := time.Since(start); d != firstPatience {
				t.Errorf("they waited for %v, want %v", d, firstPatience)
			}
			release()
			first()
			s.wantAsked(and(and(heads(names[1:]...), "GET b0", 1), "GET "+digestOf(2), 1))
		})
	})
}

// The limit of a pull is one for all that it waits for.
func TestSharingHasALimit(t *testing.T) {
	shelved(t, Config{Timeout: 5 * time.Second}, map[string]string{"a": image(1), "b": image(2)}, func(t *testing.T, s *shelf) {
		for _, asked := range []string{"GET a", "GET " + digestOf(2)} {
			defer s.hold(asked)()
		}
		start := time.Now()
		var all sync.WaitGroup
		for _, tag := range []string{"a", "b"} {
			all.Go(func() {
				_, err := s.Manifest(t.Context(), s.reference(tag))
				var e *Error
				if !errors.As(err, &e) || e.Status != 504 || time.Since(start) != 5*time.Second {
					t.Errorf("%s: %v after %v", tag, err, time.Since(start))
				}
			})
			synctest.Wait()
		}
		all.Wait()
	})
}

// Who gives up ends neither the first nor the GET of a digest for others.
func TestSharingOutlivesWhoGivesUp(t *testing.T) {
	shelved(t, Config{}, map[string]string{"a": image(1), "b": image(2), "c": image(2)}, func(t *testing.T, s *shelf) {
		ctx, cancel := context.WithCancel(t.Context())
		releaseA, releaseB := s.hold("GET a"), s.hold("GET "+digestOf(2))
		gone := make(chan error, 3)
		leaving := func(reference string) {
			go func() {
				_, err := s.Manifest(ctx, s.reference(reference))
				gone <- err
			}()
			synctest.Wait()
		}
		leaving("a")
		leaving("b")
		leaving(digestOf(2))
		rest := s.pulling("c", "a", digestOf(2))
		cancel()
		for range 3 {
			if err := <-gone; !errors.Is(err, context.Canceled) {
				t.Errorf("who gives up gets %v", err)
			}
		}
		releaseA()
		synctest.Wait()
		releaseB()
		rest()
		s.wantAsked(map[string]int{"GET a": 1, "HEAD b": 1, "HEAD c": 1, "GET " + digestOf(2): 1})
	})
}

// A client that is closed ends what it has begun, whatever it waits for, and
// begins nothing more.
func TestCloseWaitsForWhatIsShared(t *testing.T) {
	shelved(t, Config{}, map[string]string{"a": image(1), "b": image(2)}, func(t *testing.T, s *shelf) {
		s.pull("a")
		release := s.hold("HEAD b")
		b := s.pulling("b")
		closed := make(chan struct{})
		go func() {
			s.Client.Close()
			close(closed)
		}()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("closed while a pull goes on")
		default:
		}
		release()
		b()
		<-closed
		for _, reference := range []string{"a", digestOf(3)} {
			_, err := s.Manifest(t.Context(), s.reference(reference))
			wantError(t, err, 503, "UNAVAILABLE", "this instance is shutting down")
		}
		s.wantAsked(map[string]int{"GET a": 1, "HEAD b": 1, "GET " + digestOf(2): 1})
	})
}
