package tilelog_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/tilelog"
)

const (
	hex64  = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	golden = `{"version":1,"reference":"` + alpine + `","digest":"sha256:` + hex64 + `","time":"2022-05-24T01:02:03Z"}`
)

var goldenRecord = tilelog.Record{Ref: alpine, Digest: "sha256:" + hex64, Time: time.Date(2022, 5, 24, 1, 2, 3, 0, time.UTC)}

func TestRecord(t *testing.T) {
	zone := time.FixedZone("", -3*3600)
	for name, r := range map[string]tilelog.Record{
		"as it is":          goldenRecord,
		"part of a second":  {Ref: alpine, Digest: goldenRecord.Digest, Time: goldenRecord.Time.Add(999 * time.Millisecond)},
		"another time zone": {Ref: alpine, Digest: goldenRecord.Digest, Time: goldenRecord.Time.In(zone)},
	} {
		if b, err := r.Encode(); err != nil || string(b) != golden {
			t.Errorf("%s: encoded to %s, %v", name, b, err)
		}
	}
	if r, err := tilelog.DecodeRecord([]byte(golden)); err != nil || r != goldenRecord {
		t.Errorf("decoded to %+v, %v", r, err)
	}
	leaf := sha256.Sum256([]byte("\x00" + golden)) // RFC 6962, section 2.1
	want := record.Sighting{
		Ref: alpine, Digest: goldenRecord.Digest, Hash: sha256.Sum256([]byte(golden)),
		UUID: hex.EncodeToString(leaf[:]), Index: 7, Time: goldenRecord.Time,
	}
	if s, err := goldenRecord.Sighting(7); err != nil || s != want {
		t.Errorf("got  %+v, %v\nwant %+v", s, err, want)
	}
}

func TestRecordReferences(t *testing.T) {
	tests := []struct {
		ref string
		ok  bool
	}{
		{"index.docker.io/library/alpine:latest", true},
		{"localhost:5000/a:v1", true},
		{"[::1]:5000/a/b__c:_", true},
		{"ghcr.io/a/b:" + strings.Repeat("x", 128), true},
		{"ghcr.io/a/b:" + strings.Repeat("x", 129), false},
		{"", false},
		{":", false},
		{"a:b", false},
		{"/a:b", false},
		{"a/:b", false},
		{"ghcr.io/a/b", false},
		{"localhost:5000/a", false},
		{"ghcr.io/a/b:", false},
		{"ghcr.io/a/b:-", false},
		{"ghcr.io/a b:c", false},
		{"ghcr.io/a\n:c", false},
		{"ghcr.io/a\":c", false},
		{"ghcr.io/a\\:c", false},
		{"ghcr.io/a<:c", false},
		{"ghcr.io/a&:c", false},
		{"ghcr.io/ä:c", false},
		{"ghcr.io/\xff:c", false},
		{"ghcr.io/" + strings.Repeat("a", record.MaxSize) + ":c", false},
	}
	for _, test := range tests {
		_, err := tilelog.Record{Ref: test.ref, Digest: goldenRecord.Digest, Time: goldenRecord.Time}.Encode()
		if (err == nil) != test.ok || err != nil && !errors.Is(err, record.ErrFormat) {
			t.Errorf("%.100q: %v, want ok to be %t", test.ref, err, test.ok)
		}
	}
	if _, err := (tilelog.Record{Ref: alpine, Digest: goldenRecord.Digest, Time: goldenRecord.Time.AddDate(8000, 0, 0)}).Encode(); err == nil ||
		err.Error() != "not a valid record: the year 10022 does not fit RFC 3339" {
		t.Errorf("a far year: %v", err)
	}
}

