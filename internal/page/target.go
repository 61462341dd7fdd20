package page

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

// A form is how an answer is shown, and by what it is known.
type form struct {
	json   bool
	named  bool // by the parameter format, so that .json is part of a tag
	suffix bool // by .json at the end of the path
}

// formOf returns the form that a request asks for. With an error it is the one
// to tell that in.
func formOf(r *http.Request) (form, error) {
	f := form{json: prefersJSON(r.Header.Values("Accept"))}
	values, named := r.URL.Query()["format"]
	switch {
	case len(values) == 1 && (values[0] == "json" || values[0] == "html"):
		return form{json: values[0] == "json", named: true}, nil
	case named:
		return f, fmt.Errorf("%w: format: want html or json", errQuery)
	}
	text, tag := strings.CutPrefix(r.URL.Path, "/tag/")
	if ref, ok := strings.CutSuffix(text, suffix); ok && tag && tagged(ref) {
		return form{json: true, suffix: true}, nil
	}
	return f, nil
}

// prefersJSON reports whether Accept ranks application/json above text/html. A
// client that says nothing or accepts everything alike gets HTML.
func prefersJSON(accept []string) bool {
	var json, html float64
	for value := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		t, params, err := mime.ParseMediaType(value)
		if err != nil {
			continue
		}
		q := 1.0
		if text, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
		}
		switch t {
		case "application/json":
			json = max(json, q)
		case "text/html":
			html = max(html, q)
		}
	}
	return json > html
}

// A target is the tag or digest that a path names.
type target struct {
	req  ociref.Request
	name string // the reference as users type it
	form form
}

// parseTarget parses a reference as users type it. They may type this service's
// own host before it, as for a pull.
func parseTarget(ref, host string, f form) (target, error) {
	req, err := ociref.ParseReference(strings.TrimPrefix(ref, host+"/"))
	if err != nil {
		return target{}, err
	}
	return target{req: req, name: familiar(req), form: f}, nil
}

// path returns the one path of the target in its form.
func (t target) path() string {
	if t.form.suffix {
		return "/tag/" + t.name + suffix
	}
	return "/tag/" + t.name
}

// url returns the path, with the form as a parameter if it was asked for so, or
// if the path alone would mean another tag.
func (t target) url() string {
	if !t.form.suffix && (t.form.named || strings.HasSuffix(t.name, suffix)) {
		if t.form.json {
			return t.path() + "?format=json"
		}
		return t.path() + "?format=html"
	}
	return t.path()
}

// as returns the target in another form, known by the path if it can be.
func (t target) as(json bool) target {
	t.form = form{json: json, suffix: json && !strings.HasSuffix(t.name, suffix)}
	return t
}

const suffix = ".json"

// tagged reports whether a reference names a tag or a digest.
func tagged(ref string) bool {
	return strings.LastIndexAny(ref, ":@") > strings.LastIndexByte(ref, '/')
}

// familiar returns a reference as users type it: the shortest of its spellings.
// On Docker Hub a name may look like another registry's, and needs the Hub's.
func familiar(r ociref.Request) string {
	short, hub := strings.CutPrefix(r.Repo, "index.docker.io/")
	if !hub {
		return spell(r, r.Repo)
	}
	for _, repo := range []string{strings.TrimPrefix(short, "library/"), short} {
		if again, err := ociref.ParseReference(spell(r, repo)); err == nil && again == r {
			return spell(r, repo)
		}
	}
	return spell(r, "docker.io/"+short)
}

// spell returns the reference with another spelling of its repository.
func spell(r ociref.Request, repo string) string {
	r.Repo = repo
	return r.String()
}

var (
	errQuery    = errors.New("invalid parameter")
	errEmpty    = errors.New("no image name was given")
	errNotFound = errors.New("not found")
	errMethod   = errors.New("only GET and HEAD are answered")
	errSelf     = errors.New("the name leads back to this service: leave its host name out")
	errLoop     = errors.New("the registry leads back to this service")
)

// A notAllowedError says that ALLOW does not select a repository.
type notAllowedError struct{ repo string }

func (e *notAllowedError) Error() string {
	return fmt.Sprintf("repository %s may not be pulled through this service", e.repo)
}

// permit refuses a repository that may not be pulled through this service.
func (p *Pages) permit(req ociref.Request, host string) error {
	switch {
	case req.LeadsTo(host):
		return errSelf
	case !req.AllowedBy(p.c.Allow):
		return &notAllowedError{repo: req.Repo}
	}
	return nil
}
