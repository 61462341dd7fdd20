package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/sigstore/sigstore-go/pkg/sign"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
	"github.com/tlogistry/tlogistry/internal/record"
)

// TestForeign writes entries into the log that look like records of a tag with
// another digest and are none. All of them are in the log before the tag's own
// record, under the subject that the service looks for. They are ignored: the
// tag is recorded and served, a process that knows nothing finds the own record
// among them, and the refusal of a moved tag names that.
func TestForeign(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	cases := w.forged(t)
	maps.Copy(cases, w.misstated(t))
	w.ignores(t, cases, w.one)
}

// TestForeignWithoutStatements has the log keep no statements: then all that
// tells the forgeries from records is who signed them.
func TestForeignWithoutStatements(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{NoAttestations: true})
	w.ignores(t, w.forged(t), "")
}

// ignores pulls tags whose records are among foreign entries. In a refusal a
// process that did not write them names the digest that is given.
func (w *rekorWorld) ignores(t *testing.T, cases map[string]func(tag string) []byte, named string) {
	foreign := make(map[string]string)
	for _, tag := range slices.Sorted(maps.Keys(cases)) {
		w.tag(t, tag, w.one)
		foreign[tag] = w.logged(t, tag, cases[tag](tag))
	}
	svc := w.direct(t)
	own := make(map[string]string)
	for tag := range cases {
		first := svc.get(t, "app", tag)
		first.mustServe(t, w.one)
		own[tag] = first.header.Get("Tlog-Uuid")
		if first.header.Get("Tlog-First-Seen") != "true" || own[tag] == foreign[tag] {
			t.Errorf("%s: served by entry %s, first seen %q", tag, own[tag], first.header.Get("Tlog-First-Seen"))
		}
		w.logged(t, tag, cases[tag](tag)) // and once more, after the own record
	}
	w.settled(t)
	other, third := w.direct(t), w.direct(t)
	for tag := range cases {
		again := other.get(t, "app", tag)
		again.mustServe(t, w.one)
		again.mustBeRecord(t, own[tag])
		w.tag(t, tag, w.two)
		other.get(t, "app", tag).mustRefuse(t, w.one, w.two)
		if named == "" && tag != "other-authority" {
			continue // each takes a while, in which the statement may come
		}
		refused := third.get(t, "app", tag)
		refused.mustRefuse(t, named, w.two)
		refused.mustBeRecord(t, own[tag])
	}
}

// forged returns, by tag, what makes a proposal in another's name or with a
// certificate that is worth nothing.
func (w *rekorWorld) forged(t *testing.T) map[string]func(tag string) []byte {
	us := w.author(t, sigstore.DefaultEmail)
	other := w.author(t, "mallory@example.com")
	leaf := sigstore.Leaf{Email: sigstore.DefaultEmail, Issuer: w.IssuerURL}
	with := func(change func(*sigstore.Leaf)) sigstore.Leaf {
		l := leaf
		change(&l)
		return l
	}
	// genuine is the very statement that we would have made.
	genuine := func(a *sigstore.Author) func(string) []byte {
		return func(tag string) []byte { return proposal(t, a, w.statement(t, tag, w.two)) }
	}
	return map[string]func(string) []byte{
		"other-identity":          genuine(other),
		"other-authority":         genuine(forger(t, w.OtherCA(), leaf)),
		"other-issuer":            genuine(forger(t, w.CA(), with(func(l *sigstore.Leaf) { l.Issuer = "https://accounts.example.com" }))),
		"no-sct":                  genuine(forger(t, w.CA(), with(func(l *sigstore.Leaf) { l.NoSCT = true }))),
		"expired-certificate":     genuine(forger(t, w.CA(), with(func(l *sigstore.Leaf) { l.NotBefore = time.Now().Add(-20 * time.Minute) }))),
		"certificate-of-tomorrow": genuine(forger(t, w.CA(), with(func(l *sigstore.Leaf) { l.NotBefore = time.Now().Add(20 * time.Minute) }))),
		"self-made-certificate":   genuine(w.selfMade(t, 0)),
		"plain-key":               func(tag string) []byte { return keyProposal(t, w.statement(t, tag, w.two)) },
		"intoto-0.0.1":            func(tag string) []byte { return intoto001(t, us, w.statement(t, tag, w.two)) },
		"dsse-of-other": func(tag string) []byte {
			p, err := signed(t, other, w.statement(t, tag, w.two)).DSSE()
			if err != nil {
				t.Fatal(err)
			}
			return p
		},
		"hashedrekord-of-other": func(tag string) []byte { return hashedrekord(t, other, w.ownText(tag)) },
		"hashedrekord-of-ours":  func(tag string) []byte { return hashedrekord(t, us, w.ownText(tag)) },
	}
}

