package e2e

import (
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// An object is a JSON object that is about to be changed.
type object = map[string]any

// member returns a member of an entry by its path.
func member(e object, path ...string) (parent object, name string) {
	for _, step := range path[:len(path)-1] {
		e = e[step].(object)
	}
	return e, path[len(path)-1]
}

// put sets a member of an entry.
func put(v any, path ...string) func(object) {
	return func(e object) {
		parent, name := member(e, path...)
		parent[name] = v
	}
}

// cut removes a member of an entry.
func cut(path ...string) func(object) {
	return func(e object) {
		parent, name := member(e, path...)
		delete(parent, name)
	}
}

// plus adds to a number of an entry.
func plus(n int64, path ...string) func(object) {
	return func(e object) {
		parent, name := member(e, path...)
		was, _ := parent[name].(json.Number).Int64()
		parent[name] = was + n
	}
}

// flip changes one digit in the middle of hexadecimal text of an entry.
func flip(path ...string) func(object) {
	return text(flipDigit, path...)
}

func flipDigit(s string) string {
	i := len(s) / 2
	if s[i] == '0' {
		return s[:i] + "1" + s[i+1:]
	}
	return s[:i] + "0" + s[i+1:]
}

// text changes a text of an entry.
func text(change func(string) string, path ...string) func(object) {
	return func(e object) {
		parent, name := member(e, path...)
		parent[name] = change(parent[name].(string))
	}
}

// bytes64 changes the bytes of a text that is their base64.
func bytes64(change func([]byte) []byte, path ...string) func(object) {
	return text(func(s string) string {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			panic(err)
		}
		return base64.StdEncoding.EncodeToString(change(b))
	}, path...)
}

func flipByte(b []byte) []byte {
	b = slices.Clone(b)
	b[len(b)/2] ^= 1
	return b
}

// rawSignature writes an ECDSA signature as IEEE P1363 does: two numbers of 32
// bytes, and no ASN.1.
func rawSignature(b []byte) []byte {
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(b, &sig); err != nil {
		panic(err)
	}
	raw := make([]byte, 64)
	sig.R.FillBytes(raw[:32])
	sig.S.FillBytes(raw[32:])
	return raw
}

// hashes changes the hashes of an entry's inclusion proof.
func hashes(change func([]any) []any) func(object) {
	return func(e object) {
		parent, name := member(e, "verification", "inclusionProof", "hashes")
		parent[name] = change(parent[name].([]any))
	}
}

// checkpoint changes the text of an entry's checkpoint.
func checkpoint(change func(string) string) func(object) {
	return text(change, "verification", "inclusionProof", "checkpoint")
}

// line changes a line of text.
func line(n int, change func(string) string) func(string) string {
	return func(s string) string {
		lines := strings.Split(s, "\n")
		lines[n] = change(lines[n])
		return strings.Join(lines, "\n")
	}
}

func become(s string) func(string) string { return func(string) string { return s } }

func appended(s string) func(string) string { return func(was string) string { return was + s } }

