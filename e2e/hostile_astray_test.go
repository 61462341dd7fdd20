package e2e

import (
	"maps"

	"github.com/tlogistry/tlogistry/e2e/hostile"
)

// rulings returns those of all cases.
func rulings() map[string]ruling {
	m := map[string]ruling{}
	for _, some := range []map[string]ruling{manifestRulings(), statusRulings(), wireRulings(), astrayRulings(), tokenRulings(), listRulings(), blobRulings()} {
		maps.Copy(m, some)
	}
	return m
}

// astrayRulings are those of redirects and realms. Where a redirect leads is
// found out by the guard; where a realm does, in part by go-containerregistry.
func astrayRulings() map[string]ruling {
	m := map[string]ruling{
		"redirect of five hops":            good,
		"redirect of six hops":             bad(": more than 5 redirects"),
		"redirect to itself":               bad(": more than 5 redirects"),
		"redirect in a circle":             bad(": more than 5 redirects"),
		"redirect without end":             bad(": more than 5 redirects"),
		"two locations":                    bad(": more than 5 redirects"),
		"redirect with the token":          bad(": bad redirect: the address holds the token"),
		"redirect with a body without end": bad(""),
	}
	for target, of := range map[string]struct{ redirect, realm ruling }{
		"http loopback":           {bad(""), bad("")},
		"https loopback":          {forbidden, bad("")},
		"localhost":               {forbidden, forbidden},
		"localhost and dot":       {lookedUp, lookedUp},
		"http localhost":          {bad(""), bad("")},
		"decimal loopback":        {lookedUp, bad("")},
		"octal loopback":          {lookedUp, bad("")},
		"hex loopback":            {lookedUp, bad("")},
		"short loopback":          {lookedUp, bad("")},
		"zero":                    {forbidden, bad("")},
		"loopback six":            {forbidden, bad("")},
		"mapped loopback":         {forbidden, bad("")},
		"NAT64 loopback":          {forbidden, forbidden},
		"6to4 loopback":           {forbidden, forbidden},
		"zone":                    {forbidden, bad("")},
		"site-local":              {forbidden, forbidden},
		"metadata":                {bad(""), bad("")},
		"metadata, https":         {forbidden, bad("")},
		"metadata, mapped":        {forbidden, bad("")},
		"private":                 {forbidden, bad("")},
		"shared":                  {forbidden, forbidden},
		"another port of its":     {bad(""), bad("")},
		"its own, https":          {bad(""), bad("")},
		"http downgrade":          {bad(""), bad("")},
		"without a scheme":        {bad(""), bad("")},
		"user":                    {bad(""), bad("")},
		"user of its own":         {bad(""), bad("")},
		"file":                    {bad(""), bad("")},
		"gopher":                  {bad(""), bad("")},
		"script":                  {bad(""), bad("")},
		"data":                    {bad(""), bad("")},
		"no host":                 {bad(""), bad("")},
		"no address":              {bad(""), bad("")},
		"low port":                {forbidden, forbidden},
		"backslash":               {bad(""), bad("")},
		"nothing to go to":        {bad(""), bad("")},
		"control character":       {outOfReach, ruling{}}, // a realm with one is no header
		"space":                   {bad(""), bad("")},
		"port beyond the highest": {outOfReach, outOfReach},
	} {
		m["redirect: "+target] = of.redirect
		m["far redirect: "+target] = of.redirect
		m["ping redirect: "+target] = of.redirect
		if of.realm != (ruling{}) {
			m["realm: "+target] = of.realm
			m["realm's redirect: "+target] = of.realm
		}
	}
	m["ping redirect: nothing to go to"] = statusOf("307", 502)
	m["realm's redirect: nothing to go to"] = statusOf("307", 502)
	return m
}

