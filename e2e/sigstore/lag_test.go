package sigstore_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// TestLaggingIndex creates entries under one hash through a lagging index and
// watches them show.
func TestLaggingIndex(t *testing.T) {
	const (
		entries = 20
		limit   = 2 * time.Second // much more than a create and a search take
	)
	s := start(t, sigstore.Options{})
	before, hash := create(t, s, "subject")
	find(t, s, hash, before)

	p, err := sigstore.NewProxy(s.RekorURL)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.Hook(sigstore.LaggingIndex(1, limit))
	direct := s.RekorURL
	s.RekorURL = p.URL
	defer func() { s.RekorURL = direct }()

	created := []string{before}
	hidden := 0        // entries that did not show when first looked for
	var shown []string // in the order of showing
	look := func() {
		uuids, err := s.Search(t.Context(), hash)
		if err != nil {
			t.Fatal(err)
		}
		for _, uuid := range shown {
			if !slices.Contains(uuids, uuid) {
				t.Fatalf("entry %s has gone after it had shown", uuid)
			}
		}
		for _, uuid := range uuids {
			if !slices.Contains(shown, uuid) {
				shown = append(shown, uuid)
			}
		}
	}
	look()
	if !slices.Equal(shown, created) {
		t.Errorf("index shows %v, want the entry from before the lag, %s", shown, before)
	}
	for range entries {
		uuid, _ := create(t, s, "subject")
		created = append(created, uuid)
		look()
		if !slices.Contains(shown, uuid) {
			hidden++
		}
	}
	if hidden < entries/2 {
		t.Errorf("%d of %d entries were hidden at first", hidden, entries)
	}
	eventually(t, "all entries", func() bool { look(); return len(shown) == len(created) })
	if slices.Equal(shown, created) {
		t.Error("entries showed in the order of their creation")
	}
}

// TestLaggingIndexConcurrent looks while entries are being created, when the
// index may have them before the hook has seen the answer.
func TestLaggingIndexConcurrent(t *testing.T) {
	s := start(t, sigstore.Options{})
	p, err := sigstore.NewProxy(s.RekorURL)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.Hook(sigstore.LaggingIndex(2, 50*time.Millisecond))
	s.RekorURL = p.URL

	const entries = 30
	_, hash := statement(t, "subject")
	created := make(chan string, entries)
	go func() {
		defer close(created)
		author, err := s.Author(t.Context(), sigstore.DefaultEmail)
		if err != nil {
			t.Error(err)
			return
		}
		payload, _ := statement(t, "subject")
		for range entries {
			e, err := author.Sign(t.Context(), payload)
			if err != nil {
				t.Error(err)
				return
			}
			proposal, err := e.InToto()
			if err != nil {
				t.Error(err)
				return
			}
			uuid, _, err := s.Create(t.Context(), proposal)
			if err != nil {
				t.Error(err)
				return
			}
			created <- uuid
		}
	}()
	var shown []string
	eventually(t, fmt.Sprint(entries, " entries"), func() bool {
		uuids, err := s.Search(t.Context(), hash)
		if err != nil {
			t.Fatal(err)
		}
		for _, uuid := range shown {
			if !slices.Contains(uuids, uuid) {
				t.Fatalf("entry %s has gone after it had shown", uuid)
			}
		}
		shown = uuids
		return len(shown) == entries
	})
	for range created {
	}
}
