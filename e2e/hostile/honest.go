package hostile

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
)

const tokenPath = "/token"

// cases holds all cases by name. It is built once, as some of it is large.
var cases = sync.OnceValue(all)

func all() map[string]behaviour {
	m := map[string]behaviour{"honest": {}}
	bomb := gzipped(strings.Repeat(" ", 64<<20))
	for _, some := range []map[string]behaviour{manifests(bomb), statuses(), wires(), slow(), redirects(), challenges(), tokens(bomb), lists(bomb), blobs()} {
		maps.Copy(m, some)
	}
	return m
}

func honestPing(_ *Registry, w http.ResponseWriter, _ *http.Request) {
	w.Header().Del("Www-Authenticate")
	fmt.Fprint(w, "{}")
}

func honestToken(_ *Registry, w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, `{"token":%q,"expires_in":300}`, Token)
}

func honestManifest(_ *Registry, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", ManifestType)
	w.Header().Set("Docker-Content-Digest", Digest(Manifest))
	fmt.Fprint(w, Manifest)
}

// Blob is what an honest registry answers for every blob.
const Blob = "the bytes of a blob"

func honestBlob(_ *Registry, w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, Blob) }

func honestTags(_ *Registry, w http.ResponseWriter, _ *http.Request) {
	fmt.Fprint(w, `{"name":"app","tags":["v1"]}`)
}

func honestReferrers(_ *Registry, w http.ResponseWriter, _ *http.Request) {
	fmt.Fprint(w, `{"schemaVersion":2,"manifests":[]}`)
}

// text answers with a status, headers ("Name: value" in each string) and body.
func text(status int, body string, headers ...string) handler {
	return func(_ *Registry, w http.ResponseWriter, _ *http.Request) {
		set(w, headers...)
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// manifestOf answers with a body of the honest manifest's type, and with more
// headers.
func manifestOf(body string, headers ...string) handler {
	return text(http.StatusOK, body, append([]string{"Content-Type: " + ManifestType}, headers...)...)
}

// set sets headers. The first of a name replaces what was there.
func set(w http.ResponseWriter, headers ...string) {
	fresh := map[string]bool{}
	for _, h := range headers {
		name, value, _ := cutHeader(h)
		if name = http.CanonicalHeaderKey(name); !fresh[name] {
			w.Header().Del(name)
		}
		fresh[name] = true
		w.Header()[name] = append(w.Header()[name], value)
	}
}