func TestDecodeRecordErrors(t *testing.T) {
	const same = "not a valid record: it does not encode back to the same bytes"
	change := func(old, new string) string {
		if strings.Count(golden, old) != 1 {
			t.Fatalf("golden has no one %s", old)
		}
		return strings.Replace(golden, old, new, 1)
	}
	tests := []struct{ name, json, want string }{
		{"empty", "", "not a valid record: unexpected end of JSON input"},
		{"null", "null", "not a valid record: version 0, want 1"},
		{"empty object", "{}", "not a valid record: version 0, want 1"},
		{"array", "[]", "not a valid record: json: cannot unmarshal array into Go value of type tilelog.recordJSON"},
		{"cut", golden[:len(golden)-1], "not a valid record: unexpected end of JSON input"},
		{"twice", golden + golden, "not a valid record: invalid character '{' after top-level value"},
		{"too long", golden + strings.Repeat(" ", record.MaxSize), "not a valid record: 8370 bytes, more than 8192"},
		{"LF after it", golden + "\n", same},
		{"space inside", change(`,"time"`, `, "time"`), same},
		{"escape", change(`"index.`, `"\u0069ndex.`), same},
		{"unknown field", change(`,"time"`, `,"more":1,"time"`), same},
		{"field twice", change(`,"time"`, `,"version":1,"time"`), same},
		{"key in other case", change(`"time"`, `"Time"`), same},
		{"another order", `{"reference":"` + alpine + `","version":1` + golden[strings.Index(golden, `,"digest"`):], same},
		{"version 2", change(`"version":1`, `"version":2`), "not a valid record: version 2, want 1"},
		{"version as a float", change(`"version":1`, `"version":1.0`), "not a valid record: json: cannot unmarshal number 1.0 into Go struct field recordJSON.version of type int"},
		{"no time", change(`,"time":"2022-05-24T01:02:03Z"`, ``), `not a valid record: time "" is not RFC 3339`},
		{"no such day", change(`05-24`, `02-30`), `not a valid record: time "2022-02-30T01:02:03Z" is not RFC 3339`},
		{"parts of a second", change(`03Z`, `03.5Z`), same},
		{"another time zone", change(`03Z`, `03+00:00`), same},
		{"upper-case digest", change(`abcdef",`, `ABCDEF",`), `not a valid record: digest "sha256:` + hex64[:58] + `ABCDEF" is not sha256 and 64 lower-case hex digits`},
		{"no tag", change(`:3.16.0`, ``), `not a valid record: reference "index.docker.io/library/alpine" is not a fully qualified tag`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, err := tilelog.DecodeRecord([]byte(test.json))
			if err == nil || err.Error() != test.want || !errors.Is(err, record.ErrFormat) || r != (tilelog.Record{}) {
				t.Errorf("got  %+v, %v\nwant %s", r, err, test.want)
			}
		})
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add([]byte(golden))
	for _, s := range []string{"", "{}", "null", golden + "\n",
		strings.Replace(golden, `"time":`, `"Time":`, 1),
		strings.Replace(golden, `:"i`, `:"\u0069`, 1),
		strings.Replace(golden, "03Z", "60Z", 1),
		strings.Replace(golden, "2022-", "0000-", 1),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := tilelog.DecodeRecord(b)
		if err != nil {
			if !errors.Is(err, record.ErrFormat) || r != (tilelog.Record{}) {
				t.Errorf("%+v, %v", r, err)
			}
			return
		}
		if again, err := r.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("decoded  %s\nencodes to %s, %v", b, again, err)
		}
	})
}

func FuzzEncodeRecord(f *testing.F) {
	f.Add(goldenRecord.Ref, goldenRecord.Digest, goldenRecord.Time.Unix())
	f.Add("a/b:c", "sha256:", int64(-1))
	f.Add("a/\u2028:c", goldenRecord.Digest, int64(1)<<62)
	f.Fuzz(func(t *testing.T, ref, digest string, seconds int64) {
		r := tilelog.Record{Ref: ref, Digest: digest, Time: time.Unix(seconds, 0)}
		b, err := r.Encode()
		if err != nil {
			return
		}
		again, err := tilelog.DecodeRecord(b)
		if err != nil || again.Ref != ref || again.Digest != digest || again.Time.Unix() != seconds {
			t.Errorf("%+v encodes to %s, which decodes to %+v, %v", r, b, again, err)
		}
	})
}
