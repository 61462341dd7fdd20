package tilelog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/tlogistry/tlogistry/internal/record"
)

// recordVersion is the format version of the records that this package writes
// and the only one that it reads.
const recordVersion = 1

var (
	digestRE = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	tagRE    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
)

// A Record is an entry of the log: a tag pointed at a digest.
//
// Encoded it is JSON without white space, its fields in this order and no
// others:
//
//	{"version":1,"reference":"<reference>","digest":"<digest>","time":"<time>"}
//
// No string in it needs an escape. It has record.MaxSize bytes at most.
type Record struct {
	Ref    string    // fully qualified, such as "index.docker.io/library/alpine:3.16.0"
	Digest string    // "sha256:" and 64 lower-case hex digits
	Time   time.Time // when the log took it in, by its own clock: UTC, to the second
}

// recordJSON is the JSON of a record. Field order is the encoding's order.
type recordJSON struct {
	Version   int    `json:"version"`
	Reference string `json:"reference"`
	Digest    string `json:"digest"`
	Time      string `json:"time"`
}

// Encode returns the record's bytes, with the time cut to the second. It fails
// with record.ErrFormat for a reference without a tag, a digest that is not
// sha256, or a year of more than four digits.
func (r Record) Encode() ([]byte, error) {
	t := r.Time.UTC()
	switch {
	case !tagged(r.Ref):
		return nil, fmt.Errorf("%w: reference %.300q is not a fully qualified tag", record.ErrFormat, r.Ref)
	case !digestRE.MatchString(r.Digest):
		return nil, fmt.Errorf("%w: digest %.100q is not sha256 and 64 lower-case hex digits", record.ErrFormat, r.Digest)
	case t.Year() < 0 || t.Year() > 9999:
		return nil, fmt.Errorf("%w: the year %d does not fit RFC 3339", record.ErrFormat, t.Year())
	}
	b, err := json.Marshal(recordJSON{recordVersion, r.Ref, r.Digest, t.Format(time.RFC3339)})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", record.ErrFormat, err)
	}
	if len(b) > record.MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", record.ErrFormat, len(b), record.MaxSize)
	}
	return b, nil
}

// DecodeRecord parses an entry of the log. It accepts just what Encode
// returns; every error wraps record.ErrFormat.
func DecodeRecord(b []byte) (Record, error) {
	if len(b) > record.MaxSize {
		return Record{}, fmt.Errorf("%w: %d bytes, more than %d", record.ErrFormat, len(b), record.MaxSize)
	}
	var j recordJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return Record{}, fmt.Errorf("%w: %w", record.ErrFormat, err)
	}
	if j.Version != recordVersion {
		return Record{}, fmt.Errorf("%w: version %d, want %d", record.ErrFormat, j.Version, recordVersion)
	}
	t, err := time.Parse(time.RFC3339, j.Time)
	if err != nil {
		return Record{}, fmt.Errorf("%w: time %.100q is not RFC 3339", record.ErrFormat, j.Time)
	}
	r := Record{Ref: j.Reference, Digest: j.Digest, Time: t.UTC()}
	again, err := r.Encode()
	if err != nil {
		return Record{}, err
	}
	if !bytes.Equal(again, b) {
		return Record{}, fmt.Errorf("%w: it does not encode back to the same bytes", record.ErrFormat)
	}
	return r, nil
}

// Sighting returns the record as the sighting at a log index. Its UUID is the
// entry's RFC 6962 leaf hash in hex, its hash the SHA-256 of the entry.
func (r Record) Sighting(index int64) (record.Sighting, error) {
	b, err := r.Encode()
	if err != nil {
		return record.Sighting{}, err
	}
	return record.Sighting{
		Ref:    r.Ref,
		Digest: r.Digest,
		Hash:   sha256.Sum256(b),
		UUID:   hex.EncodeToString(rfc6962.DefaultHasher.HashLeaf(b)),
		Index:  index,
		Time:   r.Time.UTC().Truncate(time.Second),
	}, nil
}

// tagged reports whether ref is a registry, a repository and a tag in
// characters that JSON shows as they are. That a reference is canonical is its
// parser's promise, not checked again here.
func tagged(ref string) bool {
	colon := strings.LastIndexByte(ref, ':')
	if colon < 0 || !tagRE.MatchString(ref[colon+1:]) {
		return false
	}
	registry, repo, ok := strings.Cut(ref[:colon], "/")
	return ok && registry != "" && repo != "" && strings.IndexFunc(ref, func(c rune) bool {
		return c <= ' ' || c > '~' || strings.ContainsRune(`"\<>&`, c)
	}) < 0
}
