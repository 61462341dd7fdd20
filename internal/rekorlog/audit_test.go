package rekorlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/sigstore-go/pkg/root"
)

// TestLargeIndex: a look-up's search has a limit that a record's subject does
// not need, an audit's one that all entries of an identity have room in.
func TestLargeIndex(t *testing.T) {
	for _, tc := range []struct {
		n     int
		limit int64
		err   error
	}{
		{25000, maxAnswer, nil},
		{25500, maxAnswer, errTooLong},
		{25500, maxLarge, nil},
		{60_000, maxLarge, nil},
	} {
		c := serve(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			sep := "["
			for i := range tc.n {
				fmt.Fprintf(w, `%s"%016x%064x"`, sep, 1, i)
				sep = ","
			}
			fmt.Fprint(w, "]")
		})
		ids, _, err := c.search(t.Context(), &models.SearchIndex{}, tc.limit)
		if !errors.Is(err, tc.err) || err == nil && len(ids) != tc.n {
			t.Errorf("%d hits, %d bytes at most: got %d, %v; want %v", tc.n, tc.limit, len(ids), err, tc.err)
		}
	}
}

// known is somebody whose subject is given.
type known struct {
	somebody
	subject string
}

func (k known) Subject(context.Context) (string, error) { return k.subject, nil }

// TestAuditQuery: an audit asks the index for what names the identity, whose
// subject may be a URI, and takes a long answer.
func TestAuditQuery(t *testing.T) {
	for subject, want := range map[string]string{
		"somebody@example.com":            `{"email":"somebody@example.com"}`,
		"https://example.com/workflow@v1": `{"subject":"https://example.com/workflow@v1"}`,
		"spiffe://example.com/front":      `{"subject":"spiffe://example.com/front"}`,
	} {
		t.Run(subject, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var asked json.RawMessage
				if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || string(asked) != want {
					t.Errorf("asked for %s, %v; want %s", asked, err, want)
				}
				answerJSON(w, "[%s]", strings.Repeat(" ", maxAnswer))
			}))
			t.Cleanup(server.Close)
			u, err := url.Parse(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			log := New(Config{URL: u, Timeout: time.Minute, Signer: known{subject: subject}, Issuer: "https://issuer.example", Trust: newTrust(trustAge, nil)})
			t.Cleanup(log.Close)
			if a, err := log.Audit(t.Context(), nil); err != nil || len(a.Records) != 0 {
				t.Errorf("got %v, %v", a, err)
			}
		})
	}
}

// TestOutdatedReaders: no reader takes what may be a record by a newer trusted
// root for foreign when that cannot be had.
func TestOutdatedReaders(t *testing.T) {
	for name, use := range map[string]func(*Log, context.Context) error{
		"Lookup":   func(l *Log, ctx context.Context) error { _, err := l.Lookup(ctx, someRef); return err },
		"Find":     func(l *Log, ctx context.Context) error { _, err := l.Find(ctx, someRef); return err },
		"Everyone": func(l *Log, ctx context.Context) error { _, err := l.Everyone(ctx, someRef); return err },
		"Some":     func(l *Log, ctx context.Context) error { _, _, err := l.Some(ctx, someRef, 10); return err },
		"Audit":    func(l *Log, ctx context.Context) error { _, err := l.Audit(ctx, nil); return err },
	} {
		t.Run(name, func(t *testing.T) {
			tiny := newTinyLog(t, untrustedBody(t), `{}`)
			loads := 0
			log := tiny.open(func(context.Context) (root.TrustedMaterial, error) {
				if loads++; loads == 1 {
					return tiny.trusted(), nil
				}
				return nil, errors.New("down")
			})
			if _, err := log.c.Trust.Material(t.Context()); err != nil {
				t.Fatal(err)
			}
			log.c.Trust.loaded = time.Now().Add(-staleTrust - time.Minute)
			if err := use(log, t.Context()); !errors.Is(err, errOutdated) {
				t.Errorf("got %v, want %v", err, errOutdated)
			}
		})
	}
}
