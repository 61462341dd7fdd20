package page_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/ociref"
	"github.com/tlogistry/tlogistry/internal/page"
	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/upstream"
)

var update = flag.Bool("update", false, "write the golden files anew")

// none is a log without records.
func none(context.Context, string) ([]record.Sighting, error) { return nil, nil }

// serves is a registry whose tags all have a digest.
func serves(digest string) func(context.Context, ociref.Request) (string, error) {
	return func(context.Context, ociref.Request) (string, error) { return digest, nil }
}

func crowd(list ...record.Witness) func(context.Context, string, int) ([]record.Witness, int, error) {
	return func(context.Context, string, int) ([]record.Witness, int, error) { return list, 0, nil }
}

// unnamed is a log that holds a hash of the statement only.
func unnamed(_ context.Context, ref string) ([]record.Sighting, error) {
	s := sighting(ref)
	s.Digest = ""
	return []record.Sighting{s}, nil
}

// old is an identity that an instance may trust.
var old = record.Identity{Issuer: issuer, Subject: "old@acme.example"}

// trusted is a log whose deciding record is by another identity, and what
// anybody recorded there.
func trusted() *world {
	by := witness(old.Subject, one, 7)
	return &world{
		lookup: func(_ context.Context, ref string) ([]record.Sighting, error) {
			s := by.Sighting
			s.Ref, s.By = ref, by.Identity
			return []record.Sighting{s}, nil
		},
		others: crowd(by),
	}
}

// A state is what a page can have to tell.
type state struct {
	name  string
	world *world
	path  string   // of alpine:3.16.0 if empty
	local bool     // on an embedded log
	trust bool     // others' records count as well
	says  []string // without where a line may be broken
}

func states() []state {
	broken := errors.New("secret detail")
	absent := &upstream.Error{Status: 404, Code: "MANIFEST_UNKNOWN", Message: `index.docker.io/library/alpine:3.16.0 is not known to registry index.docker.io; it says "gone"`}
	return []state{
		{name: "same", world: &world{}, says: []string{"<strong>Same.</strong>", "Nobody else recorded this tag", "Pull, checked"}},
		{name: "moved", world: &world{registry: serves(two)}, says: []string{"<strong>Moved.</strong>", one, two}},
		{name: "never", world: &world{lookup: none, registry: serves(two)}, says: []string{"<strong>Never recorded.</strong>", two}},
		{name: "absent", world: &world{registry: func(context.Context, ociref.Request) (string, error) { return "", absent }},
			says: []string{"<strong>Recorded.</strong>", one, "Cannot be told: index.docker.io/library/alpine:3.16.0 is not known to registry index.docker.io; it says &#34;gone&#34;"}},
		{name: "never-absent", world: &world{lookup: none, registry: func(context.Context, ociref.Request) (string, error) { return "", broken }},
			says: []string{"<strong>Never recorded.</strong>", "Cannot be told: registry index.docker.io cannot be asked"}},
		{name: "unnamed-other", world: &world{lookup: unnamed, registry: serves(two)}, says: []string{"<strong>Moved.</strong>", "The log does not hold it"}},
		{name: "unnamed-same", world: &world{lookup: unnamed, resolve: func(_ context.Context, s record.Sighting, digest string) (record.Sighting, error) {
			s.Digest = digest
			return s, nil
		}}, says: []string{"<strong>Same.</strong>", one}},
		{name: "unnamed-absent", world: &world{
			lookup:   unnamed,
			resolve:  func(_ context.Context, s record.Sighting, _ string) (record.Sighting, error) { return s, broken }, // of no digest
			registry: func(context.Context, ociref.Request) (string, error) { return "", absent },
		}, says: []string{"<strong>Recorded.</strong>", "Not known: the log says a hash", "Cannot be told: "}},
		{name: "unproved", world: &world{proving: func(context.Context, record.Sighting) (record.Proof, error) { return record.Proof{}, broken }},
			says: []string{"<strong>Same.</strong>", "could not be asked for the proof"}},
		{name: "others", world: &world{others: crowd(witness("a@acme.example", one, 50), witness(own, two, 51), witness("b@acme.example", two, 52), witness("a@acme.example", two, 53), witness("c@acme.example", "", 54))},
			says: []string{"a@acme.example", ">same<", "b@acme.example", "<strong>other</strong>", "c@acme.example", "not known", "not in the log"}},
		{name: "never-others", world: &world{lookup: none, registry: serves(two), others: func(context.Context, string, int) ([]record.Witness, int, error) {
			return []record.Witness{witness("a@acme.example", one, 50), witness("b@acme.example", two, 52)}, 9950, nil
		}}, says: []string{"compared with what the registry serves now", "9950 more entries"}},
		{name: "others-broken", world: &world{others: func(context.Context, string, int) ([]record.Witness, int, error) { return nil, 0, broken }},
			says: []string{"<strong>Same.</strong>", "Not known at the moment"}},
		{name: "embedded", world: &world{proving: func(context.Context, record.Sighting) (record.Proof, error) {
			p := proof()
			p.Certificate = nil
			return p, nil
		}}, local: true, says: []string{"<strong>Same.</strong>", `<a href="/tlog/tile/entries/000.p/43">`, "tlogistry.local/00&#43;11&#43;22"}},
		{name: "embedded-never", world: &world{lookup: none}, local: true, says: []string{"<strong>Never recorded.</strong>"}},
		{name: "pinned", world: &world{}, path: "/tag/alpine@" + one, says: []string{"A digest, never recorded."}},
		{name: "derived", world: &world{}, path: "/tag/alpine:sha256-" + strings.Repeat("0", 64) + ".att", says: []string{"derived from a digest", "Pull, unchecked"}},
		{name: "trusted", world: trusted(), trust: true, says: []string{"<strong>Same.</strong>", "Nobody else recorded this tag",
			"<dt>Recorded by</dt><dd>old@acme.example of https://issuer.example</dd>", "--trusted https://issuer.example=old@acme.example"}},
		{name: "trusted-never", world: &world{lookup: none}, trust: true, says: []string{"no record of this tag by this service or by an identity that it trusts."}},
		{name: "exempt", world: &world{}, path: "/tag/alpine:edge", says: []string{"<strong>Exempt, not recorded.</strong>", "Pull, unchecked"}},
	}
}

