package record_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/record"
)

const (
	imageHex = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	ref      = "index.docker.io/library/alpine:3.16.0"

	// The subjects of ref by the identity below, computed with coreutils:
	// printf 'tlogistry own subject v1\nhttps://accounts.google.com\nrecorder@acme.iam.gserviceaccount.com\nindex.docker.io/library/alpine:3.16.0\n' | sha256sum
	// printf index.docker.io/library/alpine:3.16.0 | sha256sum
	ownHex    = "1d5e97323b056a9727e178e131a4c705b456ce36cce594786dd1d12f0e28e5a8"
	sharedHex = "580eec9ca7a233bc4e7cd5c9afce8756f313feb5e222b3da93f00d1687a8275b"
)

var (
	identity = record.Identity{Issuer: "https://accounts.google.com", Subject: "recorder@acme.iam.gserviceaccount.com"}
	alpine   = record.Statement{Identity: identity, Ref: ref, Digest: "sha256:" + imageHex}
)

// golden is the record format. It must never change: what is in the log is
// found by these subjects and proved by the hash of these bytes.
const golden = `{"_type":"https://in-toto.io/Statement/v1",` +
	`"subject":[` +
	`{"name":"index.docker.io/library/alpine:3.16.0","digest":{"sha256":"` + ownHex + `"}},` +
	`{"name":"index.docker.io/library/alpine:3.16.0","digest":{"sha256":"` + sharedHex + `"}},` +
	`{"name":"index.docker.io/library/alpine","digest":{"sha256":"` + imageHex + `"}}],` +
	`"predicateType":"https://github.com/tlogistry/tlogistry/record/v1",` +
	`"predicate":{` +
	`"issuer":"https://accounts.google.com","identity":"recorder@acme.iam.gserviceaccount.com",` +
	`"reference":"index.docker.io/library/alpine:3.16.0","digest":"sha256:` + imageHex + `"}}`

func TestEncodeGolden(t *testing.T) {
	got, err := alpine.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != golden {
		t.Errorf("got\n%s\nwant\n%s", got, golden)
	}
	back, err := record.Decode([]byte(golden))
	if err != nil {
		t.Fatal(err)
	}
	if back != alpine {
		t.Errorf("Decode gives %+v, want %+v", back, alpine)
	}
}

// The escapes of encoding/json are part of the format.
func TestEncodeEscapes(t *testing.T) {
	s := record.Statement{
		Identity: record.Identity{Issuer: `https://i.example/?a=1&b=<"\>`, Subject: "zoë@例え.example"},
		Ref:      "localhost:5000/app:v1",
		Digest:   "sha256:" + imageHex,
	}
	got, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	want := `"predicate":{"issuer":"https://i.example/?a=1\u0026b=\u003c\"\\\u003e","identity":"zoë@例え.example",` +
		`"reference":"localhost:5000/app:v1","digest":"sha256:` + imageHex + `"}}`
	if !strings.HasSuffix(string(got), want) {
		t.Errorf("got\n%s\nwant it to end in\n%s", got, want)
	}
	if !strings.Contains(string(got), `{"name":"localhost:5000/app","digest":{"sha256":"`+imageHex+`"}}]`) {
		t.Errorf("the third subject is not the repository with its port: %s", got)
	}
	if back, err := record.Decode(got); err != nil || back != s {
		t.Errorf("Decode gives %+v, %v", back, err)
	}
}

func TestSubjects(t *testing.T) {
	if got := identity.OwnSubject(ref); hex.EncodeToString(got[:]) != ownHex {
		t.Errorf("own subject %x, want %s", got, ownHex)
	}
	if got := record.SharedSubject(ref); hex.EncodeToString(got[:]) != sharedHex {
		t.Errorf("shared subject %x, want %s", got, sharedHex)
	}
	seen := map[[32]byte]string{}
	for name, own := range map[string][32]byte{
		"the identity's":   identity.OwnSubject(ref),
		"another issuer's": record.Identity{Issuer: "https://issuer.example", Subject: identity.Subject}.OwnSubject(ref),
		"another e-mail's": record.Identity{Issuer: identity.Issuer, Subject: "other@acme.iam.gserviceaccount.com"}.OwnSubject(ref),
		"another tag's":    identity.OwnSubject(ref + "1"),
		"shared":           record.SharedSubject(ref),
		// The same letters, divided otherwise.
		"moved boundary": record.Identity{Issuer: identity.Issuer + identity.Subject[:1], Subject: identity.Subject[1:]}.OwnSubject(ref),
	} {
		if other, ok := seen[own]; ok {
			t.Errorf("%s subject is %s", name, other)
		}
		seen[own] = name
	}
}

