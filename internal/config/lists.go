package config

import (
	"net/mail"
	"net/url"
	"slices"
	"strings"

	"github.com/tlogistry/tlogistry/internal/ociref"
	"github.com/tlogistry/tlogistry/internal/record"
)

// trusted reads issuer=identity pairs. One pair twice is a slip, for something
// else was meant; that one is the own identity cannot be told here, where that
// comes from a metadata server.
func (r *reader) trusted(log string) []record.Identity {
	const name = "TRUSTED_IDENTITIES"
	v := r.getenv(name)
	if v != "" && log == Local {
		r.bad(name, v, "nothing with TLOG=local, a log that knows no identities: set TLOG=rekor")
		return nil
	}
	var identities []record.Identity
	for _, pair := range split(v) {
		issuer, subject, ok := strings.Cut(pair, "=")
		if !ok || !isIssuer(issuer) || !isSubject(subject) {
			r.bad(name, pair, "issuer=identity, comma-separated, such as https://accounts.google.com=tlogistry@project.iam.gserviceaccount.com")
			return nil
		}
		id := record.Identity{Issuer: issuer, Subject: subject}
		if slices.Contains(identities, id) {
			r.bad(name, pair, "each identity once")
			return nil
		}
		identities = append(identities, id)
	}
	if v != "" && len(identities) == 0 {
		r.bad(name, v, "at least one identity")
	}
	return identities
}

// isIssuer reports whether s is an issuer's URL (OpenID Connect Discovery 1.0,
// section 3), or one in plain http, as a private Sigstore may have.
func isIssuer(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" &&
		u.User == nil && !strings.ContainsAny(s, "?#") && u.String() == s
}

// isSubject reports whether s can be the name in a certificate: an e-mail
// address or a URI.
func isSubject(s string) bool {
	if strings.Contains(s, "://") {
		u, err := url.Parse(s)
		return err == nil && u.Host != "" && u.User == nil && u.String() == s
	}
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s
}

func (r *reader) mutable() []ociref.TagPattern {
	const name = "MUTABLE_TAGS"
	v := r.getenv(name)
	var patterns []ociref.TagPattern
	for _, s := range split(v) {
		p, err := ociref.ParseTagPattern(s)
		if err != nil {
			r.bad(name, s, "comma-separated patterns such as docker.io/library/*:latest or ghcr.io/acme/**:nightly-*: "+err.Error())
			return nil
		}
		patterns = append(patterns, p)
	}
	if v != "" && len(patterns) == 0 {
		r.bad(name, v, "at least one pattern")
	}
	return patterns
}
