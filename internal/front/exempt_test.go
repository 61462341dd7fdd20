package front_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/logtest"
	"github.com/tlogistry/tlogistry/internal/record"
)

// A tag that MUTABLE_TAGS selects is passed through, however it is spelled: the
// log is not asked, and the answer says so and nothing else of a record.
func TestExempt(t *testing.T) {
	s := newSite(t, setup{mutable: []string{"docker.io/library/*:latest", "registry.test/acme/**:nightly-*"}})
	s.log.Fail(logtest.Lookup, errors.New("broken"))
	s.log.Fail(logtest.Add, errors.New("broken"))
	lines := 0
	for _, repo := range []string{"library/alpine", "acme/a/b"} {
		for _, note := range []string{"one", "two"} { // it moves
			manifest, digest := image(note)
			s.origin.push(t, repo, "latest", manifest)
			s.origin.push(t, repo, "nightly-1", manifest)
			exempt := want(http.StatusOK, manifest, "Content-Type", manifestType, "Docker-Content-Digest", digest, "Tlog-Exempt", "true")
			paths := []string{"/v2/alpine/manifests/latest", "/v2/library/alpine/manifests/latest", "/v2/docker.io/alpine/manifests/latest",
				"/v2/registry-1.docker.io:443/library/alpine/manifests/latest"}
			if repo != "library/alpine" {
				paths = []string{"/v2/registry.test/acme/a/b/manifests/nightly-1", "/v2/registry.test:443/acme/a/b/manifests/nightly-1"}
			}
			for _, path := range paths {
				s.checkBoth(path, exempt, "Accept", "text/plain")
				lines += 2
			}
			if repo == "library/alpine" {
				s.checkBoth("/v2/library/alpine/manifests/latest?ns=docker.io", exempt.with("OCI-Namespace", "docker.io"))
				lines += 2
			}
		}
	}
	s.untouched()
	for _, text := range s.lines.wait(t, lines) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		if line["verdict"] != "exempt" || line["digest"] == nil || line["recorded"] != nil || line["logRequests"] != nil {
			t.Errorf("logged: %s", text)
		}
	}
	// All else is as ever.
	for _, path := range []string{"/v2/alpine/manifests/nightly-1", "/v2/registry.test/acme/a/b/manifests/latest", "/v2/registry.test/library/alpine/manifests/latest"} {
		if got := s.do("GET", path); got.status != http.StatusServiceUnavailable || got.header.Get("Tlog-Exempt") != "" {
			t.Errorf("%s: status %d, %q", path, got.status, got.header)
		}
	}
	message := `registry.test/acme/none:nightly-1 is not known to registry registry.test; it says "Unknown name"`
	check(t, "GET", s.do("GET", "/v2/registry.test/acme/none/manifests/nightly-1"), wantError(404, "NAME_UNKNOWN", message, ""))
}

// What was recorded before does not count, nor does what ALLOW says change.
func TestExemptAfterRecord(t *testing.T) {
	manifest, _ := image("app")
	moved, digest := image("moved")
	before := newSite(t, setup{})
	before.origin.push(t, "app", "1.0", manifest)
	if got := before.do("GET", appPath); got.status != http.StatusOK {
		t.Fatalf("status %d", got.status)
	}
	before.origin.push(t, "app", "1.0", moved)
	if got := before.do("GET", appPath); got.status != http.StatusForbidden {
		t.Fatalf("status %d", got.status)
	}
	after := newSite(t, setup{origin: before.origin, store: before.store, mutable: []string{"registry.test/app:1.0"}, allow: []string{"registry.test/app"}})
	after.checkBoth(appPath, want(http.StatusOK, moved, "Content-Type", manifestType, "Docker-Content-Digest", digest, "Tlog-Exempt", "true"))
	after.untouched()
	denied := newSite(t, setup{origin: before.origin, mutable: []string{"registry.test/app:1.0"}, allow: []string{"registry.test/other"}})
	denied.checkBoth(appPath, wantError(http.StatusForbidden, "DENIED", "repository registry.test/app may not be pulled through this service", ""))
}

// A refusal and its line say whose record it was, where the log has identities.
func TestRecordedBy(t *testing.T) {
	store := logtest.New(1)
	s := newSite(t, setup{store: store, log: signedLog{store.Instance()}})
	manifest, _ := image("app")
	s.origin.push(t, "app", "1.0", manifest)
	s.do("GET", appPath)
	moved, _ := image("moved")
	s.origin.push(t, "app", "1.0", moved)
	got := s.do("GET", appPath)
	if got.status != http.StatusForbidden || !strings.Contains(got.body, `,"identity":"team@example.com","issuer":"https://issuer.example"}`) {
		t.Errorf("status %d, %s", got.status, got.body)
	}
	if lines := s.lines.wait(t, 2); !strings.Contains(lines[1], `"recordedBy":"team@example.com"`) {
		t.Errorf("logged: %s", lines[1])
	}
}

// A signedLog says of its records whose they are.
type signedLog struct{ *logtest.Instance }

func (l signedLog) Lookup(ctx context.Context, ref string) ([]record.Sighting, error) {
	found, err := l.Instance.Lookup(ctx, ref)
	found = slices.Clone(found)
	for i := range found {
		found[i].By = record.Identity{Issuer: "https://issuer.example", Subject: "team@example.com"}
	}
	return found, err
}