func TestEncodeErrors(t *testing.T) {
	with := func(change func(*record.Statement)) record.Statement {
		s := alpine
		change(&s)
		return s
	}
	issuer := func(s string) record.Statement {
		return with(func(st *record.Statement) { st.Identity.Issuer = s })
	}
	email := func(s string) record.Statement {
		return with(func(st *record.Statement) { st.Identity.Subject = s })
	}
	named := func(s string) record.Statement { return with(func(st *record.Statement) { st.Ref = s }) }
	digest := func(s string) record.Statement { return with(func(st *record.Statement) { st.Digest = s }) }
	const (
		noIdentity = `not a valid record: identity "recorder@acme.iam.gserviceaccount.com" of issuer `
		noDigest   = ` is not sha256 and 64 lower-case hex digits`
	)
	tests := []struct {
		name string
		s    record.Statement
		want string
	}{
		{"empty issuer", issuer(""), noIdentity + `"" is empty or not printable`},
		{"issuer with LF", issuer("a\nb"), noIdentity + `"a\nb" is empty or not printable`},
		{"issuer with space", issuer("a b"), noIdentity + `"a b" is empty or not printable`},
		{"issuer with no-break space", issuer("a\u00a0b"), noIdentity + `"a\u00a0b" is empty or not printable`},
		{"issuer with line separator", issuer("a\u2028b"), noIdentity + `"a\u2028b" is empty or not printable`},
		{"issuer with NUL", issuer("a\x00b"), noIdentity + `"a\x00b" is empty or not printable`},
		{"issuer with a right-to-left override", issuer("a\u202eb"), noIdentity + `"a\u202eb" is empty or not printable`},
		{"issuer with broken UTF-8", issuer("a\xff"), noIdentity + `"a\xff" is empty or not printable`},
		{"empty e-mail", email(""), `not a valid record: identity "" of issuer "https://accounts.google.com" is empty or not printable`},
		{"e-mail with LF", email("a\n"), `not a valid record: identity "a\n" of issuer "https://accounts.google.com" is empty or not printable`},

		{"empty reference", named(""), `not a valid record: reference "" is not a fully qualified tag`},
		{"no tag", named("localhost/app"), `not a valid record: reference "localhost/app" is not a fully qualified tag`},
		{"empty tag", named("localhost/app:"), `not a valid record: reference "localhost/app:" is not a fully qualified tag`},
		{"a port and no tag", named("localhost:5000/app"), `not a valid record: reference "localhost:5000/app" is not a fully qualified tag`},
		{"tag alone", named(":v1"), `not a valid record: reference ":v1" is not a fully qualified tag`},
		{"reference with LF", named("a/b:v1\n"), `not a valid record: reference "a/b:v1\n" is not a fully qualified tag`},
		{"reference with space", named("a/b :v1"), `not a valid record: reference "a/b :v1" is not a fully qualified tag`},
		{"reference with broken UTF-8", named("a/\xff:v1"), `not a valid record: reference "a/\xff:v1" is not a fully qualified tag`},

		{"empty digest", digest(""), `not a valid record: digest ""` + noDigest},
		{"hex alone", digest(imageHex), `not a valid record: digest "` + imageHex + `"` + noDigest},
		{"upper-case hex", digest("sha256:" + strings.ToUpper(imageHex)), `not a valid record: digest "sha256:` + strings.ToUpper(imageHex) + `"` + noDigest},
		{"short digest", digest("sha256:0123"), `not a valid record: digest "sha256:0123"` + noDigest},
		{"long digest", digest("sha256:" + imageHex + "0"), `not a valid record: digest "sha256:` + imageHex + `0"` + noDigest},
		{"digest with LF", digest("sha256:" + imageHex + "\n"), `not a valid record: digest "sha256:` + imageHex + `\n"` + noDigest},
		{"sha512", digest("sha512:" + imageHex), `not a valid record: digest "sha512:` + imageHex + `"` + noDigest},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b, err := test.s.Encode()
			if err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
			if !errors.Is(err, record.ErrFormat) {
				t.Errorf("%v is not ErrFormat", err)
			}
			if b != nil {
				t.Errorf("got bytes: %s", b)
			}
		})
	}
}

func TestSizeLimit(t *testing.T) {
	// The issuer stands in a record once, so its length is the room left.
	s := alpine
	s.Identity.Issuer = strings.Repeat("x", record.MaxSize-(len(golden)-len(identity.Issuer)))
	b, err := s.Encode()
	if err != nil || len(b) != record.MaxSize {
		t.Fatalf("Encode gives %d bytes, %v; want %d", len(b), err, record.MaxSize)
	}
	if back, err := record.Decode(b); err != nil || back != s {
		t.Errorf("Decode: %v", err)
	}
	s.Identity.Issuer += "x"
	const want = "not a valid record: 8193 bytes, more than 8192"
	if b, err = s.Encode(); err == nil || err.Error() != want || b != nil {
		t.Errorf("Encode gives %d bytes, %v; want %s", len(b), err, want)
	}
	if _, err = record.Decode(bytes.Repeat([]byte(" "), record.MaxSize+1)); err == nil || err.Error() != want || !errors.Is(err, record.ErrFormat) {
		t.Errorf("Decode: %v; want %s", err, want)
	}
}

// Whatever is encoded can be decoded, and two statements never have the same
// bytes: so a hash in the log proves one of them.
func FuzzEncode(f *testing.F) {
	f.Add("https://accounts.google.com", "a@b.example", ref, imageHex)
	f.Add("<&>\"\\", "zoë@例え.example", "localhost:5000/a:v1", imageHex)
	f.Add("a\nb", "a\x00", "a:b/c", "x")
	f.Add("\xff", "\u2028", ":", "")
	f.Fuzz(func(t *testing.T, issuer, email, ref, digits string) {
		s := record.Statement{Identity: record.Identity{Issuer: issuer, Subject: email}, Ref: ref, Digest: "sha256:" + digits}
		b, err := s.Encode()
		if err != nil {
			if !errors.Is(err, record.ErrFormat) || b != nil {
				t.Errorf("%s, %v", b, err)
			}
			return
		}
		back, err := record.Decode(b)
		if err != nil || back != s {
			t.Errorf("%+v\ncomes back as %+v, %v", s, back, err)
		}
		own := sha256.Sum256([]byte(strings.Join([]string{"tlogistry own subject v1", issuer, email, ref, ""}, "\n")))
		if !bytes.Contains(b, []byte(`[{"name":`)) || !bytes.Contains(b, []byte(hex.EncodeToString(own[:]))) {
			t.Errorf("own subject %x is not in %s", own, b)
		}
	})
}
