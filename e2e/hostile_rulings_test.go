package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/e2e/hostile"
)

// A ruling is what a client gets to hear. REG in a message stands for the
// registry's name. Some messages are cut at "…"; the rest of them is the
// registry's own words.
type ruling struct {
	status        int
	code, message string
}

func bad(why string) ruling {
	return ruling{http.StatusBadGateway, "UNAVAILABLE", "registry REG gave a bad answer" + why}
}

func denied(of string) ruling {
	return ruling{http.StatusForbidden, "DENIED", "registry REG denies anonymous pulls" + of}
}

var (
	good       = ruling{status: http.StatusOK}
	outOfReach = ruling{http.StatusServiceUnavailable, "UNAVAILABLE", "registry REG cannot be reached"}
	late       = ruling{http.StatusGatewayTimeout, "UNAVAILABLE", "registry REG did not answer in time"}
	forbidden  = ruling{http.StatusBadGateway, "UNAVAILABLE", "registry REG leads to an address that this service does not connect to"}
	unknown    = ruling{http.StatusNotFound, "MANIFEST_UNKNOWN", "REG/app:v1 is not known to registry REG"}
	limited    = ruling{http.StatusTooManyRequests, "TOOMANYREQUESTS", "registry REG limits the requests of this service"}

	// Whether a name is loopback depends on the machine's resolver.
	lookedUp = ruling{message: "forbidden, unreachable or late"}
)

const (
	honestDigest = "sha256:21d94c4ae81f56d81b98c4468796264cbff924c3fae1fd9e8379120a7d264f31"
	tooLong      = ": longer than 4194304 bytes"
	notManifest  = ": not a manifest"
	wrongMembers = `: media type "application/vnd.oci.image.manifest.v1+json", but the manifest has members of another`
)

func wrongDigest(said string) ruling {
	return bad(`: header Docker-Content-Digest says "` + said + `", the bytes have ` + honestDigest)
}

func wrongType(said string) ruling {
	return bad(`: content type "` + said + `" is none of a manifest`)
}

func wrongEncoding(said string) ruling {
	return bad(`: content encoding "` + said + `" was not asked for`)
}

// manifestRulings are those of answers of 200 that are no good manifest.
func manifestRulings() map[string]ruling {
	other := hostile.Digest("something else")
	hex := honestDigest[len("sha256:"):]
	return map[string]ruling{
		"honest":                      good,
		"endless manifest":            bad(tooLong),
		"manifest too long":           bad(tooLong),
		"manifest of one too many":    bad(tooLong),
		"gzip bomb":                   wrongEncoding("gzip"),
		"gzip of the manifest":        wrongEncoding("gzip"),
		"zstd bomb":                   wrongEncoding("zstd"),
		"deflate, gzip":               wrongEncoding("deflate, gzip"),
		"gzip without saying so":      bad(notManifest + ": not a JSON object"),
		"digest of other bytes":       wrongDigest(other),
		"digest in upper case":        wrongDigest("SHA256:" + strings.ToUpper(hex)),
		"digest's hex in upper case":  wrongDigest("sha256:" + strings.ToUpper(hex)),
		"digest by sha512":            wrongDigest("sha512:" + hex + hex),
		"digest by md5":               wrongDigest("md5:d41d8cd98f00b204e9800998ecf8427e"),
		"digest that is a path":       wrongDigest("sha256:../../../../etc/passwd"),
		"two digests":                 wrongDigest(other),
		"two digests, the false one":  wrongDigest(other),
		"an empty digest":             wrongDigest(""),
		"no digest":                   good,
		"HTML":                        wrongType("text/html"),
		"HTML that says it is one":    bad(notManifest + ": not a JSON object"),
		"nothing":                     bad(": empty"),
		"null":                        bad(notManifest + ": not a JSON object"),
		"no type, no manifest":        bad(notManifest + " of schema version 2"),
		"a type that is none":         bad(`: content type "application/vnd.oci.image.manifest.v1+json/x": mime: unexpected content after media subtype`),
		"type of a config":            wrongType("application/vnd.oci.image.config.v1+json"),
		"type of an index":            bad(`: content type "application/vnd.oci.image.index.v1+json", but the manifest says it is "application/vnd.oci.image.manifest.v1+json"`),
		"type of a Docker manifest":   bad(`: content type "application/vnd.docker.distribution.manifest.v2+json", but the manifest says it is "application/vnd.oci.image.manifest.v1+json"`),
		"schema 1":                    wrongType("application/vnd.docker.distribution.manifest.v1+json"),
		"signed schema 1":             wrongType("application/vnd.docker.distribution.manifest.v1+prettyjws"),
		"schema 1 in a manifest":      bad(notManifest + " of schema version 2"),
		"schema 1 and 2":              bad(wrongMembers),
		"manifests and layers":        bad(wrongMembers),
		"manifests and layers, index": bad(strings.Replace(wrongMembers, "manifest.v1", "index.v1", 1)),
		"layers twice":                bad(notManifest + `: two members "layers"`),
		"layers in two cases":         bad(notManifest + `: member "Layers" instead of "layers"`),
		"two media types":             bad(notManifest + `: two members "mediaType"`),
		"two manifests":               bad(notManifest + ": invalid character '{' after top-level value"),
		"half a manifest":             bad(notManifest + ": unexpected end of JSON input"),
		"manifest and NUL":            bad(notManifest + `: invalid character '\x00' after top-level value`),
		"byte order mark":             bad(notManifest + ": not a JSON object"),
		"UTF-16":                      bad(notManifest + ": not a JSON object"),
		"version as a text":           bad(notManifest + " of schema version 2"),
		"version of many digits":      bad(notManifest + " of schema version 2"),
		"many members":                bad(notManifest + ": more than 100 members"),
		"deep":                        bad(notManifest + ": invalid character '[' exceeded max depth"),
		"deep, closed":                bad(notManifest + ": invalid character '[' exceeded max depth"),
		"long name":                   bad(notManifest + `: two members "xxx…`),
		"long type":                   bad(`: content type "application/vnd.oci.image.manifest.v1+json", but the manifest says it is "xxx…`),
		"long text":                   bad(wrongMembers),
		"bytes by Accept":             good,
		"HEAD of another":             good,
		"HEAD of nothing":             good,
		"HEAD is broken":              good,
		"HEAD without end":            good,
	}
}