// misstated returns, by tag, what makes a proposal of a statement that is no
// record of the tag, most of them signed by us.
func (w *rekorWorld) misstated(t *testing.T) map[string]func(tag string) []byte {
	us := w.author(t, sigstore.DefaultEmail)
	other := w.author(t, "mallory@example.com")
	// ours is a statement that we sign but would not make.
	ours := func(make func(tag string) string) func(string) []byte {
		return func(tag string) []byte { return proposal(t, us, []byte(make(tag))) }
	}
	edited := func(old, new string) func(string) []byte {
		return ours(func(tag string) string {
			s := string(w.statement(t, tag, w.two))
			if strings.Count(s, old) == 0 {
				t.Fatalf("no %q in %s", old, s)
			}
			return strings.Replace(s, old, new, 1)
		})
	}
	another := record.Identity{Issuer: w.IssuerURL, Subject: "mallory@example.com"}
	return map[string]func(string) []byte{
		"of-another-tag": edited(`"reference":"index.docker.io/library/app:of-another-tag"`, `"reference":"index.docker.io/library/app:v1"`),
		"genuine-of-another-tag": ours(func(tag string) string {
			// Our genuine record of another tag with one more subject.
			s := string(w.statement(t, "v1", w.two))
			extra := fmt.Sprintf(`"subject":[{"name":"x","digest":{"sha256":%q}},`, strings.TrimPrefix(w.ownSubject(tag), "sha256:"))
			return strings.Replace(s, `"subject":[`, extra, 1)
		}),
		"extra-subject": edited(`],"predicateType"`, `,{"name":"x","digest":{"sha256":"`+strings.Repeat("0", 64)+`"}}],"predicateType"`),
		"two-digests":   edited(`"digest":{"sha256":`, `"digest":{"sha512":"00","sha256":`),
		"spaces":        edited(`"subject":[`, `"subject": [`),
		"extra-field":   edited(`"predicate":{`, `"predicate":{"note":"",`),
		"twice":         edited(`"predicate":{`, `"predicate":{"digest":"x",`),
		"trailing-line": ours(func(tag string) string { return string(w.statement(t, tag, w.two)) + "\n" }),
		"other-type":    edited(`tlogistry/record/v1`, `tlogistry/record/v2`),
		"other-version": edited(`in-toto.io/Statement/v1`, `in-toto.io/Statement/v0.1`),
		"other-repository": ours(func(tag string) string {
			return strings.ReplaceAll(string(w.statement(t, tag, w.two)), "docker.io/library/app", "docker.io/library/other")
		}),
		"in-the-name-of-another": ours(func(tag string) string {
			// Signed by us, about this tag, in the words of another identity.
			b, err := record.Statement{Identity: another, Ref: refOf(tag), Digest: w.two}.Encode()
			if err != nil {
				t.Fatal(err)
			}
			extra := fmt.Sprintf(`"subject":[{"name":"x","digest":{"sha256":%q}},`, strings.TrimPrefix(w.ownSubject(tag), "sha256:"))
			return strings.Replace(string(b), `"subject":[`, extra, 1)
		}),
		"no-record": ours(func(tag string) string {
			return fmt.Sprintf(`{"subject":[{"name":"x","digest":{"sha256":%q}}]}`, strings.TrimPrefix(w.ownSubject(tag), "sha256:"))
		}),
		"swapped-signatures": func(tag string) []byte { return swapped(t, us, other, w.statement(t, tag, w.two)) },
		"of-others-about-the-tag": func(tag string) []byte {
			b, err := record.Statement{Identity: another, Ref: refOf(tag), Digest: w.two}.Encode()
			if err != nil {
				t.Fatal(err)
			}
			extra := fmt.Sprintf(`"subject":[{"name":"x","digest":{"sha256":%q}},`, strings.TrimPrefix(w.ownSubject(tag), "sha256:"))
			return proposal(t, other, bytes.Replace(b, []byte(`"subject":[`), []byte(extra), 1))
		},
	}
}

