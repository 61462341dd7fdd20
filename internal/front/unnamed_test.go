package front_test

import (
	"errors"
	"testing"

	"github.com/tlogistry/tlogistry/internal/logtest"
	"github.com/tlogistry/tlogistry/internal/record"
)

// Sightings without a digest.
func TestTagUnnamed(t *testing.T) {
	app, digest := image("app")
	_, other := image("other")
	tests := []struct {
		name      string
		statement logtest.Statement
		recorded  string
		want      func(record.Sighting) answer
		resolves  int
	}{
		{"late, the same", logtest.Late, digest, func(s record.Sighting) answer { return served(app, s) }, 1},
		{"late, another", logtest.Late, other, func(s record.Sighting) answer { return moved(appRef, digest, s) }, 1},
		{"lost, the same", logtest.Lost, digest, func(s record.Sighting) answer { return served(app, s) }, 2},
		{"lost, another", logtest.Lost, other, func(s record.Sighting) answer {
			s.Digest = ""
			return moved(appRef, digest, s)
		}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, setup{})
			s.origin.push(t, "app", "1.0", app)
			s.store.Withhold(tt.statement)
			rec := s.store.Record(appRef, tt.recorded)
			s.checkBoth(appPath, tt.want(rec))
			if n := s.log.Calls(logtest.Resolve); n != tt.resolves {
				t.Errorf("Resolve was called %d times, want %d", n, tt.resolves)
			}
			if n := s.log.Calls(logtest.Add); n != 0 {
				t.Errorf("Add was called %d times for a recorded tag", n)
			}
		})
	}
}

// The digest that Resolve names decides by the first record alone, whatever
// later ones say.
func TestTagUnnamedBeforeNamed(t *testing.T) {
	s := newSite(t, setup{})
	app, digest := image("app")
	_, other := image("other")
	s.origin.push(t, "app", "1.0", app)
	s.store.Withhold(logtest.Late)
	first := s.store.Record(appRef, other)
	s.store.Withhold(logtest.Stored)
	s.store.Record(appRef, digest)
	s.checkBoth(appPath, moved(appRef, digest, first))
}

func TestTagResolveFails(t *testing.T) {
	s := newSite(t, setup{})
	app, digest := image("app")
	s.origin.push(t, "app", "1.0", app)
	s.store.Withhold(logtest.Lost)
	rec := s.store.Record(appRef, digest)
	s.log.Fail(logtest.Resolve, errors.New("broken"))
	s.checkBoth(appPath, logDown("look up"))
	s.log.Fail(logtest.Resolve, nil)
	s.checkBoth(appPath, served(app, rec))
}

// A first pull whose own statement is stored late, or never.
func TestTagOwnStatementWithheld(t *testing.T) {
	for _, st := range []logtest.Statement{logtest.Late, logtest.Lost} {
		s := newSite(t, setup{})
		app, _ := image("app")
		s.origin.push(t, "app", "1.0", app)
		s.store.Withhold(st)
		got := s.do("GET", appPath)
		check(t, "GET", got, served(app, only(t, s.store, appRef)).with("Tlog-First-Seen", "true"))
		s.checkBoth(appPath, served(app, only(t, s.store, appRef)))
	}
}

// What turns out to be no record of the tag counts for nothing, wherever it
// stands.
func TestTagForeign(t *testing.T) {
	app, digest := image("app")
	_, other := image("other")
	flood := func(s *site) {
		s.store.Withhold(logtest.Foreign)
		for range 5 {
			s.store.Record(appRef, other)
		}
		s.store.Withhold(logtest.Stored)
	}
	t.Run("alone", func(t *testing.T) {
		s := newSite(t, setup{})
		s.origin.push(t, "app", "1.0", app)
		flood(s)
		got := s.do("GET", appPath)
		all := s.store.Entries(appRef)
		if len(all) != 6 {
			t.Fatalf("%d entries, want 5 foreign ones and one", len(all))
		}
		check(t, "GET", got, served(app, all[5]).with("Tlog-First-Seen", "true"))
		s.checkBoth(appPath, served(app, all[5]))
	})
	t.Run("before a record", func(t *testing.T) {
		s := newSite(t, setup{})
		s.origin.push(t, "app", "1.0", app)
		flood(s)
		rec := s.store.Record(appRef, other)
		flood(s)
		s.checkBoth(appPath, moved(appRef, digest, rec))
		if n := len(s.store.Entries(appRef)); n != 11 {
			t.Errorf("%d entries, want 11", n)
		}
	})
}

// A log that forks shows each instance another history. The service cannot
// tell; it is true to the one that it sees.
func TestTagForkedLog(t *testing.T) {
	a := newSite(t, setup{})
	b := newSite(t, setup{origin: a.origin, store: a.store.Fork()})
	old, _ := image("old")
	fresh, freshDigest := image("fresh")
	a.origin.push(t, "app", "1.0", old)
	a.do("GET", appPath)
	a.origin.push(t, "app", "1.0", fresh)
	b.do("GET", appPath)
	a.checkBoth(appPath, moved(appRef, freshDigest, only(t, a.store, appRef)))
	b.checkBoth(appPath, served(fresh, only(t, b.store, appRef)))
}
