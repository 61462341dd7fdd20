package tilelog_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// fuzzKey is a key of nobody's: it must not change from one run to the next, or
// a corpus would say nothing.
func fuzzKey(f *testing.F) (private, public string, signer note.Signer) {
	f.Helper()
	private, public, err := note.GenerateKey(strings.NewReader(strings.Repeat("not secret ", 8)), "log.example")
	if err != nil {
		f.Fatal(err)
	}
	if signer, err = note.NewSigner(private); err != nil {
		f.Fatal(err)
	}
	return private, public, signer
}

// Of all texts, only those that the log has signed are its checkpoints, and
// they say what was signed.
func FuzzParseCheckpoint(f *testing.F) {
	_, public, signer := fuzzKey(f)
	empty := base64.StdEncoding.EncodeToString(rfc6962.DefaultHasher.EmptyRoot())
	some := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	signed := map[string]int64{}
	for text, size := range map[string]int64{
		"log.example\n0\n" + empty + "\n":                  0,
		"log.example\n7\n" + some + "\n":                   7,
		"log.example\n8\n" + some + "\nan extension\n":     8,
		"log.example\n9223372036854775808\n" + some + "\n": -1,
		"log.example\n1\nAAAA\n":                           -1,
		"other.example\n1\n" + some + "\n":                 -1,
		"log.example\n0\n" + some + "\n":                   -1,
	} {
		raw, err := note.Sign(&note.Note{Text: text}, signer)
		if err != nil {
			f.Fatal(err)
		}
		signed[text] = size
		f.Add(raw)
		f.Add(bytes.Replace(raw, []byte("\n7\n"), []byte("\n8\n"), 1))
		f.Add(append(raw, "— witness.example AAAAAAAA\n"...))
	}
	f.Add([]byte(""))
	f.Add([]byte("log.example\n7\n" + some + "\n\n"))
	r, err := tilelog.OpenReader(f.TempDir(), public)
	if err != nil {
		f.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		cp, err := r.Parse(raw)
		if err != nil {
			// What the key has signed, or is said to have, and else nothing.
			_, nerr := note.Open(raw, note.VerifierList(verifier))
			var forged *note.InvalidSignatureError
			if errors.Is(err, tilelog.ErrDamaged) != (nerr == nil || errors.As(nerr, &forged)) {
				t.Errorf("%q: %v", raw, err)
			}
			return
		}
		i := bytes.LastIndex(raw, []byte("\n\n"))
		if i < 0 {
			t.Fatalf("%q has no signature", raw)
		}
		size, ok := signed[string(raw[:i+1])]
		if !ok || size < 0 || cp.Size != size || !bytes.Equal(cp.Raw, raw) {
			t.Errorf("%q is taken for %+v", raw, cp)
		}
	})
}

// A bundle that is read exactly is what its entries make.
func FuzzUnbundle(f *testing.F) {
	bundle := func(entries ...string) []byte {
		var b []byte
		for _, e := range entries {
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(e))), e...)
		}
		return b
	}
	f.Add(bundle("a", "bc", ""), uint8(3), true)
	f.Add(bundle("a", "bc"), uint8(3), true)
	f.Add(bundle("a"), uint8(0), true)
	f.Add(bundle(make([]string, 256)...), uint8(0), true)
	f.Add(bundle(make([]string, 256)...), uint8(9), false)
	f.Add(append(bundle("a"), 0), uint8(1), true)
	f.Add([]byte{0xff, 0xff, 1}, uint8(1), false)
	f.Fuzz(func(t *testing.T, data []byte, p uint8, exact bool) {
		entries, err := tilelog.Unbundle(data, p, exact)
		if err != nil {
			return
		}
		want := int(p)
		if p == 0 {
			want = 256
		}
		var again []byte
		for _, e := range entries {
			again = append(binary.BigEndian.AppendUint16(again, uint16(len(e))), e...)
		}
		if len(entries) != want || !bytes.HasPrefix(data, again) || exact && !bytes.Equal(again, data) {
			t.Errorf("%d entries of %x, which make %x", len(entries), data, again)
		}
	})
}

// A key that is read has a verifier key, and one that is not is not shown.
func FuzzParseKey(f *testing.F) {
	private, public, _ := fuzzKey(f)
	for _, s := range []string{private, public, private + "\n", "", "PRIVATE+KEY+a+00000000+AQ==", strings.Replace(private, "log.example", "log+example", 1)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text, err := tilelog.ParseKey(s)
		if err != nil {
			if !errors.Is(err, tilelog.ErrDamaged) || len(s) > 12 && strings.Contains(err.Error(), s[len(s)-12:]) {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		v, err := note.NewVerifier(text)
		if err != nil {
			t.Fatalf("%q has the verifier key %q: %v", s, text, err)
		}
		// The hash may be in upper case: note's own reader takes it.
		want := fmt.Sprintf("PRIVATE+KEY+%s+%08x+", v.Name(), v.KeyHash())
		if len(s) < len(want) || !strings.EqualFold(s[:len(want)], want) || !strings.Contains(s, v.Name()) {
			t.Errorf("%q has the verifier key %q, %v", s, text, err)
		}
	})
}
