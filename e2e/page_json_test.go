package e2e

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// A shown is what the page of a tag tells in JSON.
type shown struct {
	verdict
	Name, Entry string
	Proof       *struct {
		Origin, RootHash, Checkpoint, Key string
		TreeSize, Position                int64
		Certificate                       *struct {
			Identity, Issuer, Serial string
			NotBefore, NotAfter      time.Time
		}
	}
	Others *struct {
		Records []struct {
			witness
			Verdict string
		}
		More  int
		Error string
	}
	Lines struct{ Pull, From, Verify string }
}

// show asks a service for a page as JSON.
func show(t *testing.T, s *service, path string) shown {
	t.Helper()
	a := s.do(t, http.MethodGet, path)
	a.mustStatus(t, http.StatusOK)
	var v shown
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
	return v
}

// TestPageJSON compares what pages tell with the log, which is asked directly,
// and with what verify prints. Its lines do what they say.
func TestPageJSON(t *testing.T) {
	w := newPageWorld(t)
	w.registry.Reset()
	same := show(t, w.svc, "/tag/app:same.json")
	if asked := w.registry.Counts(); asked.ManifestGet != 0 {
		t.Errorf("to look costs %v, want no GET of a manifest", asked)
	}
	if want := w.same.verdict("same", "same", w.one, w.one); !reflect.DeepEqual(same.verdict, want) {
		t.Errorf("same is %+v, want %+v", same.verdict, want)
	}
	for tag, want := range map[string]verdict{
		"moved":  w.moved.verdict("moved", "moved", w.one, w.two),
		"new":    {Reference: refOf("new"), Verdict: "never recorded", Current: w.two},
		"x.json": w.named.verdict("x.json", "same", w.one, w.one),
	} {
		if got := show(t, w.svc, "/tag/app:"+tag+"?format=json").verdict; !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %+v, want %+v", tag, got, want)
		}
		cli(t, w.env(), "verify", "-o", "json", "app:"+tag).mustPrint(t, map[string]int{"moved": 1, "new": 2}[tag], []verdict{want})
	}

	// The proof is the log's own.
	var entries map[string]struct {
		Body         string
		Verification struct {
			InclusionProof struct{ LogIndex int64 }
		}
	}
	if same.Entry != w.rekor.URL+createPath+"/"+w.same.uuid {
		t.Errorf("entry at %s", same.Entry)
	}
	getJSON(t, same.Entry, &entries)
	p := same.Proof
	if p == nil || p.Certificate == nil || len(entries) != 1 {
		t.Fatalf("proof %+v, entries %v", p, entries)
	}
	if got := entries[w.same.uuid].Verification.InclusionProof.LogIndex; p.Position != got {
		t.Errorf("position %d, the log says %d", p.Position, got)
	}
	if lines := strings.Split(p.Checkpoint, "\n"); lines[0] != p.Origin || lines[1] != fmt.Sprint(p.TreeSize) || p.TreeSize < 5 || len(p.RootHash) != 64 {
		t.Errorf("proof %+v", p)
	}
	cert := p.Certificate
	if at, err := time.Parse(time.RFC3339, w.same.time); err != nil || cert.Identity != sigstore.DefaultEmail || cert.Issuer != w.IssuerURL ||
		at.Before(cert.NotBefore) || at.After(cert.NotAfter) || serialIn(t, entries[w.same.uuid].Body) != cert.Serial {
		t.Errorf("certificate %+v, %v", cert, err)
	}

	// Others' records, compared.
	for tag, want := range map[string]string{"same": "same", "moved": "other", "foreign": "same", "new": ""} {
		o := show(t, w.svc, "/tag/app:"+tag+".json").Others
		if want == "" {
			if o == nil || len(o.Records) != 0 {
				t.Errorf("%s: others %+v", tag, o)
			}
			continue
		}
		if o == nil || len(o.Records) != 1 || o.Records[0].Identity != otherEmail || o.Records[0].Verdict != want {
			t.Errorf("%s: others %+v, want one that is %s", tag, o, want)
		}
	}

	// The lines.
	if want := "docker pull " + w.svc.host + "/app:same"; same.Lines.Pull != want || same.Lines.From != "FROM app:same@"+w.one {
		t.Errorf("lines %+v", same.Lines)
	}
	args := strings.Fields(strings.ReplaceAll(same.Lines.Verify, "trusted_root.json", w.TrustedRootPath))
	cli(t, []string{"UPSTREAMS=" + w.registry.Upstreams()}, append(args[1:], "-o", "json")...).mustPrint(t, 0, []verdict{same.verdict})
	trusted := show(t, w.trusting, "/tag/app:moved.json")
	want := w.moved.verdict("moved", "moved", w.one, w.two)
	want.Identity, want.Issuer = sigstore.DefaultEmail, w.IssuerURL
	if !reflect.DeepEqual(trusted.verdict, want) {
		t.Errorf("by a trusted identity it is %+v, want %+v", trusted.verdict, want)
	}
	args = strings.Fields(strings.ReplaceAll(trusted.Lines.Verify, "trusted_root.json", w.TrustedRootPath))
	cli(t, []string{"UPSTREAMS=" + w.registry.Upstreams()}, append(args[1:], "-o", "json")...).mustPrint(t, 1, []verdict{want})
	local := show(t, w.local, "/tag/app:same.json")
	args = strings.Fields(local.Lines.Verify)
	cli(t, []string{"UPSTREAMS=" + w.registry.Upstreams()}, append(args[1:], "-o", "json")...).mustPrint(t, 0, []verdict{local.verdict})
	if local.Proof == nil || local.Proof.Key == "" || local.Proof.Certificate != nil || local.Others != nil {
		t.Errorf("local %+v", local)
	}
	if a := w.local.do(t, http.MethodGet, local.Entry); a.status != http.StatusOK || !strings.Contains(a.body, refOf("same")) {
		t.Errorf("the entry is not at %s: %d", local.Entry, a.status)
	}
	if n := w.rekor.Counts()["POST "+createPath]; n != 0 {
		t.Errorf("%d entries were written by looking", n)
	}
}

