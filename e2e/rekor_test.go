package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/internal/record"

	"github.com/tlogistry/tlogistry/e2e/registry"
	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// The paths of Rekor's that the service asks.
const (
	searchPath   = "/api/v1/index/retrieve"
	retrievePath = "/api/v1/log/entries/retrieve"
	createPath   = "/api/v1/log/entries"
)

// A rekorWorld is a Sigstore with a proxy in front of its Rekor, and a
// registry with one repository, docker.io/library/app, that holds two images.
type rekorWorld struct {
	*sigstore.Sigstore
	registry *registry.Registry
	rekor    *sigstore.Proxy
	one, two string // digests
}

func newRekorWorld(t testing.TB, o sigstore.Options) *rekorWorld {
	t.Helper()
	w := &rekorWorld{Sigstore: startSigstore(t, o), registry: startRegistry(t, registry.Options{})}
	w.rekor = proxied(t, w.RekorURL)
	w.one = push(t, w.registry, "library/app", "one", registry.Variant{Name: "one", Single: true})
	w.two = push(t, w.registry, "library/app", "two", registry.Variant{Name: "two", Single: true})
	return w
}

// env is the environment of a service that asks Rekor itself. Where only one
// instance writes, there is nothing to settle: nobody waits for a record to be
// older, neither its writer nor who finds it.
func (w *rekorWorld) env(more ...string) []string {
	return append(append(w.Env(), "UPSTREAMS="+w.registry.Upstreams(), "REKOR_SETTLE=0s", "NEW_RECORDS_PER_MINUTE=0"), more...)
}

// direct starts a service that asks Rekor itself.
func (w *rekorWorld) direct(t testing.TB, env ...string) *service {
	t.Helper()
	return start(t, w.env(env...)...)
}

// behind starts a service that asks Rekor through the proxy.
func (w *rekorWorld) behind(t testing.TB, env ...string) *service {
	t.Helper()
	return start(t, w.env(append([]string{"REKOR_URL=" + w.rekor.URL}, env...)...)...)
}

// tag makes a tag of the repository name a digest.
func (w *rekorWorld) tag(t testing.TB, tag, digest string) {
	t.Helper()
	move(t, w.registry, "library/app", tag, digest)
}

func (w *rekorWorld) identity() record.Identity {
	return record.Identity{Issuer: w.IssuerURL, Subject: sigstore.DefaultEmail}
}

// refOf is the reference of a tag of the repository.
func refOf(tag string) string { return "index.docker.io/library/app:" + tag }

