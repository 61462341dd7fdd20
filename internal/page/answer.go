package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	// The standard library's html/template, without calls of methods. With
	// those, the linker keeps every exported method of the whole program.
	template "github.com/DataDog/datadog-agent/pkg/template/html"

	"github.com/tlogistry/tlogistry/internal/limit"
	"github.com/tlogistry/tlogistry/internal/ociref"
)

//go:embed *.html
var files embed.FS

//go:embed style.css
var style string

// templates are part of the program: they parse, or no test passes. They do so
// for the first page, as most processes show none.
var templates = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("").Funcs(template.FuncMap{
		"when": func(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04:05 UTC") },
		"iso":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"soft": soft,
	}).ParseFS(files, "*.html"))
})

// soft lets a browser break an address or an identity where a reader would,
// before it breaks it anywhere: after the at sign and before dots, but for the
// last, so that no line has but a top-level domain. What has no more characters
// than fit needs no break.
func soft(fit int, s string) template.HTML {
	if len(s) <= fit {
		return template.HTML(template.HTMLEscapeString(s))
	}
	last := max(strings.LastIndexByte(s, '.'), 0)
	s = strings.ReplaceAll(template.HTMLEscapeString(s[:last]), ".", "<wbr>.") + template.HTMLEscapeString(s[last:])
	return template.HTML(strings.ReplaceAll(s, "@", "@<wbr>"))
}

// policy allows the one style sheet, and the form to come back here. Browsers
// hold a form's redirects against it too.
var policy = "default-src 'none'; style-src '" + hashOf(style) + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// hashOf names an inline style in a policy (CSP level 3, section 2.3.1).
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// An answer is a response not yet written.
type answer struct {
	status   int
	cache    string // Cache-Control
	location string // of a redirect, which has nothing else
	retry    string // Retry-After
	allow    string // Allow

	page   string // template
	title  string
	value  any     // what is told: the template's, and the JSON
	target *target // of a tag's page; nil for others
}

// A sheet is what a template sees.
type sheet struct {
	Style  template.CSS
	Title  string
	Host   string // to pull from
	Value  any
	Typed  string // what stands in the field
	JSON   string // address of the same as JSON
	Self   string // address of the page, in its one spelling
	Header bool   // whether the field is above the page
}

// retryAfter is told when the log cannot be asked, in seconds.
const retryAfter = "10"

// A problem is why there is no page, as JSON and for the template.
type problem struct {
	Title   string `json:"-"`
	Message string `json:"error"`
	Typed   string `json:"-"`
}

// failure is the answer that says an error. Statuses are those of a pull.
func (p *Pages) failure(r *http.Request, err error) *answer {
	var (
		much   *limit.Error
		broken *logError
		denied *notAllowedError
	)
	a := &answer{cache: "no-store", page: "problem"}
	say := func(status int, title, message string) {
		a.status, a.title = status, title+" - tlogistry"
		a.value = problem{title, message, typedIn(r)}
	}
	switch {
	case errors.As(err, &much):
		say(http.StatusTooManyRequests, "Too many requests", much.Error())
		a.retry = much.RetryAfter()
	case errors.As(err, &broken):
		if r.Context().Err() == nil { // else whoever asked went away
			p.c.Logger.ErrorContext(r.Context(), "no tag page", "path", r.URL.Path, "error", err.Error())
		}
		say(http.StatusServiceUnavailable, "The log cannot be asked",
			"the transparency log could not be asked for this tag, or its answer could not be verified, so nothing is said about it; try again later")
		a.retry = retryAfter
	case errors.As(err, &denied):
		say(http.StatusForbidden, "Not through this service", err.Error())
	case errors.Is(err, errMethod):
		say(http.StatusMethodNotAllowed, "Only GET and HEAD", err.Error())
		a.allow = "GET, HEAD"
	case errors.Is(err, errNotFound):
		say(http.StatusNotFound, "Not found", "there is no such page")
	case errors.Is(err, errQuery):
		say(http.StatusBadRequest, "Not a valid address", err.Error())
	case errors.Is(err, errEmpty), errors.Is(err, errSelf), errors.Is(err, errLoop),
		errors.Is(err, ociref.ErrName), errors.Is(err, ociref.ErrTag), errors.Is(err, ociref.ErrDigest):
		say(http.StatusBadRequest, "Not a valid image name", err.Error())
	default:
		say(http.StatusInternalServerError, "Internal error", "internal error")
	}
	return a
}

// typedIn returns what was asked for, to be corrected in the field.
func typedIn(r *http.Request) string {
	text, tag := strings.CutPrefix(r.URL.Path, "/tag/")
	if !tag {
		return ""
	}
	if text == "" {
		text = r.URL.Query().Get("image")
	}
	if len(text) > maxTyped {
		return ""
	}
	return text
}

// write writes the answer. A client that went away is told nothing.
func (a *answer) write(w http.ResponseWriter, r *http.Request, f form) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", policy)
	h.Set("Cache-Control", a.cache)
	h.Set("Vary", "Accept")
	for name, value := range map[string]string{"Location": a.location, "Retry-After": a.retry, "Allow": a.allow} {
		if value != "" {
			h.Set(name, value)
		}
	}
	var b bytes.Buffer
	if a.location == "" {
		mediaType, err := a.body(&b, r, f)
		if err != nil { // only text and numbers are shown
			http.Error(w, "internal error", http.StatusInternalServerError)
			return
		}
		h.Set("Content-Type", mediaType)
	}
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(b.Bytes())
	}
}

// body makes the body and returns its type.
func (a *answer) body(b *bytes.Buffer, r *http.Request, f form) (string, error) {
	if f.json {
		e := json.NewEncoder(b)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(true)
		return "application/json", e.Encode(a.value)
	}
	s := sheet{
		Style:  template.CSS(style),
		Title:  a.title,
		Host:   callerOf(r).host,
		Value:  a.value,
		Header: a.page != "home",
	}
	if v, ok := a.value.(problem); ok {
		s.Typed = v.Typed
	}
	if t := a.target; t != nil {
		s.Typed, s.Self, s.JSON = t.name, t.as(false).url(), t.as(true).url()
	}
	return "text/html; charset=utf-8", templates().ExecuteTemplate(b, a.page, s)
}
