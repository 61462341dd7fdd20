package hostile

import (
	"fmt"
	"net/http"
	"strings"
)

// challenge answers a ping with 401 and the WWW-Authenticate headers given.
func challenge(headers ...string) handler {
	return func(r *Registry, w http.ResponseWriter, _ *http.Request) {
		w.Header().Del("Www-Authenticate")
		for _, h := range headers {
			w.Header()["Www-Authenticate"] = append(w.Header()["Www-Authenticate"], r.fill(h))
		}
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// needsToken answers the honest manifest to who has the token.
func needsToken(r *Registry, w http.ResponseWriter, req *http.Request) {
	if req.Header.Get("Authorization") != "Bearer "+Token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	honestManifest(r, w, req)
}

// challenges say in many ways where tokens are to be had. Whoever finds the
// token is answered honestly.
func challenges() map[string]behaviour {
	const realm = `Bearer realm="http://SELF/token"`
	m := map[string]behaviour{}
	for name, headers := range map[string][]string{
		"realm":                    {realm + `,service="srv"`},
		"realm with a query":       {`Bearer realm="http://SELF/token?account=a&scope=x",service="srv"`},
		"realm with a fragment":    {`Bearer realm="http://SELF/token#part",service="srv"`},
		"realm with both":          {`Bearer realm="http://SELF/token?a=b#part?c=d"`},
		"no service":               {realm},
		"no quotes":                {`Bearer realm=http://SELF/token,service=srv`},
		"several in one":           {`Basic realm="x", Negotiate, ` + realm + `,service="srv",scope="a,b"`},
		"several headers":          {`Basic realm="x"`, `Negotiate abc=`, realm},
		"two realms":               {`Bearer realm="http://SELF/token",realm="http://127.0.0.1:ELSEWHERE/token"`},
		"two bearers":              {realm, `Bearer realm="http://127.0.0.1:ELSEWHERE/token"`},
		"scheme in other case":     {`bEaReR REALM="http://SELF/token"`},
		"no realm":                 {`Bearer service="srv"`},
		"empty realm":              {`Bearer realm=""`},
		"no challenge":             {},
		"empty challenge":          {""},
		"Basic alone":              {`Basic realm="x"`},
		"unknown scheme":           {`Evil realm="http://SELF/token"`},
		"commas":                   {strings.Repeat(",", 10_000)},
		"quote without end":        {`Bearer realm="http://SELF/token`},
		"sixty kilobytes":          {`Bearer realm="http://SELF/token",x="` + strings.Repeat("x", 60_000) + `"`},
		"a thousand challenges":    {strings.Repeat(`Basic realm="x",`, 1000) + realm},
		"realm of sixty kilobytes": {`Bearer realm="http://SELF/` + strings.Repeat("x", 60_000) + `"`},
		"relative realm":           {`Bearer realm="/token"`},
		"escaped CR LF":            {`Bearer realm="http://SELF/token%0d%0aX-Evil: 1"`},
		"realm with quotes":        {`Bearer realm="http://SELF/\"token\""`},
		"CR LF in the service":     {realm + `,service="a%0d%0aX-Evil: 1"`},
		"service that is a query":  {realm + `,service="srv&scope=repository:other:push"`},
		"scope of its own":         {realm + `,scope="repository:other:push,pull registry:catalog:*"`},
		"service of an AWS":        {realm + `,service="public.ecr.aws",error="invalid_token"`},
	} {
		m["challenge: "+name] = behaviour{ping: challenge(headers...), manifest: needsToken}
	}
	for name, to := range targets {
		if !strings.ContainsAny(to, "\x01") {
			m["realm: "+name] = behaviour{ping: challenge(`Bearer realm="` + to + `"`), manifest: needsToken}
			m["realm's redirect: "+name] = behaviour{ping: challenge(realm), token: leads(to), manifest: needsToken}
		}
	}
	m["challenge: CR LF"] = behaviour{ping: raw("HTTP/1.1 401 x\r\nWWW-Authenticate: Bearer realm=\"http://a/\r\nX-Evil: 1\r\nContent-Length: 0\r\n\r\n", nil), manifest: needsToken}
	m["ping without end"] = behaviour{ping: func(_ *Registry, w http.ResponseWriter, req *http.Request) { pour(w, req) }}
	m["401 without end"] = behaviour{ping: func(_ *Registry, w http.ResponseWriter, req *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		pour(w, req)
	}}
	m["silent ping"] = behaviour{ping: raw("", silent)}
	m["ping is switching"] = behaviour{ping: raw("HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: evil\r\n\r\n", silent)}
	m["ping is broken"] = behaviour{ping: text(500, "")}
	m["ping is moved for good"] = behaviour{ping: hops(1<<30, nil), manifest: hops(1<<30, nil)}
	return m
}

// tokens are the answers of a token server.
func tokens(bomb string) map[string]behaviour {
	m := map[string]behaviour{}
	for name, h := range map[string]handler{
		"without end":     endless(),
		"too large":       text(200, strings.Repeat(" ", 1<<20)+`{"token":"x"}`),
		"gzip":            text(200, gzipped(`{"token":"`+Token+`"}`), "Content-Encoding: gzip"),
		"gzip bomb":       text(200, bomb, "Content-Encoding: gzip"),
		"HTML":            text(200, "<html>"),
		"empty":           text(200, ""),
		"without a token": text(200, `{"refresh_token":"`+Token+`"}`),
		"number":          text(200, `{"token":1}`),
		"CR LF":           text(200, `{"token":"a\r\nX-Evil: 1"}`),
		"space":           text(200, `{"token":"a b"}`),
		"sixty kilobytes": text(200, `{"token":"`+strings.Repeat("x", 60_000)+`"}`),
		"deep":            text(200, strings.Repeat("[", 60_000)),
		"silent":          raw("", silent),
		"silent inside":   raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", silent),
		"switching":       raw("HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: evil\r\n\r\n", silent),
		"401":             text(401, "", `Www-Authenticate: Bearer realm="http://127.0.0.1:1/token"`),
		"404":             text(404, `{"token":"`+Token+`"}`),
		"429":             text(429, "", "Retry-After: 7"),
		"500":             text(500, `{"token":"`+Token+`"}`),
		"of another":      text(200, `{"token":"another"}`),
		"expired":         text(200, `{"token":"`+Token+`","expires_in":1}`),
		"for ever":        text(200, `{"token":"`+Token+`","expires_in":9223372036854775807}`),
		"life of a text":  text(200, `{"token":"`+Token+`","expires_in":"300"}`),
		"beyond 64 bits":  text(200, `{"token":"`+Token+`","expires_in":1e300}`),
	} {
		m["token: "+name] = behaviour{ping: challenge(`Bearer realm="http://SELF/token",service="srv"`), token: h, manifest: needsToken}
	}
	// Over TLS the realm is the registry's own address, too.
	m["token without end, TLS"] = behaviour{token: endless(), ping: func(r *Registry, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Www-Authenticate", fmt.Sprintf("Bearer realm=%q", r.URL+tokenPath))
		w.WriteHeader(http.StatusUnauthorized)
	}}
	return m
}
