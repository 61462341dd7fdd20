package e2e

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/hostile"
)

// A story is what came of one case.
type story struct {
	get, head, byDigest, again hit
	uuids                      []string // own entries of the tag in the log's index
}

// A hog has all other long answers wait until it has run out of time.
const hog = "silent in a large body"

// TestHostileRegistries has clients pull from every hostile registry. Each gets
// the ruling of its case in time; what is no manifest is not recorded, is not
// kept, and does not keep the same registry from being pulled from when it has
// become honest. Nobody is led to the canary.
func TestHostileRegistries(t *testing.T) {
	names := hostile.Cases()
	s := newSiege(t, names)
	var mu sync.Mutex
	stories := map[string]story{}
	pull := func(name string) {
		told := s.pull(t, name)
		mu.Lock()
		defer mu.Unlock()
		stories[name] = told
	}
	everywhere(slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == hog }), pull)
	pull(hog)
	creates := s.creates()
	all, served := rulings(), 0
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			told := stories[name]
			told.check(t, name, all[name])
			mustAskPlainly(t, s.registries[name], 30)
			told.uuids = s.recorded(t, registryOf(name)+"/app:v1")
			recorded := all[name] == good && isManifest(name)
			if recorded {
				served++
			}
			if (len(told.uuids) == 1) != recorded || len(told.uuids) > 1 {
				t.Errorf("the log has %d records of the tag", len(told.uuids))
			}
		})
	}
	if creates != served {
		t.Errorf("the log was asked to write %d records for %d tags that were served", creates, served)
	}
	s.reform(t, names)
}

// isManifest reports whether a case is about manifests: pulls by tag.
func isManifest(name string) bool { return pathOf(name) == "/manifests/v1" }

func pathOf(name string) string {
	switch kind, _, _ := strings.Cut(name, ": "); kind {
	case "tags":
		return "/tags/list"
	case "referrers":
		return "/referrers/" + hostile.Digest("x")
	case "blob":
		return "/blobs/" + hostile.Digest("x")
	}
	return "/manifests/v1"
}

func (s *siege) pull(t *testing.T, name string) story {
	var told story
	base := "/v2/" + registryOf(name) + "/app"
	var all sync.WaitGroup
	all.Go(func() { told.get = s.ask(t.Context(), http.MethodGet, base+pathOf(name)) })
	if strings.HasPrefix(name, "HEAD ") {
		all.Wait() // HEAD is asked instead of GET once a tag is known, and believed
	}
	all.Go(func() { told.head = s.ask(t.Context(), http.MethodHead, base+pathOf(name)) })
	if name == hog {
		all.Wait() // by digest it would be asked beside, and one of them would wait
	}
	if isManifest(name) {
		all.Go(func() { told.byDigest = s.ask(t.Context(), http.MethodGet, base+"/manifests/"+honestDigest) })
	}
	all.Wait()
	if told.get.took < hostileLimit/2 { // a second time, where that does not take long
		told.again = s.ask(t.Context(), http.MethodGet, base+pathOf(name))
	}
	return told
}

func (told story) check(t *testing.T, name string, want ruling) {
	for _, h := range []hit{told.get, told.head, told.byDigest, told.again} {
		h.mustRelayNothing(t)
		if h.took > hostileLimit+hostileSlack {
			t.Errorf("an answer took %v", h.took)
		}
	}
	told.get.mustBe(t, name, want)
	if !isManifest(name) {
		told.checkOther(t, name)
		return
	}
	headOnly := map[string]int{"HEAD of nothing": 404, "HEAD is broken": 502}[name]
	if told.head.status != told.get.status && want != lookedUp && headOnly == 0 || told.head.body != "" {
		t.Errorf("HEAD has status %d, GET %d; body %.100q", told.head.status, told.get.status, told.head.body)
	}
	if told.byDigest.status == http.StatusOK {
		told.byDigest.mustBeWhole(t, honestDigest)
	}
	if want == good {
		told.get.mustBeWhole(t, honestDigest)
		if uuid := told.get.header.Get("Tlog-Uuid"); len(uuid) != 80 || told.head.header.Get("Tlog-Uuid") != uuid && headOnly == 0 {
			t.Errorf("Tlog-Uuid is %q, of HEAD %q", uuid, told.head.header.Get("Tlog-Uuid"))
		}
	}
	switch {
	case told.again.status == 0:
	case headOnly != 0:
		if told.again.status != headOnly {
			t.Errorf("the second time the status is %d, want %d", told.again.status, headOnly)
		}
	default:
		told.again.mustBe(t, name, want)
		if want == good {
			told.again.mustBeWhole(t, honestDigest)
		}
	}
}

