package bench

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
	"github.com/tlogistry/tlogistry/internal/keyless"
	"github.com/tlogistry/tlogistry/internal/rekorlog"
)

// BenchmarkLookup looks up a recorded tag by a log that knows nothing yet,
// with everything that Rekor answers in memory: what is measured is the
// verification of one entry, and the codec around it.
func BenchmarkLookup(b *testing.B) {
	u, l := need(b, plain), need(b, quickLog)
	tag := u.tagged(b, "verified-", 1)[0]
	once(b, function(b, l, u.near, "REKOR_SETTLE=0s"), 1, tagPath(tag))
	age()
	base, err := url.Parse(l.variable("REKOR_URL"))
	if err != nil {
		b.Fatal(err)
	}
	tape := &tape{answers: make(map[string]taped)}
	trust := rekorlog.FileTrust(l.variable("TRUSTED_ROOT"))
	lookup := func() {
		log := rekorlog.New(rekorlog.Config{
			URL: base, Timeout: time.Minute, Signer: account{}, Issuer: l.variable("IDENTITY_ISSUER"), Trust: trust, Transport: tape,
		})
		s, err := log.Lookup(b.Context(), "index.docker.io/"+repository+":"+tag)
		if err != nil || len(s) != 1 {
			b.Fatal(s, err)
		}
	}
	lookup() // fills the tape and reads the trusted root
	b.ReportAllocs()
	for b.Loop() {
		lookup()
	}
}

// account is the service's identity; it signs nothing.
type account struct{}

func (account) Subject(context.Context) (string, error) { return sigstore.DefaultEmail, nil }
func (account) Prepare(context.Context)                 {}
func (account) Sign(context.Context, []byte) (keyless.Signature, error) {
	panic("nothing is to be signed")
}

// A tape answers a request that it has seen before as it was answered then.
type tape struct{ answers map[string]taped }

type taped struct {
	header http.Header
	body   []byte
}

func (p *tape) RoundTrip(r *http.Request) (*http.Response, error) {
	question, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	key := r.URL.Path + string(question)
	a, ok := p.answers[key]
	if !ok {
		r.Body = io.NopCloser(bytes.NewReader(question))
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil || resp.StatusCode != http.StatusOK {
			return resp, err
		}
		defer resp.Body.Close()
		if a.body, err = io.ReadAll(resp.Body); err != nil {
			return nil, err
		}
		a.header = resp.Header
		p.answers[key] = a
	}
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)), Request: r,
	}, nil
}
