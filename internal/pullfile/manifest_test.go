package pullfile_test

import (
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/pullfile"
)

func TestKubernetes(t *testing.T) {
	for _, r := range []reading{
		{"nothing", "", nil},
		{"no image", "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n", nil},
		{"pod", `apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations:
    note: "image: not-this"
spec:
  initContainers:
  - name: init
    image: busybox:1.36 # small
  containers:
  - image: "docker.io/library/nginx:1.27"
    name: web
    imagePullPolicy: Always
  - name: side
    image: >-
      ghcr.io/acme/side@` + digest + `
  ephemeralContainers:
  - {name: debug, image: 'alpine'}
`, []string{"10 busybox:1.36", "12 docker.io/library/nginx:1.27", "16 ghcr.io/acme/side@" + digest, "19 alpine"}},
		{"documents", "# first\nimage: a\n---\n---\nimage: b\n...\n---\n{image: c, x: [{image: d}, {image: a}]}\n",
			[]string{"2 a", "5 b", "8 c", "8 d"}},
		{"custom resource", "spec:\n  deep:\n    - - template:\n          image: registry.k8s.io/pause:3.9\n", []string{"4 registry.k8s.io/pause:3.9"}},
		{"image volume", "spec:\n  volumes:\n  - name: model\n    image:\n      reference: quay.io/acme/model:v2\n      pullPolicy: IfNotPresent\n",
			[]string{"5 quay.io/acme/model:v2"}},
		{"chart values", "image:\n  repository: acme/app\n  tag: v1\n", nil},
		{"not a string", "- image:\n- image: ~\n- image: 3.16\n- image: true\n- image: [a]\n- image: ''\n- image: !Ref a\n- Image: a\n- images: a\n- image: !!str 12\n",
			[]string{"10 12"}},
		{"order", "a:\n  image: one\nimage: two\nz:\n  image: three\n", []string{"2 one", "3 two", "5 three"}},
		{"CRLF and byte order mark", "\ufeffa:\r\n  image: alpine\r\n", []string{"2 alpine"}},
		{"not expanded by Kubernetes either", "image: a:$(TAG)\n", []string{`x.yaml:1: "a:$(TAG)": no value for $`}},
		{"template", "a:\n  image: {{ .Values.image }}\nb:\n  image: \"{{ .Values.repo }}:{{ .Values.tag }}\"\nc:\n  image: ok\n", []string{
			`x.yaml:2: "{{": a template, which has to be rendered first`,
			`x.yaml:4: "{{ .Values.repo }}:{{ .Values.tag }}": a template, which has to be rendered first`,
			"6 ok",
		}},
		{"no reference", "image: https://example.com/a.png\nb: {image: Alpine}\n", []string{
			`x.yaml:1: "https://example.com/a.png": invalid repository name: "https:" is not a registry's host name`,
			`x.yaml:2: "Alpine": invalid repository name: "Alpine"`,
		}},
	} {
		r.run(t, "x.yaml")
	}
}

func TestCompose(t *testing.T) {
	for _, r := range []reading{
		{"services", `services:
  web:
    image: ${REGISTRY:-docker.io}/acme/web:${TAG-v1}
    build: .
  built:
    build: {context: ., dockerfile: Dockerfile}
  db:
    image: "postgres${SUFFIX:-}:${PG:-${PG_DEFAULT:-16}}"
  cache: {image: "redis:7${ALPINE:+-alpine}"}
`, []string{"3 docker.io/acme/web:v1", "8 postgres:16", "9 redis:7"}},
		{"no default", `a: {image: "acme/a:${TAG}"}
b: {image: "$REGISTRY/b:${TAG:?tell the tag}"}
c: {image: "acme/c:${TAG:-$OTHER}"}
d: {image: "${IMAGE:-}"}
e: {image: alpine}
`, []string{
			`c.yml:1: "acme/a:${TAG}": no value for TAG`,
			`c.yml:2: "$REGISTRY/b:${TAG:?tell the tag}": no value for REGISTRY, TAG`,
			`c.yml:3: "acme/c:${TAG:-$OTHER}": no value for OTHER`,
			`c.yml:4: "${IMAGE:-}": names no image`,
			"5 alpine",
		}},
		{"not interpolation", "a: {image: 'a:$'}\nb: {image: 'a:${TAG'}\nc: {image: 'b$$c'}\nd: {image: 'a:${1}'}\ne: {image: 'a:${T/x/y}'}\n", []string{
			`c.yml:1: "a:$": no value for $`,
			`c.yml:2: "a:${TAG": syntax error: missing '}'`,
			`c.yml:3: "b$$c": no value for $`,
			`c.yml:4: "a:${1}": no value for 1`,
			`c.yml:5: "a:${T/x/y}": no value for T`,
		}},
		{"quotes are the file's own", `a: {image: "'alpine'"}
b: {image: '"${A:-alpine}"'}
c: {image: 'alp\ine:${A:-1}'}
`, []string{
			`c.yml:1: "'alpine'": invalid repository name: "'alpine'"`,
			`c.yml:2: "\"${A:-alpine}\"": invalid tag: "-alpine}\""`,
			`c.yml:3: "alp\\ine:${A:-1}": invalid tag: "-1}"`,
		}},
		{"anchors", `x-image: &app acme/app:v1
x-base: &base
  image: acme/base:v1
  restart: always
services:
  a: {image: *app}
  b:
    <<: *base
  c: {<<: *base, image: acme/c:v1}
  d: *base
`, []string{"3 acme/base:v1", "6 acme/app:v1", "9 acme/c:v1"}},
		{"image volume by alias", "- &v\n  reference: alpine\n- {image: *v}\n", []string{"2 alpine"}},
		{"key by alias", "- &k image\n- *k : alpine\n- {&i image : busybox}\n", []string{"2 alpine", "3 busybox"}},
		{"alias of itself", "a: &a\n  image: alpine\n  b: *a\n  c: {image: *a}\n", []string{"2 alpine"}},
		{"aliases without end", "a: &a [x, x, x, {image: alpine}]\n" +
			"b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]\n" +
			"d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]\ne: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d]\n" +
			"f: &f [*e, *e, *e, *e, *e, *e, *e, *e, *e]\ng: &g [*f, *f, *f, *f, *f, *f, *f, *f, *f]\n" +
			"h: &h [*g, *g, *g, *g, *g, *g, *g, *g, *g]\ni: {image: *h}\n", []string{"1 alpine"}},
	} {
		r.run(t, "c.yml")
	}
}

func TestManifestUnreadable(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"no YAML", "a: b: c", "a.yml: yaml: mapping values are not allowed in this context"},
		{"tab", "a:\n\t- b", "a.yml: yaml: line 2: found character that cannot start any token"},
		{"template", "image: alpine\n{{- if .Values.x }}\nb: c\n{{- end }}\n", "a.yml: yaml: line 2: could not find expected ':'"},
		{"second document", "image: alpine\n---\na: [\n", "a.yml: yaml: line 3: did not find expected node content"},
		{"no anchor", "image: *x", "a.yml: yaml: unknown anchor 'x' referenced"},
		{"deep", strings.Repeat("[", 20000), "a.yml: yaml: exceeded max depth of 10000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, err := pullfile.Read("a.yml", strings.NewReader(c.text))
			if list != nil || err == nil || err.Error() != c.want {
				t.Errorf("%v, %v\nwant error %s", show(list), err, c.want)
			}
		})
	}
}
