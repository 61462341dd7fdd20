package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// maxLocation bounds an address that a client is sent to. Signed addresses of
// the large object stores are 1 to 2 KiB.
const maxLocation = 8 << 10

// A question is a request to a registry about one repository.
type question struct {
	to     *registry
	repo   string // within the registry, without prefix
	method string
	url    *url.URL
	header http.Header

	stream bool                // leave the body of a good answer unread
	once   bool                // take 401 for the answer
	stop   func(*url.URL) bool // says which redirects are the answer; nil: none
}

// ask puts a question, with a token or the registry's credentials if it wants
// either. A 401 from the registry makes it forget challenge and token and try
// once more: both may have changed or expired before their time.
func (c *Client) ask(ctx context.Context, q question) (*http.Response, error) {
	for again := !q.once; ; again = false {
		header, err := c.authorize(ctx, q.to, q.repo)
		if err != nil {
			return nil, err
		}
		resp, err := c.follow(ctx, q, header)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusUnauthorized || !again || !q.to.owns(resp.Request.URL) {
			return resp, nil
		}
		c.forget(q.to, q.repo, header)
	}
}

// follow sends the question's request and follows redirects, at most five,
// each through the guard. The Authorization header goes with the first request
// only, whatever host a redirect names, and a redirect that carries its token
// or credentials is refused.
func (c *Client) follow(ctx context.Context, q question, authorization string) (*http.Response, error) {
	t := &trip{client: c, to: q.to, stream: q.stream, large: true}
	header := q.header.Clone()
	if header == nil {
		header = http.Header{}
	}
	if authorization != "" {
		header.Set("Authorization", authorization)
	}
	_, secret, _ := strings.Cut(authorization, " ")
	for next := q.url; ; {
		req := (&http.Request{Method: q.method, URL: next, Header: header}).WithContext(ctx)
		resp, err := t.RoundTrip(req)
		if err != nil {
			return nil, failed(q.to, err)
		}
		if !redirects(resp.StatusCode) {
			return resp, nil
		}
		next, err = resp.Location()
		if err != nil {
			return nil, failed(q.to, fmt.Errorf("%w: %w", errBadRedirect, err))
		}
		if holds(next.String(), secret) {
			return nil, contradiction(q.to, fmt.Errorf("%w: the address holds the token", errBadRedirect))
		}
		if q.stop != nil && q.stop(next) {
			return resp, nil
		}
		header.Del("Authorization")
	}
}

func redirects(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// location returns the address to hand to a client, if it is fit for that. It
// is absolute, https, without user or fragment, and names no special address.
// A mapped registry is the operator's own affair: it may send clients over http
// and to any address.
func location(u *url.URL, mapped bool) (string, error) {
	text := u.String()
	read, err := url.Parse(text)
	switch {
	// Browsers make digits and dots of many characters that are not ASCII.
	case err != nil || read.Host != u.Host || !printable(u.Host):
		return "", fmt.Errorf("%w: the address is not one", errBadRedirect)
	case len(text) > maxLocation:
		return "", fmt.Errorf("%w: longer than %d bytes", errBadRedirect, maxLocation)
	case u.Scheme != "https" && (u.Scheme != "http" || !mapped):
		return "", fmt.Errorf("%w: scheme %q", errBadRedirect, u.Scheme)
	case u.User != nil || u.Fragment != "" || u.Opaque != "" || u.Hostname() == "":
		return "", fmt.Errorf("%w: the address has a user or a fragment, or no host", errBadRedirect)
	case !mapped && !publicHost(u.Hostname()):
		return "", fmt.Errorf("%w: %q is not on the public internet", errBadRedirect, u.Hostname())
	case !printable(text):
		return "", fmt.Errorf("%w: the address holds a character that is not allowed", errBadRedirect)
	}
	return text, nil
}

// hostBytes are what the names of hosts consist of.
const hostBytes = "abcdefghijklmnopqrstuvwxyz0123456789-._"

// publicHost reports whether a host is a name, or the one ordinary spelling of
// a public address. A name whose last label is a number is an address to
// somebody (inet_aton, WHATWG URL), whatever the spelling.
func publicHost(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if a, err := netip.ParseAddr(host); err == nil {
		return public(a)
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	return last != "" && last != "localhost" && !('0' <= last[0] && last[0] <= '9') && strings.Trim(host, hostBytes) == ""
}

// holds reports whether a text holds a secret, as it is or escaped as in an
// address.
func holds(text, secret string) bool {
	if secret == "" {
		return false
	}
	plain, err := url.QueryUnescape(text)
	if err != nil {
		plain = text
	}
	path, err := url.PathUnescape(text)
	if err != nil {
		path = text
	}
	return strings.Contains(text, secret) || strings.Contains(plain, secret) || strings.Contains(path, secret)
}

// printable reports whether s is ASCII without spaces and control characters.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// failed makes an *Error of what a trip returned, if it is not one yet.
func failed(to *registry, err error) error {
	var known *Error
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, errTooManyRedirects):
		return contradiction(to, errTooManyRedirects)
	}
	return badAnswer(to, err)
}
