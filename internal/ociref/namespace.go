package ociref

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// CutNamespace cuts the parameter ns out of the raw query of a request. A
// client that asks a mirror names there the registry that it would else have
// asked (OCI distribution specification 1.1, "Registry Proxying").
//
// It returns the parameter's value, decoded and as written, and the query
// without the parameter, everything else in it as it was. Without the
// parameter the value is empty. A parameter that is there twice or does not
// hold the host of one registry, by the rules of [Registry], is an error that
// wraps ErrName; the rest is returned all the same.
//
// A colon before a port may be percent-encoded, as clients send it.
func CutNamespace(rawQuery string) (ns, rest string, err error) {
	pairs := strings.Split(rawQuery, "&")
	others := slices.DeleteFunc(slices.Clone(pairs), isNamespace)
	if len(others) == len(pairs) {
		return "", rawQuery, nil
	}
	rest = strings.Join(others, "&")
	if len(pairs)-len(others) > 1 {
		return "", rest, fmt.Errorf("%w: ns is given more than once", ErrName)
	}
	_, escaped, _ := strings.Cut(pairs[slices.IndexFunc(pairs, isNamespace)], "=")
	ns, err = url.QueryUnescape(escaped)
	if err != nil {
		return "", rest, fmt.Errorf("%w: ns is %s, which is not percent-encoded", ErrName, quote(escaped))
	}
	if _, err := Registry(ns); err != nil {
		return "", rest, fmt.Errorf("in ns: %w", err)
	}
	return ns, rest, nil
}

// isNamespace reports whether a pair of a query is the parameter ns, however
// its name is encoded: another reader of the same query would take it for that.
func isNamespace(pair string) bool {
	key, _, _ := strings.Cut(pair, "=")
	key, err := url.QueryUnescape(key)
	return err == nil && key == "ns"
}
