package front_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/internal/logtest"
	"github.com/tlogistry/tlogistry/internal/record"
)

const (
	appPath = "/v2/registry.test/app/manifests/1.0"
	appRef  = "registry.test/app:1.0"
)

// served is the answer to a tag that is what it was recorded as.
func served(manifest string, s record.Sighting) answer {
	return want(http.StatusOK, manifest, append(tlog(s),
		"Content-Type", manifestType,
		"Docker-Content-Digest", digestOf(manifest))...)
}

// moved is the answer to a tag that is not what it was recorded as.
func moved(ref, digest string, s record.Sighting) answer {
	at := s.Time.Format("2006-01-02T15:04:05Z")
	message := fmt.Sprintf("tag %s has moved: recorded as %s at %s, log index %d; the registry now serves %s", ref, s.Digest, at, s.Index, digest)
	recorded := fmt.Sprintf(`"recorded":%q,`, s.Digest)
	if s.Digest == "" {
		message = fmt.Sprintf("tag %s has moved: another digest was recorded at %s, log index %d, which the log does not hold; the registry now serves %s", ref, at, s.Index, digest)
		recorded = ""
	}
	detail := fmt.Sprintf(`{"reference":%q,%s"served":%q,"logIndex":%d,"integratedTime":%q,"uuid":%q}`, ref, recorded, digest, s.Index, at, s.UUID)
	return wantError(http.StatusForbidden, "DENIED", message, detail, tlog(s)...)
}

// logDown is the answer where the log keeps a tag from being served.
func logDown(doing string) answer {
	return wantError(http.StatusServiceUnavailable, "UNAVAILABLE",
		"the transparency log could not be used to "+doing+" this tag, so it is not served; try again later", "",
		"Retry-After", "10")
}

// only returns the one entry of a reference.
func only(t *testing.T, s *logtest.Store, ref string) record.Sighting {
	t.Helper()
	all := s.Entries(ref)
	if len(all) != 1 {
		t.Fatalf("the log holds %d entries of %s, want 1", len(all), ref)
	}
	return all[0]
}

// A tag's life: first pull, further pulls, moved, moved back. HEAD alone, GET
// alone, and both give the same answers.
func TestTag(t *testing.T) {
	for _, methods := range [][]string{{"GET"}, {"HEAD"}, {"HEAD", "GET"}, {"GET", "HEAD"}} {
		t.Run(fmt.Sprint(methods), func(t *testing.T) {
			s := newSite(t, setup{})
			old, oldDigest := image("old")
			fresh, freshDigest := image("fresh")

			s.origin.push(t, "app", "1.0", old)
			got := s.do(methods[0], appPath)
			rec := only(t, s.store, appRef)
			if rec.Digest != oldDigest {
				t.Fatalf("recorded %s, want %s", rec.Digest, oldDigest)
			}
			check(t, methods[0], got, served(old, rec).with("Tlog-First-Seen", "true"))

			for range 2 {
				for _, m := range methods {
					check(t, m, s.do(m, appPath), served(old, rec))
				}
			}
			s.origin.push(t, "app", "1.0", fresh)
			for range 2 {
				for _, m := range methods {
					check(t, m, s.do(m, appPath), moved(appRef, freshDigest, rec))
				}
			}
			s.origin.push(t, "app", "1.0", old)
			for _, m := range methods {
				check(t, m, s.do(m, appPath), served(old, rec))
			}
			if n := s.log.Calls(logtest.Add); n != 1 {
				t.Errorf("Add was called %d times, want once", n)
			}
			only(t, s.store, appRef)
		})
	}
}

// What another instance recorded counts from the first pull on.
func TestTagRecordedElsewhere(t *testing.T) {
	s := newSite(t, setup{})
	old, oldDigest := image("old")
	fresh, freshDigest := image("fresh")
	rec := s.store.Record(appRef, oldDigest)

	s.origin.push(t, "app", "1.0", fresh)
	s.checkBoth(appPath, moved(appRef, freshDigest, rec))
	s.origin.push(t, "app", "1.0", old)
	s.checkBoth(appPath, served(old, rec))
	if n := s.log.Calls(logtest.Add); n != 0 {
		t.Errorf("Add was called %d times for a recorded tag", n)
	}
}

