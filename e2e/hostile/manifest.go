package hostile

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
)

func cutHeader(h string) (name, value string, ok bool) { return strings.Cut(h, ": ") }

const (
	indexType   = "application/vnd.oci.image.index.v1+json"
	schema1Type = "application/vnd.docker.distribution.manifest.v1+json"
	limit       = 4 << 20
)

// manifests are answers of 200 that are no manifest, or not the one they say.
func manifests(bomb string) map[string]behaviour {
	digest := "Docker-Content-Digest: "
	hex := Digest(Manifest)[len("sha256:"):]
	other := digest + Digest("something else")
	m := map[string]handler{
		"endless manifest":         endless("Content-Type: " + ManifestType),
		"manifest too long":        manifestOf(Manifest + strings.Repeat(" ", limit)),
		"manifest of one too many": manifestOf(Manifest + strings.Repeat(" ", limit-len(Manifest)+1)),
		"gzip bomb":                manifestOf(bomb, "Content-Encoding: gzip"),
		"gzip of the manifest":     manifestOf(gzipped(Manifest), "Content-Encoding: gzip"),
		"zstd bomb":                manifestOf(zstdBomb(1<<14), "Content-Encoding: zstd"),
		"deflate, gzip":            manifestOf(gzipped(Manifest), "Content-Encoding: deflate, gzip"),
		"gzip without saying so":   manifestOf(gzipped(Manifest)),

		"digest of other bytes":       manifestOf(Manifest, other),
		"digest in upper case":        manifestOf(Manifest, digest+"SHA256:"+strings.ToUpper(hex)),
		"digest's hex in upper case":  manifestOf(Manifest, digest+"sha256:"+strings.ToUpper(hex)),
		"digest by sha512":            manifestOf(Manifest, digest+"sha512:"+hex+hex),
		"digest by md5":               manifestOf(Manifest, digest+"md5:d41d8cd98f00b204e9800998ecf8427e"),
		"digest that is a path":       manifestOf(Manifest, digest+"sha256:../../../../etc/passwd"),
		"two digests":                 manifestOf(Manifest, digest+"sha256:"+hex, other),
		"two digests, the false one":  manifestOf(Manifest, other, digest+"sha256:"+hex),
		"an empty digest":             manifestOf(Manifest, digest),
		"no digest":                   text(200, Manifest, "Content-Type: "+ManifestType),
		"HTML":                        text(200, "<html>welcome</html>", "Content-Type: text/html"),
		"HTML that says it is one":    manifestOf("<html>welcome</html>"),
		"nothing":                     manifestOf(""),
		"null":                        manifestOf("null"),
		"no type, no manifest":        text(200, `{"hello":"world"}`, "Content-Type: application/octet-stream"),
		"a type that is none":         text(200, Manifest, "Content-Type: application/vnd.oci.image.manifest.v1+json/x"),
		"type of a config":            text(200, Manifest, "Content-Type: application/vnd.oci.image.config.v1+json"),
		"type of an index":            text(200, Manifest, "Content-Type: "+indexType),
		"type of a Docker manifest":   text(200, Manifest, "Content-Type: application/vnd.docker.distribution.manifest.v2+json"),
		"schema 1":                    text(200, `{"schemaVersion":1,"name":"app","fsLayers":[],"history":[]}`, "Content-Type: "+schema1Type),
		"signed schema 1":             text(200, `{"schemaVersion":1,"fsLayers":[],"signatures":[]}`, "Content-Type: application/vnd.docker.distribution.manifest.v1+prettyjws"),
		"schema 1 in a manifest":      manifestOf(`{"schemaVersion":1,"fsLayers":[]}`),
		"schema 1 and 2":              manifestOf(`{"schemaVersion":2,"config":{},"layers":[],"fsLayers":[]}`),
		"manifests and layers":        manifestOf(`{"schemaVersion":2,"manifests":[],"config":{},"layers":[]}`),
		"manifests and layers, index": text(200, `{"schemaVersion":2,"manifests":[],"layers":[]}`, "Content-Type: "+indexType),
		"layers twice":                manifestOf(`{"schemaVersion":2,"config":{},"layers":[],"layers":[{}]}`),
		"layers in two cases":         manifestOf(`{"schemaVersion":2,"config":{},"layers":[],"Layers":[{}]}`),
		"two media types":             manifestOf(`{"schemaVersion":2,"mediaType":"` + ManifestType + `","mediaType":"` + indexType + `","layers":[]}`),
		"two manifests":               manifestOf(Manifest + Manifest),
		"half a manifest":             manifestOf(Manifest[:len(Manifest)/2]),
		"manifest and NUL":            manifestOf(Manifest + "\x00"),
		"byte order mark":             manifestOf("\ufeff" + Manifest),
		"UTF-16":                      manifestOf("\xfe\xff\x00{\x00}"),
		"version as a text":           manifestOf(`{"schemaVersion":"2","config":{},"layers":[]}`),
		"version of many digits":      manifestOf(`{"schemaVersion":2` + strings.Repeat("0", 1<<16) + `,"layers":[]}`),

		"many members": manifestOf(manyMembers()),
		"deep":         manifestOf(`{"schemaVersion":2,"layers":` + strings.Repeat("[", limit-100)),
		"deep, closed": manifestOf(`{"schemaVersion":2,"layers":` + strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20) + "}"),
		"long name":    manifestOf(`{"schemaVersion":2` + strings.Repeat(`,"`+strings.Repeat("x", limit/2-100)+`":0`, 2) + "}"),
		"long type":    manifestOf(`{"schemaVersion":2,"mediaType":"` + strings.Repeat("x", limit-100) + `"}`),
		"long text":    manifestOf(`{"schemaVersion":2,"manifests":["` + strings.Repeat("x", limit-100) + `"]}`),

		"bytes by Accept":  byAccept,
		"HEAD of another":  headOf(http.StatusOK, other),
		"HEAD of nothing":  headOf(http.StatusNotFound),
		"HEAD is broken":   headOf(http.StatusInternalServerError),
		"HEAD without end": headWithBody,
	}
	return asManifests(m)
}