// ownText is what the own subject of a tag is the hash of.
func (w *rekorWorld) ownText(tag string) []byte {
	return []byte("tlogistry own subject v1\n" + w.IssuerURL + "\n" + sigstore.DefaultEmail + "\n" + refOf(tag) + "\n")
}

func signed(t testing.TB, a *sigstore.Author, statement []byte) *sigstore.Envelope {
	t.Helper()
	e, err := a.Sign(t.Context(), statement)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// proposal is the proposal of kind intoto 0.0.2 of a statement signed by a.
func proposal(t testing.TB, a *sigstore.Author, statement []byte) []byte {
	t.Helper()
	p, err := signed(t, a, statement).InToto()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// keyProposal is a proposal of kind intoto that is signed with a plain key.
func keyProposal(t testing.TB, statement []byte) []byte {
	t.Helper()
	key, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		t.Fatal(err)
	}
	const mark = "certificate"
	p := proposal(t, &sigstore.Author{Key: key, Certificate: []byte(mark)}, statement)
	public, err := key.GetPublicKeyPem()
	if err != nil {
		t.Fatal(err)
	}
	was := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(mark)}))
	return bytes.Replace(p, []byte(was), []byte(base64.StdEncoding.EncodeToString([]byte(public))), 1)
}

// intoto001 is a proposal of kind intoto in the older version.
func intoto001(t testing.TB, a *sigstore.Author, statement []byte) []byte {
	t.Helper()
	e := signed(t, a, statement)
	envelope := marshal(t, dsse.Envelope{
		PayloadType: sigstore.PayloadType,
		Payload:     base64.StdEncoding.EncodeToString(e.Payload),
		Signatures:  []dsse.Signature{{Sig: base64.StdEncoding.EncodeToString(e.Signature)}},
	})
	return marshal(t, map[string]any{"apiVersion": "0.0.1", "kind": "intoto", "spec": map[string]any{
		"content":   map[string]any{"envelope": string(envelope)},
		"publicKey": certificatePEM(a),
	}})
}

// swapped is a proposal of a statement signed by a and by b, in which each
// signature stands beside the other's certificate. Rekor takes it: each
// certificate has a signature, and each signature a certificate.
func swapped(t testing.TB, a, b *sigstore.Author, statement []byte) []byte {
	t.Helper()
	var first, second map[string]any
	for p, v := range map[*sigstore.Author]*map[string]any{a: &first, b: &second} {
		if err := json.Unmarshal(proposal(t, p, statement), v); err != nil {
			t.Fatal(err)
		}
	}
	signatures := func(p map[string]any) (map[string]any, []any) {
		envelope := p["spec"].(object)["content"].(object)["envelope"].(object)
		return envelope, envelope["signatures"].([]any)
	}
	envelope, ours := signatures(first)
	_, theirs := signatures(second)
	x, y := ours[0].(object), theirs[0].(object)
	x["sig"], y["sig"] = y["sig"], x["sig"]
	envelope["signatures"] = []any{x, y}
	return marshal(t, first)
}

// hashedrekord is a proposal of kind hashedrekord that a signed text.
func hashedrekord(t testing.TB, a *sigstore.Author, text []byte) []byte {
	t.Helper()
	sig, _, err := a.Key.SignData(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	return marshal(t, map[string]any{"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": map[string]any{
		"data":      map[string]any{"hash": map[string]any{"algorithm": "sha256", "value": sha256Hex(string(text))}},
		"signature": map[string]any{"content": sig, "publicKey": map[string]any{"content": certificatePEM(a)}},
	}})
}

func certificatePEM(a *sigstore.Author) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate})
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