// TestPageFlood has many entries under a tag's name: a page reads a few.
func TestPageFlood(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	svc := w.behind(t)
	w.tag(t, "flooded", w.one)
	record := pulled(t, svc, "flooded", w.one)
	a := w.author(t, "flood@example.com")
	for range 70 {
		w.writes(t, "flood@example.com", proposal(t, a, w.recordBy(t, "flood@example.com", "flooded", w.two)))
	}
	w.settled(t)
	w.rekor.Reset()
	v := show(t, svc, "/tag/app:flooded.json")
	if v.UUID != record.uuid || v.Verdict != "same" || v.Others == nil || v.Others.More < 20 || len(v.Others.Records) > 1 {
		t.Errorf("%+v", v)
	}
	// The record is known to this process: one for its proof, and five for 50 entries.
	if c := w.rekor.Counts(); c["POST "+retrievePath] != 6 || c["POST "+searchPath] != 1 {
		t.Errorf("it cost %v, want one search and six requests for entries", c)
	}
}

// serialIn returns the serial number of the certificate in an entry's body.
func serialIn(t *testing.T, body string) string {
	t.Helper()
	var entry struct {
		Spec struct {
			Content struct {
				Envelope struct {
					Signatures []struct{ PublicKey []byte }
				}
			}
		}
	}
	text, err := base64.StdEncoding.DecodeString(body)
	if err == nil {
		err = json.Unmarshal(text, &entry)
	}
	if err != nil || len(entry.Spec.Content.Envelope.Signatures) != 1 {
		t.Fatalf("%v in %s", err, text)
	}
	block, _ := pem.Decode(entry.Spec.Content.Envelope.Signatures[0].PublicKey)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(cert.SerialNumber.Bytes())
}
