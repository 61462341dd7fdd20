package hostile

import (
	"net/http"
	"strconv"
	"strings"
)

// lists are tag lists and, with the name "referrers: …", the same as referrers.
func lists(bomb string) map[string]behaviour {
	const list = `{"name":"another/name","tags":["v1"],"manifests":[]}`
	m := map[string]behaviour{}
	for name, h := range map[string]handler{
		"without end":         endless("Content-Type: application/json"),
		"too long":            text(200, list+strings.Repeat(" ", limit)),
		"gzip bomb":           text(200, bomb, "Content-Encoding: gzip"),
		"HTML":                text(200, "<script>alert(1)</script>", "Content-Type: text/html"),
		"array":               text(200, `["v1"]`),
		"deep":                text(200, `{"tags":`+strings.Repeat("[", limit-100)),
		"half":                text(200, list[:20]),
		"many members":        text(200, manyNames()),
		"silent":              raw("HTTP/1.1 200 OK\r\n\r\n", silent),
		"type of a page":      text(200, list, "Content-Type: text/html"),
		"link elsewhere":      text(200, list, `Link: <http://127.0.0.1:1/v2/evil/LAST?n=1&last=v1>; rel="next"`),
		"link to a catalog":   text(200, list, `Link: </v2/_catalog?n=1>; rel="next"`),
		"link of a script":    text(200, list, `Link: <javascript:alert(1)?n=1>; rel="next"`),
		"link without end":    text(200, list, `Link: </v2/app/LAST?n=1; rel="next"`),
		"link with a bracket": text(200, list, `Link: </v2/app/LAST?n=1&last="><x>; rel="next"`),
		"link of 60 KiB":      text(200, list, `Link: </v2/app/LAST?last=`+strings.Repeat("x", 60_000)+`>; rel="next"`),
		"many links":          text(200, list, `Link: `+strings.Repeat(`<?n=1>; rel="prev", `, 2000)+`<?n=2>; rel="next"`),
		"redirect":            leads("http://127.0.0.1:ELSEWHERE/v2/app/tags/list"),
	} {
		m["tags: "+name] = behaviour{tags: ending(h, "tags/list")}
		m["referrers: "+name] = behaviour{referrers: ending(h, "")}
	}
	return m
}

// manyNames is a list with as many members as fit.
func manyNames() string {
	var b strings.Builder
	b.WriteString(`{"name":"another/name"`)
	for i := 0; b.Len() < limit-100; i++ {
		b.WriteString(`,"` + strconv.FormatInt(int64(i), 36) + `":1`)
	}
	return b.String() + "}"
}

// ending fills in the last part of a list's path in Link: what was asked for
// where end is empty.
func ending(h handler, end string) handler {
	return func(r *Registry, w http.ResponseWriter, req *http.Request) {
		last := end
		if last == "" {
			last = req.URL.Path[strings.Index(req.URL.Path, "/referrers/")+1:]
		}
		h(r, linking{w, last}, req)
	}
}

type linking struct {
	http.ResponseWriter
	last string
}

func (l linking) WriteHeader(status int) {
	if link := l.Header().Get("Link"); link != "" {
		l.Header().Set("Link", strings.Replace(link, "LAST", l.last, 1))
	}
	l.ResponseWriter.WriteHeader(status)
}

func (l linking) Unwrap() http.ResponseWriter { return l.ResponseWriter }

// blobs are answers to requests for blobs.
func blobs() map[string]behaviour {
	const ok = "HTTP/1.1 200 OK\r\n"
	m := map[string]behaviour{}
	for name, h := range map[string]handler{
		"without end":          endless(),
		"length too long":      raw(ok+"Content-Length: 1000\r\n\r\n"+Blob, nil),
		"chunks without end":   raw(ok+"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", nil),
		"silent":               raw("", silent),
		"silent inside":        raw(ok+"Content-Length: 1000\r\n\r\n"+Blob, silent),
		"reset inside":         raw(ok+"Content-Length: 1000\r\n\r\n"+Blob, reset),
		"switching":            raw("HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: evil\r\n\r\n", silent),
		"page":                 text(200, "<script>alert(1)</script>", "Content-Type: text/html"),
		"another digest":       text(200, Blob, "Docker-Content-Digest: "+Digest("x")),
		"part":                 text(206, Blob, "Content-Range: bytes 0-18/1000"),
		"no such range":        text(416, ""),
		"204":                  text(204, ""),
		"401":                  text(401, ""),
		"500 without end":      func(_ *Registry, w http.ResponseWriter, req *http.Request) { w.WriteHeader(500); pour(w, req) },
		"header of a megabyte": raw(ok+"X-Evil: "+strings.Repeat("x", 1<<20)+"\r\n\r\n", nil),
		"header with CR":       raw(ok+"ETag: \"a\rSet-Cookie: evil=1\"\r\nContent-Length: 0\r\n\r\n", nil),
		"redirect to a script": leads("javascript:alert(1)"),
		"redirect to a file":   leads("file:///etc/passwd"),
		"redirect with a user": leads("https://user:secret@cdn.example.org/b"),
		"redirect with a part": leads("https://cdn.example.org/b#part"),
		"redirect to nothing":  leads(""),
		"redirect of digits":   leads("https://①②⑦.⓪.⓪.①/b"),
		"redirect of 9 KiB":    leads("https://cdn.example.org/" + strings.Repeat("x", 9<<10)),
		"redirect to itself": func(_ *Registry, w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, req.URL.Path, http.StatusTemporaryRedirect)
		},
		"redirect to a CDN":     leads("https://cdn.example.org/b?sig=a%2Fb"),
		"redirect, two answers": raw("HTTP/1.1 307 x\r\nLocation: https://cdn.example.org/b\r\nLocation: javascript:alert(1)\r\nContent-Length: 0\r\n\r\n", nil),
	} {
		m["blob: "+name] = behaviour{blob: h}
	}
	m["blob: redirect with the token"] = behaviour{
		ping: challenge(`Bearer realm="http://SELF/token"`),
		blob: leads("https://cdn.example.org/b?jwt=token%2Fof%2Bthe%3Dupstream"),
	}
	return m
}