// statement is the instance's record of a tag.
func (w *rekorWorld) statement(t testing.TB, tag, digest string) []byte {
	t.Helper()
	b, err := record.Statement{Identity: w.identity(), Ref: refOf(tag), Digest: digest}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ownSubject is the key under which the index has the instance's records of a tag.
func (w *rekorWorld) ownSubject(tag string) string {
	own := w.identity().OwnSubject(refOf(tag))
	return "sha256:" + hex.EncodeToString(own[:])
}

// author returns a writer with a certificate of Fulcio's.
func (w *rekorWorld) author(t testing.TB, email string) *sigstore.Author {
	t.Helper()
	a, err := w.Author(t.Context(), email)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// forger returns a writer with a certificate as c issues it.
func forger(t testing.TB, c *sigstore.CA, l sigstore.Leaf) *sigstore.Author {
	t.Helper()
	a, err := c.Author(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// settled waits until the log shows all that it has answered a create for, under
// every subject and with its statement.
func (w *rekorWorld) settled(t testing.TB) {
	t.Helper()
	if err := w.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// logged logs a proposal, waits until the index has it under the tag's own
// subject, and returns its UUID.
func (w *rekorWorld) logged(t testing.TB, tag string, proposal []byte) string {
	t.Helper()
	uuid, _, err := w.Create(t.Context(), proposal)
	if err != nil {
		t.Fatal(err)
	}
	w.indexed(t, tag, uuid)
	return uuid
}

// indexed waits until the index has an entry under the tag's own subject.
func (w *rekorWorld) indexed(t testing.TB, tag, uuid string) {
	t.Helper()
	within(t, "entry "+uuid+" in the index", func() bool {
		uuids, err := w.Search(t.Context(), w.ownSubject(tag))
		if err != nil {
			t.Fatal(err)
		}
		return slices.Contains(uuids, uuid)
	})
}

// shown waits until the index has an entry of the tag: an instance that does not
// know of it and looks before that writes another one.
func (w *rekorWorld) shown(t testing.TB, tag string) {
	t.Helper()
	within(t, "entry of "+tag+" in the index", func() bool {
		uuids, err := w.Search(t.Context(), w.ownSubject(tag))
		return err == nil && len(uuids) > 0
	})
}

// intoto logs a statement signed by a as kind intoto 0.0.2.
func (w *rekorWorld) intoto(t testing.TB, tag string, a *sigstore.Author, statement []byte) string {
	t.Helper()
	e, err := a.Sign(t.Context(), statement)
	if err != nil {
		t.Fatal(err)
	}
	proposal, err := e.InToto()
	if err != nil {
		t.Fatal(err)
	}
	return w.logged(t, tag, proposal)
}

// mustHoldFew checks that nothing is logged again and again under faults. A
// second record of one statement can be: of a create whose connection broke, that
// the log got when its sender had given up and looked. It changes nothing.
func (w *rekorWorld) mustHoldFew(t testing.TB) {
	t.Helper()
	for hash, n := range w.written(t) {
		if n > 2 {
			t.Errorf("%d records of one tag and digest: %x", n, hash)
		}
	}
}

// written counts the log's entries by the statement whose hash they hold. It
// reads the log itself, not the index.
func (w *rekorWorld) written(t testing.TB) map[[32]byte]int {
	t.Helper()
	var log struct{ TreeSize int }
	getJSON(t, w.RekorURL+"/api/v1/log", &log)
	counts := make(map[[32]byte]int)
	for i := range log.TreeSize {
		var entries map[string]struct{ Body []byte }
		getJSON(t, w.RekorURL+createPath+"?logIndex="+strconv.Itoa(i), &entries)
		for _, e := range entries {
			var body struct {
				Spec struct {
					PayloadHash struct{ Value string } // dsse
					Content     struct {
						PayloadHash struct{ Value string } // intoto
					}
				}
			}
			if err := json.Unmarshal(e.Body, &body); err != nil {
				t.Fatal(err)
			}
			hash, err := hex.DecodeString(body.Spec.PayloadHash.Value + body.Spec.Content.PayloadHash.Value)
			if err != nil || len(hash) != sha256.Size {
				continue
			}
			counts[[32]byte(hash)]++
		}
	}
	return counts
}

// records returns how many records of a tag with a digest the log holds.
func (w *rekorWorld) records(t testing.TB, tag, digest string) int {
	t.Helper()
	return w.written(t)[sha256.Sum256(w.statement(t, tag, digest))]
}

func getJSON(t testing.TB, url string, v any) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: status %d, %v: %s", url, resp.StatusCode, err, b)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
}

// within waits until something is so.
func within(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s within %v", what, patience)
		}
	}
}

// mustSay waits until the service's log has a text.
func (s *service) mustSay(t testing.TB, text string) {
	t.Helper()
	within(t, "text "+text+" in the log", func() bool { return strings.Contains(s.logs.String(), text) })
}

// mustBeUnavailable fails the test unless the answer is the 503 that a log
// which cannot be used leads to, with nothing of the tag in it.
func (a answer) mustBeUnavailable(t testing.TB) {
	t.Helper()
	a.mustStatus(t, http.StatusServiceUnavailable)
	code, message := a.ociError(t)
	if code != "UNAVAILABLE" || message == "" {
		t.Errorf("error %s: %s; want UNAVAILABLE", code, message)
	}
	if n, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || n < 1 {
		t.Errorf("Retry-After is %q, want seconds", a.header.Get("Retry-After"))
	}
	for _, name := range []string{"Docker-Content-Digest", "Tlog-Uuid", "Tlog-Logindex", "Tlog-Integratedtime", "Tlog-First-Seen"} {
		if v := a.header.Get(name); v != "" {
			t.Errorf("%s is %q in a 503", name, v)
		}
	}
}

// mustRefuse fails the test unless the answer is the refusal of a tag that was
// recorded with one digest and moved to another. An empty recorded is one that
// the log does not hold any more.
func (a answer) mustRefuse(t testing.TB, recorded, served string) {
	t.Helper()
	a.mustStatus(t, http.StatusForbidden)
	code, message := a.ociError(t)
	want := "recorded as " + recorded + " at " + a.header.Get("Tlog-Integratedtime") + ", log index " + a.header.Get("Tlog-Logindex")
	if recorded == "" {
		want = "another digest was recorded at " + a.header.Get("Tlog-Integratedtime") + ", log index " + a.header.Get("Tlog-Logindex") + ", which the log does not hold"
	}
	want += "; the registry now serves " + served
	if code != "DENIED" || !strings.HasSuffix(message, want) {
		t.Errorf("error %s: %s\nwant DENIED: … %s", code, message, want)
	}
}

// mustBeRecord fails the test unless the answer's headers name the entry.
func (a answer) mustBeRecord(t testing.TB, uuid string) {
	t.Helper()
	if got := a.header.Get("Tlog-Uuid"); got != uuid {
		t.Errorf("Tlog-Uuid is %q, want %q", got, uuid)
	}
}
