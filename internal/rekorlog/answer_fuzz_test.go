package rekorlog

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-openapi/runtime"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/transparency-dev/merkle/rfc6962"
)

// canned is a Rekor that answers everything with the same body.
type canned struct{ body []byte }

func (c *canned) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader(c.body)), ContentLength: int64(len(c.body)), Request: r,
	}, nil
}

// answering returns a log whose Rekor answers with what the transport has.
func answering(f *testing.F, c *canned, tm root.TrustedMaterial) *Log {
	l := New(Config{
		URL: &url.URL{Scheme: "http", Host: "rekor.invalid"}, Timeout: 5 * time.Second, Transport: c, Signer: somebody{},
		Trust: newTrust(trustAge, func(context.Context) (root.TrustedMaterial, error) { return tm, nil }),
	})
	f.Cleanup(l.Close)
	return l
}

// What the index is taken to have answered is a list of entries' IDs that the
// answer has, each once. Whatever is not a list is no answer.
func FuzzSearchAnswer(f *testing.F) {
	for _, s := range []string{
		`[]`, `["` + tree1 + leafA + `"]`, `["` + leafA + `","` + leafB + `","` + leafA + `"]`, `null`, ``, `[null]`, `{}`, `["x"]`,
		`["` + leafA + `"`, `["` + leafA + `"]]`, `["\u0061` + leafA[1:] + `"]`, ` [ ] `, `[["` + leafA + `"]]`, `"` + leafA + `"`,
	} {
		f.Add([]byte(s))
	}
	c := &canned{}
	l := answering(f, c, nil)
	f.Fuzz(func(t *testing.T, body []byte) {
		var list []string
		err := decode(bytes.NewReader(body), &list, maxAnswer)
		if err != nil && err != io.EOF {
			return // a failure is tried again, which only takes time
		}
		c.body = body
		ids, _, err := l.client.search(t.Context(), &models.SearchIndex{}, maxAnswer)
		if err != nil {
			if ids != nil {
				t.Errorf("%q with %v", ids, err)
			}
			return
		}
		if !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("[")) {
			t.Errorf("%q is taken for a list", body)
		}
		seen := map[string]bool{}
		for _, id := range ids {
			if seen[id] || !entryID.MatchString(id) || !slices.Contains(list, id) {
				t.Errorf("ID %q of %q", id, body)
			}
			seen[id] = true
		}
	})
}

// As many entries as were asked for, these and no others, or ErrLog.
func FuzzEntriesAnswer(f *testing.F) {
	const a, b = tree1 + leafA, tree1 + leafB
	for _, s := range []string{
		`[{"` + a + `":{"body":"e30="}},{"` + b + `":{}}]`, `[{"` + a + `":{},"` + b + `":{}}]`, `[{"` + a + `":{}}]`, `[]`, `null`, ``, `[null]`, `[{}]`,
		`[{"` + a + `":{}},{"` + a + `":{}}]`, `[{"` + a + `":null},{"` + b + `":{"body":{"x":1}}}]`, `[{"` + a + `":{},"` + a + `":{}}]`,
		`[{"` + leafA + `":{}},{"` + b + `":{}}]`, `[{"` + a + `":{"BODY":1,"Verification":{}}},{"` + b + `":{"logIndex":-1}}]`,
	} {
		f.Add([]byte(s))
	}
	c := &canned{}
	l := answering(f, c, nil)
	f.Fuzz(func(t *testing.T, body []byte) {
		var list []models.LogEntry
		if err := decode(bytes.NewReader(body), &list, maxAnswer); err != nil && err != io.EOF {
			return
		}
		answered := 0
		for _, e := range list {
			answered += len(e)
		}
		if answered > maxBatch {
			t.Fatalf("%d entries are read of %q", answered, body)
		}
		c.body = body
		found, err := l.client.entries(t.Context(), []string{a, b})
		if err != nil {
			if !errors.Is(err, ErrLog) || found != nil {
				t.Errorf("%q: %v, %v", body, found, err)
			}
			return
		}
		if len(found) != 2 || found[a] == nil || found[b] == nil || answered != 2 {
			t.Errorf("%q is taken for %v", body, found)
		}
		for id, e := range found {
			switch e.Body.(type) {
			case nil, string, json.RawMessage:
			default:
				t.Errorf("the body of %s is a %T", id, e.Body)
			}
			if _, err := prove(t.Context(), id, e, &root.BaseTrustedMaterial{}); !errors.Is(err, ErrLog) {
				t.Errorf("%s is proved: %v", id, err)
			}
		}
	})
}

// An answer that a leaf is read of, in passing, has a body with that leaf.
func FuzzLeafReader(f *testing.F) {
	for _, s := range []string{
		`[{"x":{"body":"e30=","logIndex":1}}]`, `[{"body":"`, `"body":""`, `{"body": "e30="}`, `"a\"body":"e30="`, `"body":"e30=`, `"body":"e3\u0030="`, `"body":"e\n30="`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		l := &leafReader{}
		_, err := l.ReadResponse(response{bytes.NewReader(answer)}, nil)
		if (err == nil) != l.read {
			t.Fatalf("read %t, %v", l.read, err)
		}
		if !l.read {
			return
		}
		_, rest, ok := bytes.Cut(answer, []byte(`"body":"`))
		text, _, _ := bytes.Cut(rest, []byte(`"`))
		body, err := base64.StdEncoding.DecodeString(string(text))
		if !ok || err != nil || l.size != int64(len(body)) || !bytes.Equal(l.hash[:], rfc6962.DefaultHasher.HashLeaf(body)) {
			t.Errorf("%q is read as a leaf of %d bytes, hash %x; %v", answer, l.size, l.hash, err)
		}
	})
}

