package record_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/record"
)

func TestDecodeErrors(t *testing.T) {
	const same = "not a valid record: it does not encode back to the same bytes"
	change := func(old, new string) string {
		if strings.Count(golden, old) == 0 {
			t.Fatalf("golden has no %s", old)
		}
		return strings.Replace(golden, old, new, 1)
	}
	last := func(old, new string) string {
		i := strings.LastIndex(golden, old)
		return golden[:i] + new + golden[i+len(old):]
	}
	otherHex := strings.Repeat("f", 64)
	tests := []struct{ name, json, want string }{
		{"empty", "", "not a valid record: unexpected end of JSON input"},
		{"null", "null", `not a valid record: identity "" of issuer "" is empty or not printable`},
		{"empty object", "{}", `not a valid record: identity "" of issuer "" is empty or not printable`},
		{"array", "[]", "not a valid record: json: cannot unmarshal array into Go value of type record.statement"},
		{"cut", golden[:len(golden)-1], "not a valid record: unexpected end of JSON input"},
		{"followed by another", golden + golden, "not a valid record: invalid character '{' after top-level value"},
		{"byte order mark", "\ufeff" + golden, "not a valid record: invalid character 'ï' looking for beginning of value"},

		{"LF after it", golden + "\n", same},
		{"space before it", " " + golden, same},
		{"space inside", change(`,"subject"`, `, "subject"`), same},
		{"indented", indent(t, golden), same},
		{"escaped letter", change(`"reference":"i`, `"reference":"\u0069`), same},
		{"escaped slash", change(`https://accounts`, `https:\/\/accounts`), same},
		{"escaped letter of a key", change(`"predicate":`, `"\u0070redicate":`), same},

		{"fields in another order", change(`"issuer":"https://accounts.google.com","identity":"recorder@acme.iam.gserviceaccount.com"`,
			`"identity":"recorder@acme.iam.gserviceaccount.com","issuer":"https://accounts.google.com"`), same},
		{"unknown field", change(`{"_type"`, `{"more":1,"_type"`), same},
		{"unknown field of the predicate", last(`}}`, `,"time":"2020-01-01T00:00:00Z"}}`), same},
		{"unknown digest", change(`{"sha256"`, `{"sha512":"00","sha256"`), same},
		{"field twice", change(`"issuer":`, `"issuer":"https://accounts.google.com","issuer":`), same},
		{"field twice with another value", change(`"issuer":`, `"issuer":"https://other.example","issuer":`), same},
		{"predicate twice", last(`}}`, `},"predicate":{}}`), same},
		{"key in other case", change(`"predicate":`, `"Predicate":`), same},
		{"key in other case besides", last(`}}`, `,"DIGEST":"sha256:`+imageHex+`"}}`), same},
		{"field missing", change(`"_type":"https://in-toto.io/Statement/v1",`, ``), same},

		{"other type", change(`Statement/v1`, `Statement/v0.1`), same},
		{"other predicate type", change(`record/v1`, `record/v2`), same},
		{"own subject of another", change(ownHex, otherHex), same},
		{"own subject in upper case", change(ownHex, strings.ToUpper(ownHex)), same},
		{"shared subject of another", change(sharedHex, otherHex), same},
		{"image's subject of another", change(imageHex, otherHex), same},
		{"digest of another", last(imageHex, otherHex), same},
		{"own subject's name of another", change(`{"name":"index.docker.io/library/alpine:3.16.0"`, `{"name":"index.docker.io/library/alpine:3.17.0"`), same},
		{"repository of another", change(`{"name":"index.docker.io/library/alpine"`, `{"name":"index.docker.io/library/busybox"`), same},
		{"reference of another", change(`"reference":"index.docker.io/library/alpine:3.16.0"`, `"reference":"index.docker.io/library/alpine:3.17.0"`), same},
		{"identity of another", change(`"identity":"recorder@`, `"identity":"other@`), same},
		{"issuer of another", change(`"issuer":"https://accounts.google.com"`, `"issuer":"https://other.example"`), same},
		{"subjects swapped", strings.NewReplacer(ownHex, sharedHex, sharedHex, ownHex).Replace(golden), same},
		{"fourth subject", change(`}}],`, `}},{"name":"x","digest":{"sha256":"`+otherHex+`"}}],`), same},
		{"two subjects", change(`{"name":"index.docker.io/library/alpine:3.16.0","digest":{"sha256":"`+sharedHex+`"}},`, ``), same},
		{"no subjects", change(golden[strings.Index(golden, `"subject":[`):strings.Index(golden, `],`)], `"subject":[`), same},
		{"subject null", change(golden[strings.Index(golden, `"subject":[`):strings.Index(golden, `,"predicateType"`)], `"subject":null`), same},

		{"number as the issuer", change(`"issuer":"https://accounts.google.com"`, `"issuer":1`),
			"not a valid record: json: cannot unmarshal number into Go struct field predicate.predicate.issuer of type string"},
		{"object as the subject", change(golden[strings.Index(golden, `"subject":[`):strings.Index(golden, `,"predicateType"`)], `"subject":{}`),
			"not a valid record: json: cannot unmarshal object into Go struct field statement.subject of type []record.subject"},
		{"null as the identity", change(`"identity":"recorder@acme.iam.gserviceaccount.com"`, `"identity":null`),
			`not a valid record: identity "" of issuer "https://accounts.google.com" is empty or not printable`},
		{"null as the digest", last(`"sha256:`+imageHex+`"`, `null`),
			`not a valid record: digest "" is not sha256 and 64 lower-case hex digits`},
		{"upper-case digest", last(imageHex, strings.ToUpper(imageHex)),
			`not a valid record: digest "sha256:` + strings.ToUpper(imageHex) + `" is not sha256 and 64 lower-case hex digits`},
		{"reference without a tag", change(`"reference":"index.docker.io/library/alpine:3.16.0"`, `"reference":"index.docker.io/library/alpine"`),
			`not a valid record: reference "index.docker.io/library/alpine" is not a fully qualified tag`},
		{"broken UTF-8", change(`"identity":"recorder@`, "\"identity\":\"\xff@"), same},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := record.Decode([]byte(test.json))
			if err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
			if !errors.Is(err, record.ErrFormat) {
				t.Errorf("%v is not ErrFormat", err)
			}
			if s != (record.Statement{}) {
				t.Errorf("got %+v with the error", s)
			}
		})
	}
}

func indent(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(s), "", "  "); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(golden))
	for _, s := range []string{"", "{}", "null", golden + "\n", " " + golden,
		strings.Replace(golden, `"predicate":`, `"Predicate":`, 1),
		strings.Replace(golden, `"reference":"i`, `"reference":"\u0069`, 1),
		strings.Replace(golden, `"digest":"sha256:0`, `"digest":"sha256:1`, 1),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := record.Decode(b)
		if err != nil {
			if !errors.Is(err, record.ErrFormat) || s != (record.Statement{}) {
				t.Errorf("%+v, %v", s, err)
			}
			return
		}
		again, err := s.Encode()
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("decoded  %s\nencodes to %s, %v", b, again, err)
		}
	})
}