// TestStates compares each page's JSON with a golden file, which documents it,
// and checks that the HTML says the same. No page tells an error's details.
func TestStates(t *testing.T) {
	for _, s := range states() {
		t.Run(s.name, func(t *testing.T) {
			c := s.world.config()
			if s.local {
				c = s.world.embedded()
			}
			c.Mutable = mutable(t)
			if s.trust {
				c.Trusted = []record.Identity{old}
				c.Flags = append(c.Flags, "--trusted", old.Issuer+"="+old.Subject)
			}
			h := pages(t, c)
			path := s.path
			if path == "" {
				path = "/tag/alpine:3.16.0"
			}
			html, json := ask(h, "GET", path), ask(h, "GET", path+".json")
			text := body(t, html)
			text = strings.ReplaceAll(text, "<wbr>", "")
			checkHeader(t, html.Header, map[string]string{"Content-Type": htmlType, "Cache-Control": "private, max-age=10", "Content-Length": html.Header.Get("Content-Length")})
			checkHeader(t, json.Header, map[string]string{"Content-Type": jsonType, "Cache-Control": "private, max-age=10", "Content-Length": json.Header.Get("Content-Length")})
			if html.StatusCode != http.StatusOK || json.StatusCode != http.StatusOK {
				t.Errorf("%s and %s", html.Status, json.Status)
			}
			for _, want := range s.says {
				if !strings.Contains(text, want) {
					t.Errorf("the page lacks %q:\n%s", want, text)
				}
			}
			got := []byte(body(t, json))
			if strings.Contains(text+string(got), "secret") {
				t.Errorf("details of an error:\n%s\n%s", text, got)
			}
			compare(t, s.name+".json", got)
			if again := body(t, ask(h, "GET", path, "Accept: application/json")); again != string(got) {
				t.Errorf("by Accept another JSON:\n%s", again)
			}
		})
	}
}

// TestGoldenPage compares one whole page.
func TestGoldenPage(t *testing.T) {
	w := &world{registry: serves(two), others: crowd(witness("b@acme.example", two, 52))}
	html := body(t, ask(pages(t, w.config()), "GET", "/tag/alpine:3.16.0"))
	before, rest, _ := strings.Cut(html, "<style>")
	_, after, _ := strings.Cut(rest, "</style>")
	compare(t, "moved.html", []byte(before+"<style></style>"+after))
}

func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is\n%s\nwant\n%s", file, got, want)
	}
}

