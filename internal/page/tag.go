package page

import (
	"net/http"
	"slices"
	"strings"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

// maxTyped is more than any reference has, in bytes.
const maxTyped = 1024

// typed answers what the form sends with the way to the tag's page.
func (p *Pages) typed(r *http.Request, f form) (*answer, error) {
	values, sent := r.URL.Query()["image"]
	if !sent {
		return redirect(http.StatusSeeOther, "/"), nil
	}
	text := strings.TrimSpace(values[0])
	if text == "" {
		return nil, errEmpty
	}
	t, err := parseTarget(text, r.Host, f)
	if err != nil {
		return nil, err
	}
	return redirect(http.StatusSeeOther, t.url()), nil
}

// tag answers with the page of a tag.
func (p *Pages) tag(r *http.Request, text string, f form) (*answer, error) {
	if f.suffix {
		text = strings.TrimSuffix(text, suffix)
	}
	t, err := parseTarget(text, r.Host, f)
	if err != nil {
		return nil, err
	}
	if err := p.permit(t.req, strings.ToLower(r.Host)); err != nil {
		return nil, err
	}
	if r.URL.EscapedPath() != t.path() {
		a := redirect(http.StatusPermanentRedirect, t.url())
		a.cache = "public, max-age=3600"
		return a, nil
	}
	var l *look
	if t.req.Tag != "" && !t.req.Derived() && !p.exempt(t.req) {
		if l, err = p.find(r.Context(), t.req); err != nil {
			return nil, err
		}
	}
	return &answer{
		status: http.StatusOK,
		cache:  "private, max-age=10", // its commands have the caller's own address
		page:   "tag",
		title:  t.name + " - tlogistry",
		value:  p.view(t, l, callerOf(r)),
		target: &t,
	}, nil
}

// exempt reports whether a tag is passed through unrecorded.
func (p *Pages) exempt(r ociref.Request) bool {
	return slices.ContainsFunc(p.c.Mutable, func(m ociref.TagPattern) bool { return m.Match(r) })
}

func redirect(status int, to string) *answer {
	return &answer{status: status, location: to, cache: "no-store"}
}
