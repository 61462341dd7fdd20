// Package page is the service's home page: what it is, how to pull through it,
// and whose records it believes in which log.
package page

import (
	"bytes"
	"context"
	_ "embed"
	"html/template"
	"net/http"
	"strconv"
	"time"
)

//go:embed home.html
var homeHTML string

// identityWait is how long the page waits to learn the identity.
const identityWait = 2 * time.Second

// A Config is what the page tells.
type Config struct {
	Log     string                                // the log's address
	Key     string                                // verifier key of an embedded log; empty for another log
	Issuer  string                                // issuer of the identity
	Subject func(context.Context) (string, error) // the identity; nil if there is none
}

// New returns the handler of every path that is not the registry API's.
// It answers GET and HEAD of / and nothing else.
func New(c Config) http.Handler {
	// The template is part of the program: it parses, or no test passes.
	return &home{c: c, t: template.Must(template.New("home").Parse(homeHTML))}
}

type home struct {
	c Config
	t *template.Template
}

func (h *home) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	hd := w.Header()
	hd.Set("X-Content-Type-Options", "nosniff")
	hd.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	hd.Set("Referrer-Policy", "no-referrer")
	switch {
	case r.URL.Path != "/":
		http.Error(w, "not found", http.StatusNotFound)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		hd.Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD are answered", http.StatusMethodNotAllowed)
		return
	}
	var b bytes.Buffer
	if err := h.t.Execute(&b, h.data(r)); err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	hd.Set("Content-Type", "text/html; charset=utf-8")
	hd.Set("Content-Length", strconv.Itoa(b.Len()))
	if r.Method == http.MethodGet {
		_, _ = w.Write(b.Bytes()) // the client went away; there is nobody to tell
	}
}

func (h *home) data(r *http.Request) any {
	d := struct{ Host, Log, Key, Issuer, Subject string }{Host: r.Host, Log: h.c.Log, Key: h.c.Key, Issuer: h.c.Issuer}
	if h.c.Subject != nil {
		ctx, cancel := context.WithTimeout(r.Context(), identityWait)
		defer cancel()
		if s, err := h.c.Subject(ctx); err == nil {
			d.Subject = s
		}
	}
	return d
}