// statusRulings are those of answers that are no 200.
func statusRulings() map[string]ruling {
	return map[string]ruling{
		"status 201": statusOf("201", 502), "status 203": statusOf("203", 502), "status 204": statusOf("204", 502),
		"status 206": statusOf("206", 502), "status 226": statusOf("226", 502), "status 300": statusOf("300", 502),
		"status 302": bad(""), "status 304": statusOf("304", 502), "status 400": statusOf("400", 502),
		"status 401": denied(" of REG/app"), "status 402": statusOf("402", 502), "status 403": denied(" of REG/app"),
		"status 404": unknown, "status 405": statusOf("405", 502), "status 410": unknown, "status 416": statusOf("416", 502),
		"status 418": statusOf("418", 502), "status 429": limited, "status 451": denied(" of REG/app"),
		"status 500": statusOf("500", 502), "status 501": statusOf("501", 502), "status 502": statusOf("502", 502),
		"status 503": statusOf("503", 503), "status 504": statusOf("504", 504), "status 599": statusOf("599", 502),
		"status 999": statusOf("999", 502), "503 for ever": statusOf("503", 503), "error without end": statusOf("500", 502),
		"404 without end":  unknown,
		"404 with a story": {404, "MANIFEST_UNKNOWN", unknown.message + `; it says "<script>\x1b[2J\r\n` + strings.Repeat("x", 300-len("<script>.[2J..")) + ` and more"`},
	}
}

func statusOf(upstream string, status int) ruling {
	return ruling{status, "UNAVAILABLE", "registry REG answered with status " + upstream}
}

// wireRulings are those of answers that are odd HTTP, or none, or slow.
func wireRulings() map[string]ruling {
	m := map[string]ruling{
		"length too short":          bad(notManifest + ": unexpected end of JSON input"),
		"header that goes on":       wrongDigest("x y"),
		"switching to another":      statusOf("101", 502),
		"switching without a word":  statusOf("101", 502),
		"switching, then silent":    statusOf("101", 502),
		"redirect of a megabyte":    outOfReach,
		"TLS, where none is spoken": outOfReach,
	}
	for of, names := range map[ruling][]string{
		good: {"trailing bytes", "a second answer", "one length twice", "length and chunks", "chunks with a trailer", "quota of 60 KiB",
			"header with LF", "header with a space", "header in UTF-8", "version 9", "continue and early hints"},
		bad(""): {"length too long", "chunks without end", "chunk of a wrong size", "chunk of 2^64", "chunk of -1", "chunk with a long name",
			"trailer of a megabyte", "reset in the middle"},
		outOfReach: {"two lengths", "two lengths in one", "negative length", "length with a sign", "length beyond 64 bits", "encoded twice",
			"header of a megabyte", "headers of a megabyte", "header without a colon", "header with CR", "header with NUL", "no status",
			"status of letters", "negative status", "version 0.9", "another protocol", "status line without end", "closed at once",
			"ten thousand early hints", "a hundred thousand 102", "preface of HTTP/2", "frame of HTTP/2, GOAWAY", "reset at once"},
		late: {"silent", "silent after the status", "silent after the header", "silent in the body", "silent in a chunk", "silent in a large body",
			"header by drops", "body by drops", "chunks by drops", "early hints by drops", "slow error", "slow redirect"},
	} {
		for _, name := range names {
			m[name] = of
		}
	}
	return m
}

// TestHostileCasesAreJudged: no case is left out.
func TestHostileCasesAreJudged(t *testing.T) {
	all := rulings()
	for _, name := range hostile.Cases() {
		if _, ok := all[name]; !ok {
			t.Errorf("case %q has no ruling", name)
		}
		delete(all, name)
	}
	for name := range all {
		t.Errorf("no case %q", name)
	}
}
