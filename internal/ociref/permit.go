package ociref

import (
	"slices"
	"strings"
)

// LeadsTo reports whether the registry of a request is the host by which a
// client knows this service, as in a Host header: to ask it would be to ask
// ourselves. Another port is another registry, and what is no registry's name
// is none's.
func (r Request) LeadsTo(host string) bool {
	self, err := Registry(strings.ToLower(host))
	return err == nil && self == r.Registry()
}

// AllowedBy reports whether one of the patterns selects the repository of a
// request. Nil allows every one, an empty list none.
func (r Request) AllowedBy(allow []Pattern) bool {
	return allow == nil || slices.ContainsFunc(allow, func(p Pattern) bool { return p.Match(r.Repo) })
}