// checkOther checks answers that are passed on rather than read.
func (told story) checkOther(t *testing.T, name string) {
	h := told.get
	breaks := slices.Contains([]string{"blob: length too long", "blob: chunks without end", "blob: silent inside", "blob: reset inside"}, name)
	if breaks != (h.err != nil) {
		t.Errorf("the connection broke off: %v", h.err)
	}
	switch kind, _, _ := strings.Cut(name, ": "); {
	case h.status != http.StatusOK:
		if location := h.header.Get("Location"); h.status == http.StatusTemporaryRedirect && !strings.HasPrefix(location, "https://cdn.example.org/b") {
			t.Errorf("Location is %q", location)
		}
		return
	case kind == "blob":
		if got := h.header.Get("Content-Type"); got != "application/octet-stream" {
			t.Errorf("Content-Type is %q", got)
		}
		if got := h.header.Get("Docker-Content-Digest"); got != hostile.Digest("x") {
			t.Errorf("Docker-Content-Digest is %q", got)
		}
		return
	case kind == "tags" && !strings.Contains(h.body, `"name":"`+registryOf(name)+`/app"`):
		t.Errorf("the list's name is the registry's: %s", h.body)
	}
	next := map[string]string{"link elsewhere": "n=1&last=v1", "many links": "n=2"}[name[strings.Index(name, ": ")+2:]]
	if next != "" {
		next = "</v2/" + registryOf(name) + "/app" + pathOf(name) + "?" + next + `>; rel="next"`
	}
	if got := h.header.Get("Link"); got != next {
		t.Errorf("Link is %q, want %q", got, next)
	}
}

// mustBe fails the test unless the answer is the ruling.
func (h hit) mustBe(t *testing.T, name string, want ruling) {
	t.Helper()
	code, message := h.said(name)
	got := ruling{h.status, code, message}
	if before, _, cut := strings.Cut(want.message, "…"); cut && strings.HasPrefix(message, before) && len(message) < 1000 {
		got.message = want.message
	}
	if want == lookedUp && (got == forbidden || got == outOfReach || got == late) {
		return
	}
	if got != want {
		t.Errorf("got %d %s: %s (%v)\nwant %d %s: %s", got.status, got.code, got.message, h.err, want.status, want.code, want.message)
	}
}

// reform has every registry become honest. Each tag is served, with a record
// of its own, by the process that has seen all of the above.
func (s *siege) reform(t *testing.T, names []string) {
	for _, r := range s.registries {
		r.Reform()
	}
	var mu sync.Mutex
	afterwards := map[string]hit{}
	began := time.Now()
	everywhere(names, func(name string) {
		h := s.ask(t.Context(), http.MethodGet, "/v2/"+registryOf(name)+"/app/manifests/v1")
		mu.Lock()
		defer mu.Unlock()
		afterwards[name] = h
	})
	t.Logf("%d honest pulls in %v", len(names), time.Since(began))
	for _, name := range names {
		h := afterwards[name]
		if h.status != http.StatusOK {
			t.Errorf("%s: status %d afterwards: %s", name, h.status, h.body)
			continue
		}
		h.mustBeWhole(t, honestDigest)
	}
	if n := s.creates(); n != len(names) {
		t.Errorf("%d records were written of %d tags", n, len(names))
	}
}