// response is an answer with status 200.
type response struct{ body io.Reader }

func (response) Code() int                          { return http.StatusOK }
func (response) Message() string                    { return "" }
func (response) GetHeader(string) string            { return "" }
func (response) GetHeaders(string) []string         { return nil }
func (r response) Body() io.ReadCloser              { return io.NopCloser(r.body) }
func (response) CanReadBody() bool                  { return true }
func (response) Cookies() []*http.Cookie            { return nil }
func (response) Trailer() http.Header               { return nil }
func (response) Uncompressed() bool                 { return false }
func (response) TransferEncoding() []string         { return nil }
func (response) ContentLength() int64               { return -1 }
func (response) Request() *http.Request             { return nil }
func (response) Consumer() (runtime.Consumer, bool) { return nil, false }

// Of all texts, only those that the log has signed are its checkpoints, and
// they say what was signed.
func FuzzCheckpoint(f *testing.F) {
	tiny := newTinyLog(f, "a", "b")
	tm := tiny.trusted()
	signed := map[string]head{}
	var texts []string
	for range 2 {
		text := tiny.checkpoint()
		c, err := openCheckpoint([]byte(text), tm)
		if err != nil {
			f.Fatal(err)
		}
		note, _, _ := strings.Cut(text, "\n\n")
		signed[note] = c.head
		texts = append(texts, text)
		tiny.append("c")
	}
	for _, text := range texts {
		f.Add([]byte(text))
		f.Add([]byte(strings.Replace(text, "\n2\n", "\n3\n", 1)))
		f.Add([]byte(strings.Replace(text, "\n\n", "\nextension\n\n", 1)))
		f.Add([]byte(text + "— somebody AAAA\n"))
	}
	f.Add([]byte(strings.Replace(texts[0], "tiny - 1\n2", texts[1][:len("tiny - 1\n3")], 1)))
	for _, s := range []string{"", "\n\n", "log - 1\n1\nAAAA\n\n— log AAAAAAA=\n", "a\n-1\n!\n\n"} {
		f.Add([]byte(s))
	}
	c := &canned{}
	l := answering(f, c, tm)
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := openCheckpoint(text, tm)
		if err == nil {
			note, _, _ := strings.Cut(string(text), "\n\n")
			if h, ok := signed[note]; !ok || h != got.head || got.origin != "tiny - 1" {
				t.Errorf("%q is taken for %+v", text, got)
			}
		}
		// As an answer about the log: never believed where the text is not.
		answer, jerr := json.Marshal(map[string]any{
			"signedTreeHead": string(text), "treeID": "1", "treeSize": 1, "rootHash": leafA,
			"inactiveShards": []any{nil, map[string]any{"signedTreeHead": string(text)}, map[string]any{}},
		})
		if jerr != nil {
			t.Fatal(jerr)
		}
		c.body = answer
		current, cerr := l.Checkpoint(t.Context(), nil)
		if cerr == nil && err != nil && string(current) == string(text) {
			t.Errorf("%q is the log's checkpoint, and cannot be read: %v", text, err)
		}
		if cerr != nil && !errors.Is(cerr, ErrLog) && !errors.Is(cerr, ErrFork) {
			t.Errorf("%q: %v", text, cerr)
		}
	})
}

// No answer makes two roots that have nothing to do with each other one
// history, and each hash that is read of one has 32 bytes.
func FuzzConsistencyProof(f *testing.F) {
	for _, s := range []string{
		`{"rootHash":"` + leafA + `","hashes":["` + leafA + `","` + leafB + `"]}`, `{"hashes":[]}`, `{"rootHash":"` + leafA + `","hashes":[]}`, `{}`, `null`, ``,
		`{"rootHash":"` + leafA + `","hashes":["aa"]}`, `{"rootHash":"` + leafA + `","hashes":[null]}`, `{"hashes":null,"rootHash":1}`,
	} {
		f.Add([]byte(s))
	}
	c := &canned{}
	l := answering(f, c, nil)
	before, now := head{size: 3}, head{size: 7}
	before.root[0], now.root[0] = 1, 2
	f.Fuzz(func(t *testing.T, body []byte) {
		var p models.ConsistencyProof
		if err := decode(bytes.NewReader(body), &p, maxAnswer); err != nil && err != io.EOF {
			return
		}
		c.body = body
		hashes, err := l.consistencyProof(t.Context(), tree{id: "1"}, before.size, now.size)
		for _, h := range hashes {
			if err != nil || len(h) != 32 {
				t.Errorf("%q gives the hash %x, %v", body, h, err)
			}
		}
		if err := l.extends(t.Context(), tree{id: "1"}, before, now); err == nil {
			t.Errorf("%q proves what is not so", body)
		}
	})
}
