package rekorlog

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/tlogistry/tlogistry/internal/record"
)

// identitiesOf opens a log of somebody's that also trusts these.
func identitiesOf(t *testing.T, address string, trusted ...record.Identity) *Log {
	t.Helper()
	return opened(t, address, func(context.Context) (root.TrustedMaterial, error) {
		return nil, errors.New("no trust is needed")
	}, trusted...)
}

// distrusting opens a log of somebody's whose trusted root trusts nobody.
func distrusting(t *testing.T, address string) *Log {
	t.Helper()
	return opened(t, address, func(context.Context) (root.TrustedMaterial, error) { return new(root.TrustedRoot), nil })
}

func opened(t *testing.T, address string, load func(context.Context) (root.TrustedMaterial, error), trusted ...record.Identity) *Log {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	l := New(Config{URL: u, Timeout: time.Minute, Signer: somebody{}, Issuer: "https://issuer.example", Trusted: trusted, Trust: newTrust(trustAge, load)})
	t.Cleanup(l.Close)
	return l
}

var (
	own    = record.Identity{Issuer: "https://issuer.example", Subject: "somebody@example.com"}
	friend = record.Identity{Issuer: "https://issuer.example", Subject: "friend@example.com"}
	flow   = record.Identity{Issuer: "https://ci.example", Subject: "https://github.com/acme/app/.github/workflows/a.yml@refs/heads/main"}
)

// TestSearchOfIdentities: each identity is searched for once, under its own
// subject, and where that is flooded once more, by its name: as an address, or
// as Rekor's subject if it is a URI. The own identity counts once.
func TestSearchOfIdentities(t *testing.T) {
	const ref = "index.docker.io/library/app:1"
	var mu sync.Mutex
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q map[string]string
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.URL.Path != "/api/v1/index/retrieve" {
			t.Errorf("%s: %v", r.URL, err)
		}
		mu.Lock()
		asked = append(asked, strings.Join([]string{q["hash"], q["operator"], q["email"], q["subject"]}, " "))
		mu.Unlock()
		ids := []string{}
		if q["operator"] == "" {
			for i := range manyHits + 1 {
				ids = append(ids, fmt.Sprintf("%080x", i))
			}
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(ids)
	}))
	defer server.Close()
	found, err := identitiesOf(t, server.URL, friend, own, flow).Lookup(t.Context(), ref)
	if err != nil || len(found) != 0 {
		t.Fatalf("found %v, %v", found, err)
	}
	hash := func(id record.Identity) string {
		sum := id.OwnSubject(ref)
		return "sha256:" + hex.EncodeToString(sum[:])
	}
	want := []string{
		hash(own) + "   ", hash(own) + " and " + own.Subject + " ",
		hash(friend) + "   ", hash(friend) + " and " + friend.Subject + " ",
		hash(flow) + "   ", hash(flow) + " and  " + flow.Subject,
	}
	slices.Sort(asked)
	slices.Sort(want)
	if !slices.Equal(asked, want) {
		t.Errorf("asked\n%s\nwant\n%s", strings.Join(asked, "\n"), strings.Join(want, "\n"))
	}
}

// TestSearchOfIdentitiesFails: without the answer for one identity there is
// none.
func TestSearchOfIdentitiesFails(t *testing.T) {
	const ref = "index.docker.io/library/app:1"
	for _, failing := range []record.Identity{own, friend, flow} {
		sum := failing.OwnSubject(ref)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var q struct{ Hash string }
			json.NewDecoder(r.Body).Decode(&q)
			if q.Hash == "sha256:"+hex.EncodeToString(sum[:]) {
				w.WriteHeader(http.StatusTeapot)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, "[]")
		}))
		found, err := identitiesOf(t, server.URL, friend, flow).Lookup(t.Context(), ref)
		if err == nil {
			t.Errorf("without an answer for %s: %v", failing.Subject, found)
		}
		server.Close()
	}
}

// TestIgnoredByIdentity: that an entry is no record by one identity does not
// say that it is none by another.
func TestIgnoredByIdentity(t *testing.T) {
	const ref, uuid = "index.docker.io/library/app:1", "00"
	l := identitiesOf(t, "http://127.0.0.1:1", friend)
	l.ignore(uuid, own.OwnSubject(ref), record.ErrForeign, nil)
	for id, want := range map[record.Identity]bool{own: true, friend: false} {
		if got := l.ignored(uuid, id.OwnSubject(ref)); got != want {
			t.Errorf("of %s: ignored %v", id.Subject, got)
		}
	}
	if l.ignored(uuid, own.OwnSubject(ref+"1")) {
		t.Error("of another reference: ignored")
	}
}

// TestAge: the least of all clocks and answers counts.
func TestAge(t *testing.T) {
	at := time.Unix(1000, 0)
	after := func(s int) time.Time { return at.Add(time.Duration(s) * time.Second) }
	for _, test := range []struct {
		asked time.Time
		dates []time.Time
		want  time.Duration
	}{
		{after(9), nil, 9 * time.Second},
		{after(9), []time.Time{{}}, 9 * time.Second},
		{after(9), []time.Time{after(10), after(3), {}}, 3 * time.Second},
		{after(2), []time.Time{after(3), after(60)}, 2 * time.Second},
		{after(2), []time.Time{after(-3)}, -3 * time.Second},
	} {
		if got := ageAt(at, test.asked, test.dates); got != test.want {
			t.Errorf("asked %v, dates %v: %v, want %v", test.asked, test.dates, got, test.want)
		}
	}
}
