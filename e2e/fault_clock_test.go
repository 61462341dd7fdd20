package e2e

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tlogistry/tlogistry/internal/keyless"
	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/rekorlog"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// TestFaultClock runs the log on Rekor by a clock that is wrong, in the bubble
// of a synctest, against a Sigstore whose clocks are right. Records are made and
// found as ever: their times are the log's own. And there is one of each tag,
// whoever's clock is right.
func TestFaultClock(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	outside := newOutsider(t)
	right := w.direct(t)
	for name, off := range map[string]time.Duration{
		"an hour slow": -time.Hour,
		"an hour fast": time.Hour,
		"right":        0,
		"years slow":   -20 * 365 * 24 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			prefix := strings.ReplaceAll(name, " ", "-")
			w.tag(t, prefix+"-there", w.one)
			there := right.get(t, "app", prefix+"-there").header.Get("Tlog-Uuid")
			now := time.Now().Round(0) // without the monotonic clock, which stays outside
			var own record.Sighting
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(now.Add(off)))
				first := w.wrongClock(t, outside, nil)
				own = first.records(t, prefix+"-1", w.one, now)
				if s := first.finds(t, prefix+"-there"); s.UUID != there {
					t.Errorf("the record made by the right clock is %+v, want %s", s, there)
				}
				second := w.wrongClock(t, outside, nil)
				if s := second.finds(t, prefix+"-1"); s != own {
					t.Errorf("another process finds %+v, want %+v", s, own)
				}
				if _, err := second.Add(t.Context(), refOf(prefix+"-1"), w.two); !errors.Is(err, record.ErrRecorded) {
					t.Errorf("recorded again: %v", err)
				}
				// A certificate that this process takes for expired is another one.
				time.Sleep(2 * time.Hour)
				first.records(t, prefix+"-2", w.one, now)
			})
			w.tag(t, prefix+"-1", w.two)
			a := right.get(t, "app", prefix+"-1")
			a.mustRefuse(t, w.one, w.two)
			a.mustBeRecord(t, own.UUID)
			for _, tag := range []string{"-1", "-2", "-there"} {
				if n := w.records(t, prefix+tag, w.one); n != 1 {
					t.Errorf("%d records of %s", n, tag)
				}
			}
		})
	}
}

// TestFaultClocks has Fulcio's clock and Rekor's an hour apart. Nothing can be
// recorded then, as no certificate is valid when it is used, and nothing is
// served. Once they agree, the tag is recorded, once.
func TestFaultClocks(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	outside := newOutsider(t)
	for name, off := range map[string]time.Duration{"fast": time.Hour, "slow": -time.Hour} {
		t.Run("fulcio an hour "+name, func(t *testing.T) {
			author := forger(t, w.CA(), sigstore.Leaf{Email: sigstore.DefaultEmail, Issuer: w.IssuerURL, NotBefore: time.Now().Add(off)})
			l := w.wrongClock(t, outside, authorSigner{author})
			for range 2 {
				s, err := l.Add(t.Context(), refOf(name), w.one)
				if err == nil || !strings.Contains(err.Error(), "verify the entry written: ") {
					t.Fatalf("recorded: %+v, %v", s, err)
				}
				if found, err := l.Lookup(t.Context(), refOf(name)); err != nil || len(found) != 0 {
					t.Errorf("found %+v, %v", found, err)
				}
			}
			w.tag(t, name, w.two)
			svc := w.direct(t)
			svc.get(t, "app", name).mustServe(t, w.two)
			w.tag(t, name, w.one)
			svc.get(t, "app", name).mustRefuse(t, w.two, w.one)
			w.direct(t).get(t, "app", name).mustRefuse(t, w.two, w.one)
		})
	}
}

// A clockLog is a log on Rekor that runs by the bubble's clock.
type clockLog struct{ *rekorlog.Log }

// wrongClock returns a log as a new process has it, which ends with the test.
func (w *rekorWorld) wrongClock(t *testing.T, outside *outsider, signer rekorlog.Signer) clockLog {
	t.Helper()
	return w.clockLog(t, outside, signer, rekorlog.FileTrust(w.TrustedRootPath))
}

// clockLog returns a log that is signed by signer, or with Fulcio's certificates
// if that is nil, and trusts by trust.
func (w *rekorWorld) clockLog(t *testing.T, outside *outsider, signer rekorlog.Signer, trust *rekorlog.Trust) clockLog {
	t.Helper()
	u, err := url.Parse(w.RekorURL)
	must(t, err)
	if signer == nil {
		own := keyless.New(keyless.Config{
			Tokens: metadataTokens{w.MetadataHost, &http.Client{Transport: outside}}, FulcioURL: w.FulcioURL, Transport: outside,
			Timeout: time.Minute, Audience: sigstore.Audience, Issuer: w.IssuerURL,
		})
		t.Cleanup(own.Close)
		signer = own
	}
	l := rekorlog.New(rekorlog.Config{
		URL: u, Timeout: time.Minute, Settle: 250 * time.Millisecond, Signer: signer, Issuer: w.IssuerURL,
		Trust: trust, Transport: outside,
	})
	t.Cleanup(l.Close)
	return clockLog{l}
}

// records makes the first record of a tag, at about now by the log's clock.
func (l clockLog) records(t *testing.T, tag, digest string, now time.Time) record.Sighting {
	t.Helper()
	if found, err := l.Lookup(t.Context(), refOf(tag)); err != nil || len(found) != 0 {
		t.Fatalf("%s before: %+v, %v", tag, found, err)
	}
	s, err := l.Add(t.Context(), refOf(tag), digest)
	must(t, err)
	if apart := s.Time.Sub(now).Abs(); apart > 5*time.Minute {
		t.Errorf("%s was recorded at %v, which is %v off", tag, s.Time, apart)
	}
	if found := l.finds(t, tag); found != s {
		t.Errorf("found %+v, recorded %+v", found, s)
	}
	return s
}

// finds looks up the only record of a tag.
func (l clockLog) finds(t *testing.T, tag string) record.Sighting {
	t.Helper()
	found, err := l.Lookup(t.Context(), refOf(tag))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %+v, %v", tag, found, err)
	}
	return found[0]
}

// An authorSigner signs with one certificate for ever.
type authorSigner struct{ author *sigstore.Author }

func (s authorSigner) Subject(context.Context) (string, error) { return sigstore.DefaultEmail, nil }
func (s authorSigner) Prepare(context.Context)                 {}

func (s authorSigner) Sign(ctx context.Context, message []byte) (keyless.Signature, error) {
	sig, _, err := s.author.Key.SignData(ctx, message)
	return keyless.Signature{Certificate: s.author.Certificate, Bytes: sig}, err
}

// metadataTokens asks the metadata server, as keyless.Metadata does.
type metadataTokens struct {
	host   string
	client *http.Client
}

func (m metadataTokens) Email(ctx context.Context) (string, error) { return m.get(ctx, "email") }

func (m metadataTokens) Token(ctx context.Context, audience string) (string, error) {
	return m.get(ctx, "identity?format=full&audience="+url.QueryEscape(audience))
}

func (m metadataTokens) get(ctx context.Context, what string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.host+"/computeMetadata/v1/instance/service-accounts/default/"+what, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Metadata-Flavor", "Google")
	resp, err := m.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}
