// Package ociref parses the paths of the OCI distribution API into requests.
//
// A path is
//
//	/v2/
//	/v2/<name>/manifests/<tag or digest>
//	/v2/<name>/blobs/<digest>
//	/v2/<name>/tags/list
//	/v2/<name>/referrers/<digest>
//
// A name is a registry and a repository, such as ghcr.io/acme/app. The
// registry is left out for Docker Hub, by Docker's rule: a first component is a
// registry if it has a dot or a colon or is "localhost", and another component
// follows. Repository, tag and digest follow the grammar of the OCI
// distribution specification 1.1 exactly. Only sha256 digests are known.
//
// Every spelling of a name becomes one: docker.io and registry-1.docker.io are
// index.docker.io, a Hub name of one component is in library/, port 443 goes
// away. Nothing in this grammar needs percent-encoding, so a path with a
// percent sign is refused: there is one spelling of each request on the wire.
//
// A client that uses the service as a mirror leaves the registry out of the
// path and names it in the query; see [ParseMirrored].
package ociref

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Errors that [Parse] wraps. They tell which part of a path is at fault.
var (
	ErrPath   = errors.New("not a path of the registry API")
	ErrName   = errors.New("invalid repository name")
	ErrTag    = errors.New("invalid tag")
	ErrDigest = errors.New("invalid digest")
)

// Kind tells what a request asks for.
type Kind int

// The kinds of requests.
const (
	Ping Kind = iota
	Manifest
	Blob
	Tags
	Referrers
)

// String returns the kind's name in logs.
func (k Kind) String() string {
	switch k {
	case Ping:
		return "ping"
	case Manifest:
		return "manifest"
	case Blob:
		return "blob"
	case Tags:
		return "tags"
	case Referrers:
		return "referrers"
	}
	return "Kind(" + strconv.Itoa(int(k)) + ")"
}

// A Request is a pull parsed from a request path.
// Only this package makes one, so every field is already valid and canonical.
type Request struct {
	Kind   Kind   // ping, manifest, blob, tag list, referrers
	Repo   string // registry and repository, such as "index.docker.io/library/alpine"
	Tag    string // set only for a manifest named by tag
	Digest string // "sha256:" and 64 hex digits; set only if Tag is empty
}

// Anchored forms of the grammar in the OCI distribution specification 1.1,
// "Pulling manifests", and of OCI image-spec descriptors for digests.
var (
	nameRE     = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	registryRE = regexp.MustCompile(`^[a-z0-9]+(?:-+[a-z0-9]+)*(?:\.[a-z0-9]+(?:-+[a-z0-9]+)*)*(?::[1-9][0-9]{0,4})?$`)
)

// The rest of that grammar are letters and lengths. A regular expression is
// compiled at each start, and one with a long {n} takes more of it than all
// else that this package needs.
const (
	maxTag   = 128
	hexBytes = "0123456789abcdef"
	tagBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
)

func isTag(s string) bool {
	return s != "" && len(s) <= maxTag && s[0] != '.' && s[0] != '-' && only(s, tagBytes)
}

func isHash(s string) bool { return len(s) == 64 && only(s, hexBytes) }

// only reports whether s consists of bytes in a set of ASCII.
func only(s, set string) bool { return strings.Trim(s, set) == "" }

// Parse parses the escaped path of a request's URL.
// Its errors wrap one of the sentinels of this package and quote the part at fault.
func Parse(path string) (Request, error) {
	return ParseMirrored("", path)
}

// ParseMirrored parses the escaped path of a request's URL whose query names
// the registry ns, as [CutNamespace] returns it. The path is then relative to
// that registry: with the ns ghcr.io, /v2/acme/app/tags/list is of
// ghcr.io/acme/app. A path that names a registry itself has to name the same
// one, in any spelling; else its meaning would depend on who reads it.
//
// By the rule of [Parse], a first component with a dot or a colon, or
// "localhost", names a registry if another component follows. So a repository
// of ns that begins like that can only be pulled by a path that names ns too.
//
// With an empty ns it is Parse. Its errors are as those of Parse.
func ParseMirrored(ns, path string) (Request, error) {
	if path == "/v2/" || path == "/v2" {
		return Request{Kind: Ping}, nil
	}
	rest, ok := strings.CutPrefix(path, "/v2/")
	if !ok {
		return Request{}, fmt.Errorf("%w: %s", ErrPath, quote(path))
	}
	if strings.Contains(path, "%") {
		return Request{}, fmt.Errorf("%w: %s holds a percent-encoded character", ErrName, quote(path))
	}
	rest, last, ok := cutLast(rest)
	if !ok {
		return Request{}, fmt.Errorf("%w: %s", ErrPath, quote(path))
	}
	repo, verb, ok := cutLast(rest)
	if !ok {
		return Request{}, fmt.Errorf("%w: %s", ErrPath, quote(path))
	}
	r, err := target(verb, last)
	if errors.Is(err, ErrPath) {
		return Request{}, fmt.Errorf("%w: %s", ErrPath, quote(path))
	}
	if err != nil {
		return Request{}, err
	}
	r.Repo, err = canonical(ns, repo)
	if err != nil {
		return Request{}, err
	}
	return r, nil
}