// The lowest index decides, in whatever order the log returns its sightings.
func TestTagLowestIndexDecides(t *testing.T) {
	s := newSite(t, setup{})
	old, oldDigest := image("old")
	fresh, freshDigest := image("fresh")
	rec := s.store.Record(appRef, oldDigest)
	s.store.Record(appRef, freshDigest)
	for range 2 {
		s.origin.push(t, "app", "1.0", fresh)
		s.checkBoth(appPath, moved(appRef, freshDigest, rec))
		s.origin.push(t, "app", "1.0", old)
		s.checkBoth(appPath, served(old, rec))
		s.log.Lie(func(_ string, truth []record.Sighting) []record.Sighting {
			slices.Reverse(truth)
			return truth
		})
	}
}

// Every spelling of a name is one tag with one record.
func TestTagSpellings(t *testing.T) {
	s := newSite(t, setup{})
	manifest, digest := image("alpine")
	s.origin.push(t, "library/alpine", "3.16.0", manifest)
	for i, name := range []string{"alpine", "library/alpine", "docker.io/library/alpine", "index.docker.io/library/alpine", "docker.io/alpine", "registry-1.docker.io/library/alpine", "docker.io:443/library/alpine"} {
		got := s.do("HEAD", "/v2/"+name+"/manifests/3.16.0")
		w := served(manifest, only(t, s.store, "index.docker.io/library/alpine:3.16.0"))
		if i == 0 {
			w = w.with("Tlog-First-Seen", "true")
		}
		t.Log(name)
		check(t, "HEAD", got, w)
	}
	if rec := only(t, s.store, "index.docker.io/library/alpine:3.16.0"); rec.Digest != digest {
		t.Errorf("recorded %s, want %s", rec.Digest, digest)
	}
}

// An index is a manifest like any other, and so is what a client accepts.
func TestTagIndex(t *testing.T) {
	s := newSite(t, setup{})
	index := `{"schemaVersion":2,"mediaType":"` + indexType + `","manifests":[]}`
	s.origin.put(t, "PUT", "/v2/app/manifests/1.0", indexType, index)
	got := s.do("GET", appPath, "Accept", manifestType)
	rec := only(t, s.store, appRef)
	check(t, "GET", got, served(index, rec).with("Content-Type", indexType, "Tlog-First-Seen", "true"))
}

// The headers say the record's time in UTC, to the second.
func TestTagHeaders(t *testing.T) {
	s := newSite(t, setup{})
	app, digest := image("app")
	s.origin.push(t, "app", "1.0", app)
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.FixedZone("elsewhere", 3600))
	s.log.Lie(func(string, []record.Sighting) []record.Sighting {
		return []record.Sighting{{Ref: appRef, Digest: digest, UUID: "cafe", Index: 1 << 40, Time: at}}
	})
	got := s.do("GET", appPath)
	check(t, "GET", got, served(app, record.Sighting{UUID: "cafe", Index: 1 << 40, Time: at.UTC()}))
	if v := got.header.Get("Tlog-Integratedtime"); v != "2026-03-04T04:06:07Z" {
		t.Errorf("Tlog-Integratedtime: %s", v)
	}
	if v := got.header.Get("Tlog-Logindex"); v != strconv.Itoa(1<<40) {
		t.Errorf("Tlog-Logindex: %s", v)
	}
	s.origin.push(t, "app", "1.0", "{\"schemaVersion\":2,\"mediaType\":\""+manifestType+"\"}")
	got = s.do("GET", appPath)
	check(t, "GET", got, moved(appRef, digestOf("{\"schemaVersion\":2,\"mediaType\":\""+manifestType+"\"}"),
		record.Sighting{Digest: digest, UUID: "cafe", Index: 1 << 40, Time: at.UTC()}))
}