// tampered are the changes to an entry that its log cannot have made.
func tampered(other object) map[string]func(object) {
	const zeros = "0000000000000000000000000000000000000000000000000000000000000000"
	proof := func(name string) []string { return []string{"verification", "inclusionProof", name} }
	set := []string{"verification", "signedEntryTimestamp"}
	otherVerification := other["verification"].(object)
	return map[string]func(object){
		"set-flipped":      bytes64(flipByte, set...),
		"set-encoding":     bytes64(rawSignature, set...), // the same signature, as it is written elsewhere
		"set-of-another":   put(otherVerification["signedEntryTimestamp"], set...),
		"set-empty":        put("", set...),
		"set-null":         put(nil, set...),
		"set-missing":      cut(set...),
		"set-not-base64":   put("!", set...),
		"set-number":       put(1, set...),
		"time-later":       plus(1, "integratedTime"),
		"time-earlier":     plus(-1, "integratedTime"),
		"time-of-old":      plus(-86400, "integratedTime"), // the certificate is not valid then
		"time-of-next-day": plus(86400, "integratedTime"),
		"time-zero":        put(0, "integratedTime"),
		"time-text":        put("now", "integratedTime"),
		"time-null":        put(nil, "integratedTime"),
		"time-missing":     cut("integratedTime"),
		"index-higher":     plus(1, "logIndex"),
		"index-lower":      plus(-1, "logIndex"),
		"index-negative":   put(-1, "logIndex"),
		"index-fraction":   put(1.5, "logIndex"),
		"index-null":       put(nil, "logIndex"),
		"index-missing":    cut("logIndex"),
		"log-flipped":      flip("logID"),
		"log-upper-case":   text(strings.ToUpper, "logID"),
		"log-empty":        put("", "logID"),
		"log-null":         put(nil, "logID"),
		"log-missing":      cut("logID"),
		"body-flipped":     bytes64(flipByte, "body"),
		"body-of-another":  put(other["body"], "body"),
		"body-spaced":      bytes64(func(b []byte) []byte { return append(b, ' ') }, "body"),
		"body-broken-line": text(func(s string) string { return s[:8] + "\n" + s[8:] }, "body"),
		"body-not-base64":  put("!", "body"),
		"body-empty":       put("", "body"),
		"body-object":      put(object{}, "body"),
		"body-null":        put(nil, "body"),
		"body-missing":     cut("body"),

		"verification-missing":    cut("verification"),
		"verification-null":       put(nil, "verification"),
		"verification-empty":      put(object{}, "verification"),
		"verification-of-another": put(otherVerification, "verification"),
		"proof-missing":           cut("verification", "inclusionProof"),
		"proof-null":              put(nil, "verification", "inclusionProof"),
		"proof-empty":             put(object{}, "verification", "inclusionProof"),
		"proof-of-another":        put(otherVerification["inclusionProof"], "verification", "inclusionProof"),
		"hash-flipped":            hashes(func(h []any) []any { h[0] = flipDigit(h[0].(string)); return h }),
		"hash-last-flipped":       hashes(func(h []any) []any { h[len(h)-1] = flipDigit(h[len(h)-1].(string)); return h }),
		"hash-middle-flipped":     hashes(func(h []any) []any { h[len(h)/2] = flipDigit(h[len(h)/2].(string)); return h }),
		"hash-short":              hashes(func(h []any) []any { h[0] = h[0].(string)[2:]; return h }),
		"hash-no-hex":             hashes(func(h []any) []any { h[0] = "x"; return h }),
		"hashes-one-less":         hashes(func(h []any) []any { return h[1:] }),
		"hashes-one-more":         hashes(func(h []any) []any { return append(h, zeros) }),
		"hashes-swapped":          hashes(func(h []any) []any { slices.Reverse(h); return h }),
		"hashes-none":             hashes(func([]any) []any { return nil }),
		"root-flipped":            flip(proof("rootHash")...),
		"root-null":               put(nil, proof("rootHash")...),
		"root-missing":            cut(proof("rootHash")...),
		"size-one-more":           plus(1, proof("treeSize")...),
		"size-one-less":           plus(-1, proof("treeSize")...),
		"size-negative":           put(-1, proof("treeSize")...),
		"size-missing":            cut(proof("treeSize")...),
		"position-one-more":       plus(1, proof("logIndex")...),
		"position-one-less":       plus(-1, proof("logIndex")...),
		"position-negative":       put(-1, proof("logIndex")...),
		"position-missing":        cut(proof("logIndex")...),

		"checkpoint-origin":       checkpoint(line(0, appended("0"))),
		"checkpoint-size":         checkpoint(line(1, appended("0"))),
		"checkpoint-root":         checkpoint(line(2, become("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))),
		"checkpoint-more-text":    checkpoint(line(2, appended("\nmore"))),
		"checkpoint-signature":    checkpoint(line(4, func(s string) string { return s[:len(s)-8] + flipDigit(s[len(s)-8:]) })),
		"checkpoint-no-signature": checkpoint(func(s string) string { return s[:strings.Index(s, "\n\n")+2] }),
		"checkpoint-unsigned":     checkpoint(func(s string) string { return s[:strings.Index(s, "\n\n")+1] }),
		"checkpoint-second-signature": checkpoint(func(s string) string {
			return s + "— somebody " + base64.StdEncoding.EncodeToString(make([]byte, 70)) + "\n"
		}),
		"checkpoint-of-another": put(otherVerification["inclusionProof"].(object)["checkpoint"], proof("checkpoint")...),
		"checkpoint-empty":      put("", proof("checkpoint")...),
		"checkpoint-null":       put(nil, proof("checkpoint")...),
		"checkpoint-missing":    cut(proof("checkpoint")...),
	}
}

// unreadable are the changes after which an entry is none by its form. An answer
// to a create that holds one is as good as lost: the create is made again, and
// found to be done.
var unreadable = map[string]bool{"set-not-base64": true, "set-number": true, "time-text": true, "index-fraction": true}

// TestTamperedEntry changes what Rekor answers about an entry, on the way, in
// every field that the log vouches for. It is as if the log had not answered:
// a tag that is recorded is neither served nor recorded again, and one that is
// not is not served either. When the tampering ends both are.
func TestTamperedEntry(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	writer, svc := w.direct(t), w.behind(t)
	_, other := w.anotherEntry(t)
	cases := tampered(other)
	names := slices.Sorted(maps.Keys(cases))
	for _, name := range names {
		w.tag(t, name, w.one)
		w.tag(t, "new-"+name, w.one)
	}
	uuids := make(map[string]string)
	for _, name := range names {
		recorded := writer.get(t, "app", name)
		recorded.mustServe(t, w.one)
		uuids[name] = recorded.header.Get("Tlog-Uuid")
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			change := func(body []byte) []byte { return editEntries(t, body, cases[name]) }
			retrieved, created := rewriting(retrievePath, http.StatusOK, change), rewriting(createPath, http.StatusCreated, change)
			w.rekor.Hook(created)
			first := svc.get(t, "app", "new-"+name)
			w.rekor.Hook(retrieved)
			if unreadable[name] {
				first.mustServe(t, w.one)
			} else {
				first.mustBeUnavailable(t)
				w.shown(t, "new-"+name)
				svc.get(t, "app", "new-"+name).mustBeUnavailable(t) // its entry is found now, and answered as badly
			}
			svc.get(t, "app", name).mustBeUnavailable(t)
			w.rekor.Hook(nil)

			again := svc.get(t, "app", name)
			again.mustServe(t, w.one)
			again.mustBeRecord(t, uuids[name])
			svc.get(t, "app", "new-"+name).mustServe(t, w.one)
		})
	}
	written := w.written(t)
	for hash, n := range written {
		if n != 1 {
			t.Errorf("the log has %d entries of one statement, %x", n, hash)
		}
	}
	if want := 2*len(names) + 1; len(written) != want {
		t.Errorf("the log has %d statements, want %d", len(written), want)
	}
}

// anotherEntry returns an entry of the log that has to do with no tag here.
func (w *rekorWorld) anotherEntry(t *testing.T) (uuid string, entry object) {
	t.Helper()
	a := w.author(t, "somebody@example.com")
	// Two, so that every later inclusion proof has hashes.
	w.logged(t, "another", proposal(t, a, w.statement(t, "another", w.two)))
	uuid = w.logged(t, "another", hashedrekord(t, a, w.ownText("another")))
	var entries map[string]object
	getJSON(t, w.RekorURL+createPath+"/"+uuid, &entries)
	return uuid, entries[uuid]
}