// tokenRulings are those of pings, challenges and token services.
func tokenRulings() map[string]ruling {
	m := map[string]ruling{
		"ping without end":         good,
		"401 without end":          denied(""),
		"silent ping":              late,
		"ping is switching":        statusOf("101", 502),
		"ping is broken":           statusOf("500", 502),
		"ping is moved for good":   bad(""),
		"token: 401":               denied(""),
		"token: 404":               bad(""),
		"token: 429":               limited,
		"token: 500":               statusOf("500", 502),
		"token: of another":        denied(" of REG/app"),
		"token: switching":         statusOf("101", 502),
		"token without end, TLS":   bad(""),
		"challenge: escaped CR LF": denied(""),
	}
	for of, names := range map[ruling][]string{
		good: {"challenge: realm", "challenge: realm with a query", "challenge: realm with a fragment", "challenge: realm with both", "challenge: no service",
			"challenge: no quotes", "challenge: several in one", "challenge: several headers", "challenge: two bearers", "challenge: scheme in other case",
			"challenge: sixty kilobytes", "challenge: a thousand challenges", "challenge: CR LF in the service", "challenge: service that is a query",
			"challenge: scope of its own", "challenge: service of an AWS", "token: expired", "token: for ever"},
		bad(""): {"challenge: two realms", "challenge: no realm", "challenge: empty realm", "challenge: quote without end", "challenge: realm of sixty kilobytes",
			"challenge: relative realm", "challenge: realm with quotes", "challenge: CR LF",
			"token: without end", "token: too large", "token: gzip", "token: gzip bomb", "token: HTML", "token: empty", "token: without a token", "token: number",
			"token: CR LF", "token: space", "token: sixty kilobytes", "token: deep", "token: life of a text", "token: beyond 64 bits"},
		denied(""): {"challenge: no challenge", "challenge: empty challenge", "challenge: Basic alone", "challenge: unknown scheme", "challenge: commas"},
		late:       {"token: silent", "token: silent inside"},
	} {
		for _, name := range names {
			m[name] = of
		}
	}
	return m
}

// listRulings are those of tag lists and referrers.
func listRulings() map[string]ruling {
	const noObject = ": the list is not a JSON object"
	m := map[string]ruling{}
	// What is no index is the answer of a registry without referrers.
	notThere := ruling{404, "MANIFEST_UNKNOWN", "REG/app@" + hostile.Digest("x") + " is not known to registry REG"}
	for kind, last := range map[string]string{"tags: ": "tags/list", "referrers: ": "referrers/" + hostile.Digest("x")} {
		for name, of := range map[string]ruling{
			"without end":         bad(tooLong),
			"too long":            bad(tooLong),
			"gzip bomb":           wrongEncoding("gzip"),
			"HTML":                bad(noObject),
			"array":               bad(noObject),
			"deep":                bad(noObject),
			"half":                bad(noObject),
			"many members":        bad(": more than 100 members"),
			"silent":              late,
			"type of a page":      good,
			"link elsewhere":      good,
			"link to a catalog":   bad(`: bad Link header: "/v2/_catalog?n=1" is no further page`),
			"link of a script":    bad(`: bad Link header: "javascript:alert(1)?n=1" is no further page`),
			"link without end":    bad(": bad Link header: the target has no end"),
			"link with a bracket": bad(`: bad Link header: "/v2/app/` + last + `?n=1&last=\"" is no further page`),
			"link of 60 KiB":      bad(`: bad Link header: "/v2/app/` + last + `?last=xxx…`),
			"many links":          good,
			"redirect":            bad(""),
		} {
			m[kind+name] = of
		}
	}
	for _, name := range []string{"HTML", "array", "deep", "half", "many members"} {
		m["referrers: "+name] = notThere
	}
	return m
}

// blobRulings are those of blobs, which a mapped registry streams.
func blobRulings() map[string]ruling {
	const noOther = ": the address has a user or a fragment, or no host"
	m := map[string]ruling{}
	for name, of := range map[string]ruling{
		"without end":             good,
		"length too long":         good, // and breaks off
		"chunks without end":      good, // and breaks off
		"silent inside":           good, // and breaks off
		"reset inside":            good, // and breaks off
		"silent":                  late,
		"switching":               statusOf("101", 502),
		"page":                    good,
		"another digest":          good,
		"part":                    bad(": status 206, but no range was asked for"),
		"no such range":           bad(": status 416, but no range was asked for"),
		"204":                     statusOf("204", 502),
		"401":                     denied(" of REG/app"),
		"500 without end":         statusOf("500", 502),
		"header of a megabyte":    outOfReach,
		"header with CR":          outOfReach,
		"redirect to a script":    bad(`: bad redirect: scheme "javascript"`),
		"redirect to a file":      bad(`: bad redirect: scheme "file"`),
		"redirect with a user":    bad(": bad redirect" + noOther),
		"redirect with a part":    bad(": bad redirect" + noOther),
		"redirect to nothing":     bad(""),
		"redirect of digits":      bad(": bad redirect: the address is not one"),
		"redirect of 9 KiB":       bad(": bad redirect: longer than 8192 bytes"),
		"redirect to itself":      bad(": more than 5 redirects"),
		"redirect to a CDN":       {status: 307},
		"redirect, two answers":   {status: 307},
		"redirect with the token": bad(": bad redirect: the address holds the token"),
	} {
		m["blob: "+name] = of
	}
	return m
}