func asManifests(m map[string]handler) map[string]behaviour {
	cases := map[string]behaviour{}
	for name, h := range m {
		cases[name] = behaviour{manifest: h}
	}
	return cases
}

// endless answers with spaces for as long as anybody reads.
func endless(headers ...string) handler {
	return func(_ *Registry, w http.ResponseWriter, req *http.Request) {
		set(w, headers...)
		pour(w, req)
	}
}

// pour writes a body until that fails. Of HEAD it would never fail.
func pour(w io.Writer, req *http.Request) {
	chunk := bytes.Repeat([]byte(" "), 32<<10)
	for req.Method != http.MethodHead {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

func gzipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, s)
	z.Close()
	return b.String()
}

// zstdBomb returns a frame of n blocks of 128 KiB, four bytes each: the byte is
// said once, and how often it comes (RFC 8878, 3.1.1.2.2).
func zstdBomb(n int) string {
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58}
	for range n {
		frame = append(frame, 0x02, 0x00, 0x10, ' ')
	}
	return string(frame)
}

func manyMembers() string {
	var b strings.Builder
	b.WriteString(`{"schemaVersion":2,"layers":[]`)
	for i := 0; b.Len() < limit-20; i++ {
		fmt.Fprintf(&b, `,"%x":0`, i)
	}
	return b.String() + "}"
}

// byAccept answers the honest manifest only to who accepts all four types.
func byAccept(r *Registry, w http.ResponseWriter, req *http.Request) {
	if strings.Count(req.Header.Get("Accept"), ",") == 3 {
		honestManifest(r, w, req)
		return
	}
	other := Manifest + "\n"
	manifestOf(other, "Docker-Content-Digest: "+Digest(other))(r, w, req)
}

// headOf answers HEAD otherwise than GET.
func headOf(status int, headers ...string) handler {
	return func(r *Registry, w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodHead {
			text(status, "", headers...)(r, w, req)
			return
		}
		honestManifest(r, w, req)
	}
}
