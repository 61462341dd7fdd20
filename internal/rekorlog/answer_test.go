package rekorlog

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/transparency-dev/merkle/rfc6962"
)

// TestDecode: what an answer says is what encoding/json says that it does, as
// far as it can be right.
func TestDecode(t *testing.T) {
	entry := func(n int) string {
		return fmt.Sprintf(`{"%s%064d":{"body":"e30=","logIndex":%d,"attestation":{"data":"e30="}}}`, tree1, n, n)
	}
	eleven := make([]string, maxBatch+1)
	for i := range eleven {
		eleven[i] = entry(i)
	}
	const tooLong = "the answer is too long: it has 2097152 bytes and more"
	for name, tc := range map[string]struct {
		text string
		v    any
		err  string // empty: as encoding/json
	}{
		"no IDs":              {`[]`, new([]string), ""},
		"IDs":                 {`["` + leafA + `", "` + tree1 + leafB + `"]`, new([]string), ""},
		"IDs null":            {`null`, new([]string), ""},
		"IDs none":            {``, new([]string), "EOF"},
		"IDs not in a list":   {`"` + leafA + `"`, new([]string), leafA + " in the place of a list"},
		"ID a number":         {`["` + leafA + `",1]`, new([]string), "json: cannot unmarshal number into Go value of type string"},
		"ID short":            {`["` + leafA + `","1"]`, new([]string), ErrLog.Error() + `: the index names "1", which is no entry's ID`},
		"IDs cut off":         {`["` + leafA + `"`, new([]string), "unexpected EOF"},
		"IDs begun":           {`[`, new([]string), "unexpected EOF"},
		"IDs goes on":         {`["` + leafA + `",`, new([]string), "unexpected EOF"},
		"entries begun":       {`[`, new([]models.LogEntry), "unexpected EOF"},
		"entries begun twice": {`[{`, new([]models.LogEntry), "unexpected EOF"},
		"entry without value": {`[{"a"`, new([]models.LogEntry), "unexpected EOF"},
		"one entry begun":     {`{`, new(models.LogEntry), "unexpected EOF"},
		"IDs, and more":       {`["` + leafA + `"] "`, new([]string), "unexpected EOF"},
		"IDs, and again":      {`["` + leafA + `"] []`, new([]string), "[ after the answer"},
		"IDs, long":           {`["` + leafA + `"]` + strings.Repeat(" ", maxAnswer), new([]string), tooLong},
		"IDs not closed":      {`["` + leafA + `"}`, new([]string), "invalid character '}' after array element"},
		"entries":             {"[" + entry(1) + "," + entry(2) + "]", new([]models.LogEntry), ""},
		"no entries":          {"[]", new([]models.LogEntry), ""},
		"entries null":        {"null", new([]models.LogEntry), ""},
		"empty entries":       {"[{},{}]", new([]models.LogEntry), ""},
		"entry null":          {`[{"` + leafA + `":null}]`, new([]models.LogEntry), ""},
		"ten entries":         {"[" + strings.Join(eleven[:maxBatch], ",") + "]", new([]models.LogEntry), ""},
		"eleven entries":      {"[" + strings.Join(eleven, ",") + "]", new([]models.LogEntry), ErrLog.Error() + ": more than 10 entries are answered"},
		"eleven in one":       {"[{" + strings.Trim(strings.Join(eleven, ","), "{}") + "}]", new([]models.LogEntry), ""},
		"eleven empty":        {"[" + strings.Repeat("{},", maxBatch) + "{}]", new([]models.LogEntry), ErrLog.Error() + ": more than 10 entries are answered"},
		"twice in one":        {`[{"a":{},"a":{}}]`, new([]models.LogEntry), ErrLog.Error() + `: the entry "a" is answered twice`},
		"entry a list":        {`[[]]`, new([]models.LogEntry), "[ in the place of entries"},
		"one entry":           {entry(1), new(models.LogEntry), ""},
		"one entry null":      {`null`, new(models.LogEntry), ""},
		"one entry cut off":   {entry(1)[:40], new(models.LogEntry), "unexpected EOF"},
		"something else":      {`{"code":400,"message":"no"}`, new(models.Error), ""},
		"something else long": {`{"message":"` + strings.Repeat(" ", maxAnswer), new(models.Error), tooLong},
		"long":                {"[" + strings.Repeat(" ", maxAnswer), new([]string), tooLong},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "eleven in one" { // commas only, no braces between
				tc.text = strings.ReplaceAll(strings.ReplaceAll(tc.text, "}}},{", "}},"), "[{{", "[{")
				tc.err = ErrLog.Error() + ": more than 10 entries are answered"
			}
			err := decode(strings.NewReader(tc.text), tc.v, maxAnswer)
			if tc.err != "" {
				if err == nil || err.Error() != tc.err {
					t.Errorf("got %v, want %s", err, tc.err)
				}
				return
			}
			want := reflect.New(reflect.TypeOf(tc.v).Elem())
			if werr := json.Unmarshal([]byte(tc.text), want.Interface()); err != nil || werr != nil {
				t.Fatalf("got %v, want %v", err, werr)
			}
			if !reflect.DeepEqual(tc.v, want.Interface()) {
				t.Errorf("got %+v, want %+v", reflect.ValueOf(tc.v).Elem(), want.Elem())
			}
		})
	}
}