// ParseReference parses a reference as users type it, such as
// "alpine:3.16.0" or "ghcr.io/acme/app@sha256:…", into the request for its
// manifest. Without tag and digest the tag is "latest". With both, the digest
// counts, as for every client.
func ParseReference(ref string) (Request, error) {
	repo, digest, pinned := strings.Cut(ref, "@")
	tag := "latest"
	if i := strings.LastIndex(repo, ":"); i > strings.LastIndex(repo, "/") {
		repo, tag = repo[:i], repo[i+1:]
	}
	if !isTag(tag) {
		return Request{}, fmt.Errorf("%w: %s", ErrTag, quote(tag))
	}
	r := Request{Kind: Manifest, Tag: tag}
	if pinned {
		if !IsDigest(digest) {
			return Request{}, fmt.Errorf("%w: %s", ErrDigest, quote(digest))
		}
		r.Tag, r.Digest = "", digest
	}
	var err error
	r.Repo, err = canonical("", repo)
	if err != nil {
		return Request{}, err
	}
	return r, nil
}

// Registry returns the registry's host, with its port if that is not 443.
func (r Request) Registry() string {
	registry, _, _ := strings.Cut(r.Repo, "/")
	return registry
}

// Repository returns the repository's name within its registry.
func (r Request) Repository() string {
	_, repository, _ := strings.Cut(r.Repo, "/")
	return repository
}

// String returns the fully qualified reference, "repo:tag" or "repo@digest",
// or the repository alone for a tag list, or "/v2/" for a ping.
func (r Request) String() string {
	switch {
	case r.Kind == Ping:
		return "/v2/"
	case r.Tag != "":
		return r.Repo + ":" + r.Tag
	case r.Digest != "":
		return r.Repo + "@" + r.Digest
	}
	return r.Repo
}

// Derived reports whether the request names a tag that is derived from a
// digest: cosign's sha256-….sig and its kin, and the referrers fall-back tag of
// the distribution specification. Such tags grow in place by design.
func (r Request) Derived() bool {
	algorithm, rest, _ := strings.Cut(r.Tag, "-")
	hash, suffix, more := strings.Cut(rest, ".")
	return (algorithm == "sha256" || algorithm == "sha512") && isHash(hash) && (!more || suffix != "" && only(suffix, tagBytes))
}

// IsDigest reports whether s is a digest that a Request can hold.
func IsDigest(s string) bool {
	hash, ok := strings.CutPrefix(s, "sha256:")
	return ok && isHash(hash)
}

// target parses the last two components of a path.
func target(verb, last string) (Request, error) {
	switch verb {
	case "manifests":
		if strings.Contains(last, ":") {
			return withDigest(Manifest, last)
		}
		if !isTag(last) {
			return Request{}, fmt.Errorf("%w: %s", ErrTag, quote(last))
		}
		return Request{Kind: Manifest, Tag: last}, nil
	case "blobs":
		return withDigest(Blob, last)
	case "referrers":
		return withDigest(Referrers, last)
	case "tags":
		if last == "list" {
			return Request{Kind: Tags}, nil
		}
	}
	return Request{}, ErrPath
}

func withDigest(kind Kind, digest string) (Request, error) {
	if !IsDigest(digest) {
		return Request{}, fmt.Errorf("%w: %s is not sha256 and 64 lower-case hex digits", ErrDigest, quote(digest))
	}
	return Request{Kind: kind, Digest: digest}, nil
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}

// quote quotes what a client sent, cut to what fits a line of an error.
func quote(s string) string {
	const most = 150
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + " and more"
	}
	return strconv.QuoteToASCII(s)
}
