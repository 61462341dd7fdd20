// Package record is the statement that is logged for a tag, and the rule that
// decides by the statements found.
//
// A record is an in-toto statement v1 in JSON, without white space, its fields
// in this order and no others:
//
//	{"_type":"https://in-toto.io/Statement/v1",
//	 "subject":[
//	  {"name":"<reference>","digest":{"sha256":"<own subject>"}},
//	  {"name":"<reference>","digest":{"sha256":"<shared subject>"}},
//	  {"name":"<repository>","digest":{"sha256":"<hex of the image's digest>"}}],
//	 "predicateType":"https://github.com/tlogistry/tlogistry/record/v1",
//	 "predicate":{
//	  "issuer":"<issuer>","identity":"<identity>",
//	  "reference":"<reference>","digest":"<the image's digest>"}}
//
// The reference is fully qualified: "index.docker.io/library/alpine:3.16.0".
// The own subject is the SHA-256 of
//
//	"tlogistry own subject v1\n" issuer "\n" identity "\n" reference "\n"
//
// and the shared subject is the SHA-256 of the reference alone. Strings are
// escaped as encoding/json does. The bytes are a pure function of issuer,
// identity, reference and digest, so that who knows these can tell from a hash
// in the log what was recorded. A decoder rejects what does not encode back to
// the same bytes.
package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The types that mark a statement as a record of version 1.
const (
	StatementType = "https://in-toto.io/Statement/v1"
	PredicateType = "https://github.com/tlogistry/tlogistry/record/v1"

	// PayloadType is the DSSE payload type of an in-toto statement.
	PayloadType = "application/vnd.in-toto+json"

	// MaxSize bounds an encoded record, in bytes. Rekor drops statements of
	// more than 100 KiB from its store.
	MaxSize = 8 << 10
)

// ErrFormat is wrapped by every error of [Statement.Encode] and [Decode].
var ErrFormat = errors.New("not a valid record")

var digestRE = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// An Identity is who signs records, as a Fulcio certificate names it.
type Identity struct {
	Issuer  string // OIDC issuer, such as "https://accounts.google.com"
	Subject string // e-mail address of the service account, or a workload's URI
}

// OwnSubject is the digest under which the identity's own records of the
// reference are found.
func (id Identity) OwnSubject(ref string) [32]byte {
	return sha256.Sum256([]byte("tlogistry own subject v1\n" + id.Issuer + "\n" + id.Subject + "\n" + ref + "\n"))
}

// SharedSubject is the digest under which everybody's records of the
// reference are found.
func SharedSubject(ref string) [32]byte {
	return sha256.Sum256([]byte(ref))
}

// A Statement says that an identity saw a tag point at a digest.
type Statement struct {
	Identity Identity
	Ref      string // fully qualified, such as "index.docker.io/library/alpine:3.16.0"
	Digest   string // "sha256:" and 64 hex digits
}

// The JSON of a statement. Field order is the encoding's order.
type (
	statement struct {
		Type          string    `json:"_type"`
		Subject       []subject `json:"subject"`
		PredicateType string    `json:"predicateType"`
		Predicate     predicate `json:"predicate"`
	}
	subject struct {
		Name   string    `json:"name"`
		Digest digestSet `json:"digest"`
	}
	digestSet struct {
		SHA256 string `json:"sha256"`
	}
	predicate struct {
		Issuer    string `json:"issuer"`
		Identity  string `json:"identity"`
		Reference string `json:"reference"`
		Digest    string `json:"digest"`
	}
)

// Encode returns the statement's bytes, always the same for the same statement.
// It fails with ErrFormat for a reference without a tag, a digest that is not
// sha256, or an identity that is empty or not printable. That a reference is
// canonical is its parser's promise, not checked again here.
func (s Statement) Encode() ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	own, shared := s.Identity.OwnSubject(s.Ref), SharedSubject(s.Ref)
	repo, _, _ := cutTag(s.Ref)
	b, err := json.Marshal(statement{
		Type: StatementType,
		Subject: []subject{
			{s.Ref, digestSet{hex.EncodeToString(own[:])}},
			{s.Ref, digestSet{hex.EncodeToString(shared[:])}},
			{repo, digestSet{strings.TrimPrefix(s.Digest, "sha256:")}},
		},
		PredicateType: PredicateType,
		Predicate:     predicate{s.Identity.Issuer, s.Identity.Subject, s.Ref, s.Digest},
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if len(b) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", ErrFormat, len(b), MaxSize)
	}
	return b, nil
}

// Decode parses the bytes of a record. It accepts just what Encode returns.
func Decode(b []byte) (Statement, error) {
	if len(b) > MaxSize {
		return Statement{}, fmt.Errorf("%w: %d bytes, more than %d", ErrFormat, len(b), MaxSize)
	}
	var st statement
	if err := json.Unmarshal(b, &st); err != nil {
		return Statement{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	s := Statement{
		Identity: Identity{Issuer: st.Predicate.Issuer, Subject: st.Predicate.Identity},
		Ref:      st.Predicate.Reference,
		Digest:   st.Predicate.Digest,
	}
	again, err := s.Encode()
	if err != nil {
		return Statement{}, err
	}
	if !bytes.Equal(again, b) {
		return Statement{}, fmt.Errorf("%w: it does not encode back to the same bytes", ErrFormat)
	}
	return s, nil
}

// check reports what keeps the statement from being encoded.
func (s Statement) check() error {
	for _, field := range []string{s.Identity.Issuer, s.Identity.Subject} {
		if !printable(field) {
			return fmt.Errorf("%w: identity %q of issuer %q is empty or not printable", ErrFormat, s.Identity.Subject, s.Identity.Issuer)
		}
	}
	if repo, tag, ok := cutTag(s.Ref); !ok || repo == "" || tag == "" || strings.Contains(tag, "/") || !printable(s.Ref) {
		return fmt.Errorf("%w: reference %q is not a fully qualified tag", ErrFormat, s.Ref)
	}
	if !digestRE.MatchString(s.Digest) {
		return fmt.Errorf("%w: digest %q is not sha256 and 64 lower-case hex digits", ErrFormat, s.Digest)
	}
	return nil
}

// printable reports whether s can stand on a line of its own.
func printable(s string) bool {
	return s != "" && utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool {
		return !unicode.IsGraphic(r) || unicode.IsSpace(r)
	}) < 0
}

func cutTag(ref string) (repo, tag string, ok bool) {
	i := strings.LastIndexByte(ref, ':')
	if i < 0 {
		return ref, "", false
	}
	return ref[:i], ref[i+1:], true
}