// A sighting that turns out to be nobody's of ours is left out, as for a pull.
func TestForeignSighting(t *testing.T) {
	w := &world{
		lookup: func(_ context.Context, ref string) ([]record.Sighting, error) {
			foreign, mine := sighting(ref), sighting(ref)
			foreign.Digest, foreign.UUID, foreign.Index = "", "ee", 7
			return []record.Sighting{foreign, mine}, nil
		},
		resolve: func(_ context.Context, s record.Sighting, _ string) (record.Sighting, error) {
			return s, record.ErrForeign
		},
	}
	got := body(t, ask(pages(t, w.config()), "GET", "/tag/alpine:3.16.0.json"))
	if !strings.Contains(got, `"verdict": "same"`) || !strings.Contains(got, `"logIndex": 42`) {
		t.Error(got)
	}
}

// TestLines has the commands to copy of several ways to reach the service.
func TestLines(t *testing.T) {
	w := &world{}
	hostileFlags := w.config()
	hostileFlags.Flags = []string{"--rekor", "https://a b;$(c)'d"}
	for _, test := range []struct {
		name    string
		c       page.Config
		headers []string
		want    []string
	}{
		{"plain", w.config(), nil, []string{
			`"pull": "docker pull front.example/alpine:3.16.0"`,
			`"from": "FROM alpine:3.16.0@` + one + `"`,
			`"verify": "tlogistry verify --rekor https://rekor.example --identity recorder@acme.example alpine:3.16.0"`}},
		{"port", w.config(), []string{"Host: localhost:8080"}, []string{`"pull": "docker pull localhost:8080/alpine:3.16.0"`}},
		{"IPv6", w.config(), []string{"Host: [::1]:8080"}, []string{`"pull": "docker pull '[::1]:8080/alpine:3.16.0'"`}},
		{"hostile host", w.config(), []string{"Host: a;rm -rf $HOME"}, []string{`"pull": "docker pull FRONT/alpine:3.16.0"`}},
		{"hostile flags", hostileFlags, nil, []string{`--rekor 'https://a b;$(c)'\\''d' --identity`}},
		{"embedded", w.embedded(), nil, []string{`"verify": "tlogistry verify --tlog http://front.example/tlog/ --key tlogistry.local/00+11+22 alpine:3.16.0"`}},
		{"embedded behind TLS", w.embedded(), []string{"X-Forwarded-Proto: https"}, []string{`--tlog https://front.example/tlog/ `}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := body(t, ask(pages(t, test.c), "GET", "/tag/alpine:3.16.0.json", test.headers...))
			got = strings.NewReplacer(`\u0026`, "&", `\u003e`, ">", `\u003c`, "<").Replace(got)
			for _, want := range test.want {
				if !strings.Contains(got, want) {
					t.Errorf("no %s in\n%s", want, got)
				}
			}
		})
	}
}

// TestHostile has a stranger's text in every field that strangers can write.
func TestHostile(t *testing.T) {
	const bad = `"'></code><script>alert(1)</script>&`
	w := &world{
		lookup: func(_ context.Context, ref string) ([]record.Sighting, error) {
			s := sighting(ref)
			s.Digest, s.UUID = bad, bad
			return []record.Sighting{s}, nil
		},
		proving: func(context.Context, record.Sighting) (record.Proof, error) {
			p := proof()
			p.Checkpoint, p.Origin = bad, bad
			p.Certificate.Identity = record.Identity{Issuer: bad, Subject: bad}
			p.Certificate.Serial = bad
			return p, nil
		},
		registry: func(context.Context, ociref.Request) (string, error) {
			return "", &upstream.Error{Message: bad}
		},
		others: func(context.Context, string, int) ([]record.Witness, int, error) {
			other := witness(bad, bad, 50)
			other.Identity.Issuer, other.UUID = bad, bad
			return []record.Witness{other}, 0, nil
		},
	}
	c := w.config()
	c.Entry = func(record.Sighting, record.Proof) string { return "javascript:alert(1)//" + bad }
	html := body(t, ask(pages(t, c), "GET", "/tag/alpine:3.16.0"))
	for _, s := range []string{"<script", "'></code>", `href="javascript`} {
		if strings.Contains(html, s) {
			t.Errorf("%q got in:\n%s", s, html)
		}
	}
	const escaped = `&#34;&#39;&gt;&lt;/code&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;`
	// Recorded and its FROM, reason, UUID, entry's text, six of the proof, three of the other's.
	if n := strings.Count(html, escaped); n != 13 {
		t.Errorf("%d times, want 13:\n%s", n, html)
	}
	json := body(t, ask(pages(t, c), "GET", "/tag/alpine:3.16.0.json"))
	if strings.ContainsAny(json, "<>&") {
		t.Errorf("JSON that a browser could take for a page:\n%s", json)
	}
}