// FuzzDecode: where an answer of entries can be read, encoding/json reads the
// same of it.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`[{"` + leafA + `":{"body":"e30=","verification":{"inclusionProof":{"hashes":[]}}}}]`))
	f.Add([]byte(`[{"a":{"body":{}}},{"b":{"body":null,"BODY":"x"}}]`))
	f.Add([]byte(`[]`))
	f.Add([]byte(`[{"":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var got, want []models.LogEntry
		if decode(strings.NewReader(string(text)), &got, maxAnswer) != nil {
			return
		}
		if err := json.NewDecoder(strings.NewReader(string(text))).Decode(&want); err != nil {
			t.Fatalf("read as %+v: %v", got, err)
		}
		for i, entries := range want {
			for id, e := range entries {
				if s, ok := got[i][id].Body.(string); ok != isString(e.Body) || ok && s != e.Body {
					t.Errorf("got the body %v, want %v", got[i][id].Body, e.Body)
				}
			}
		}
	})
}

func isString(v any) bool { _, ok := v.(string); return ok }

// TestOversized: an entry that makes an answer too long counts as too large to
// be a record where its leaf is that of its ID, and not where the answer is
// only padded.
func TestOversized(t *testing.T) {
	leaf := make([]byte, maxAnswer)
	id := func(leaf []byte) string { return fmt.Sprintf("%s%x", tree1, rfc6962.DefaultHasher.HashLeaf(leaf)) }
	text := base64.StdEncoding.EncodeToString(leaf)
	small := []byte("{}")
	padding := strings.Repeat(" ", maxAnswer)
	for name, tc := range map[string]struct {
		id, answer string
		large      bool
	}{
		"large":                  {id(leaf), `[{"` + id(leaf) + `":{"body":"` + text + `","logIndex":1}}]`, true},
		"large, with a copy":     {id(leaf), `[{"` + id(leaf) + `":{"attestation":{"data":"e30="},"body":"` + text + `"}}]`, true},
		"of another leaf":        {id(small), `[{"` + id(small) + `":{"body":"` + text + `","logIndex":1}}]`, false},
		"cut off":                {id(leaf), `[{"` + id(leaf) + `":{"body":"` + text[:len(text)-4], false},
		"padded":                 {id(small), `[{"` + id(small) + `":{"body":"e30="` + padding + `}}]`, false},
		"padded before":          {id(small), padding + `[{"` + id(small) + `":{"body":"e30="}}]`, false},
		"padded with lines":      {id(small), `[{"` + id(small) + `":{"body":"e30=` + strings.Repeat(`\n`, maxAnswer) + `"}}]`, false},
		"padded with real lines": {id(small), `[{"` + id(small) + `":{"body":"e30=` + strings.Repeat("\n", maxAnswer) + `"}}]`, false},
		"no body":                {id(leaf), padding + `[{"` + id(leaf) + `":{"logIndex":1}}]`, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, tc.answer)
			})
			found, err := c.entries(t.Context(), []string{tc.id})
			if (err == nil) != tc.large {
				t.Fatalf("got %v, %v; want an error: %v", found, err, !tc.large)
			}
			if e, ok := found[tc.id]; tc.large && (!ok || e != nil || len(found) != 1) {
				t.Errorf("got %v, want the entry alone, as nil", found)
			}
		})
	}
}

// TestPaddedEntry: an answer padded until it is too long makes no entry foreign.
func TestPaddedEntry(t *testing.T) {
	c := serve(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, strings.Repeat(" ", maxLarge+1))
	})
	found, err := c.entries(t.Context(), []string{leafA})
	if !errors.Is(err, errTooLong) || !strings.Contains(err.Error(), "it has 67108864 bytes and more") {
		t.Errorf("got %v, %v; want %v, and how long", found, err, errTooLong)
	}
}

// TestLargeLeaf: of an entry that is proved by its hash to be larger than any
// record nothing is kept, however short the answer.
func TestLargeLeaf(t *testing.T) {
	for name, tc := range map[string]struct {
		size   int
		other  bool // than the ID's leaf
		keeps  bool
		spaces string // in the text
	}{
		"as large as may be": {maxLeaf, false, true, ""},
		"larger":             {maxLeaf + 3, false, false, ""},
		"of another leaf":    {maxLeaf + 1, true, true, ""},
		"padded":             {100, false, true, strings.Repeat(`\n`, maxLeaf)},
	} {
		t.Run(name, func(t *testing.T) {
			leaf := make([]byte, tc.size)
			id := fmt.Sprintf("%s%x", tree1, rfc6962.DefaultHasher.HashLeaf(leaf))
			if tc.other {
				leaf[0]++
			}
			c := serve(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
				answerJSON(w, `[{"%s":{"body":"%s"}}]`, id, base64.StdEncoding.EncodeToString(leaf)+tc.spaces)
			})
			found, err := c.entries(t.Context(), []string{id})
			if err != nil || len(found) != 1 || (found[id] != nil) != tc.keeps {
				t.Errorf("got %d entries, %v; is the entry kept: %v, want %v", len(found), err, found[id] != nil, tc.keeps)
			}
		})
	}
}
