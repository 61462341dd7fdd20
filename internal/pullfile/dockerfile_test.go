package pullfile_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/pullfile"
)

func TestDockerfile(t *testing.T) {
	for _, r := range []reading{
		{"one stage", "FROM alpine:3.16\nRUN apk add curl\n", []string{"1 alpine:3.16"}},
		{"any case", "from alpine as Build\nFrom busybox As two\ncopy --from=BUILD /a /b\nCOPY --from=Two /a /b\nfrom build\n", []string{"1 alpine", "2 busybox"}},
		{"go service", `# syntax=docker/dockerfile:1.7
ARG GO_VERSION=1.26
ARG BASE=gcr.io/distroless/static-debian12:nonroot
FROM --platform=$BUILDPLATFORM golang:${GO_VERSION}-alpine AS build
WORKDIR /src
RUN --mount=type=cache,target=/go/pkg/mod \
    --mount=type=bind,target=. \
    GOARCH=$TARGETARCH go build -o /out ./...
FROM ${BASE}
COPY --from=build --chown=65532 /out /app
COPY --from=busybox:1.36-musl@` + digest + ` /bin/busybox /bin/
ENTRYPOINT ["/app"]
`, []string{"4 golang:1.26-alpine", "9 gcr.io/distroless/static-debian12:nonroot", "11 busybox:1.36-musl@" + digest}},
		{"uv", "FROM python:3.12-slim\nCOPY --from=ghcr.io/astral-sh/uv:0.5 /uv /bin/\nRUN --mount=from=ghcr.io/astral-sh/uv:latest,source=/uv,target=/bin/uv --network=none uv sync\n",
			[]string{"1 python:3.12-slim", "2 ghcr.io/astral-sh/uv:0.5", "3 ghcr.io/astral-sh/uv:latest"}},
		{"scratch", "FROM scratch AS empty\nCOPY --from=scratch /a /\nRUN --mount=from=scratch,target=/x true\nFROM empty\n", nil},
		{"earlier stages only are FROM", "FROM build\nFROM alpine AS build\nFROM build\nFROM build:1\n", []string{"1 build", "2 alpine", "4 build:1"}},
		{"later stages are sources", "FROM alpine\nCOPY --from=last /a /\nRUN --mount=from=last true\nFROM busybox AS last\n", []string{"1 alpine", "4 busybox"}},
		{"a stage named as its image", "FROM alpine AS alpine\nFROM alpine\n", []string{"1 alpine"}},
		{"numbers", "FROM a\nFROM b\nCOPY --from=0 /a /\nCOPY --from=1 /a /\nRUN --mount=from=0,target=/a true\nCOPY --from=2 / /\nCOPY --from=-1 / /\n", []string{
			"1 a", "2 b", `Dockerfile:6: "2": no such stage before this one`, `Dockerfile:7: "-1": no such stage before this one`}},
		{"a number and a reference alike", "FROM 3\nCOPY --from=3 /a /b\n", []string{"1 3", `Dockerfile:2: "3": no such stage before this one`}},
		{"continued", "ARG V=3 \\\n  W=4\nFROM \\\n# a comment\n\n  alpine:${V}.${W} \\\n  AS x\nRUN a && \\\n    FROM b\nCOPY \\\n  --from=busybox \\\n  a b\n",
			[]string{"3 alpine:3.4", "10 busybox"}},
		{"escape directive", "# escape=`\nFROM `\n  mcr.microsoft.com/windows/nanoserver:ltsc2022\nCOPY --from=alpine C:\\a C:\\b\\\nFROM busybox\n",
			[]string{"2 mcr.microsoft.com/windows/nanoserver:ltsc2022", "4 alpine", "5 busybox"}},
		{"escaped letter", "# escape=`\nFROM al`pine\nFROM a\\b\n", []string{"2 alpine", `Dockerfile:3: "a\\b": invalid repository name: "a\\b"`}},
		{"late escape directive", "FROM alpine\n# escape=`\nRUN a \\\n  FROM b\n", []string{"1 alpine"}},
		{"heredocs", "FROM alpine\nRUN <<EOF\nFROM a\nEOF\nCOPY <<-\"A\" <<'B' /x/\nFROM b\n\tA\nCOPY --from=c / /\nB\nRUN --mount=from=d <<X cat\n${A:-\nX\nFROM e\n",
			[]string{"1 alpine", "10 d", "13 e"}},
		{"comments", "# FROM a\nFROM alpine\n  # FROM b\n#COPY --from=c / /\n", []string{"2 alpine"}},
		{"CRLF and byte order mark", "\ufeff# escape=`\r\nFROM `\r\n  alpine\r\nCOPY --from=busybox a b\r\n", []string{"2 alpine", "4 busybox"}},
		{"quotes", "ARG A=\"3.16\" B='x y'\nFROM \"alpine:$A\"\nFROM 'busybox'\nFROM al\"pi\"ne:\\1\nCOPY --from=\"a:1\" / /\nRUN --mount='type=bind,\"from=b:1\",target=/b' true\n",
			[]string{"2 alpine:3.16", "3 busybox", "4 alpine:1", "5 a:1", "6 b:1"}},
		{"mount options", "FROM a\nRUN --mount=target=/x,From=b,ro true\nRUN --mount=type=secret,id=s --mount=type=cache,from=c,target=/c --mount= true\nRUN --mount=from=,target=/ true\nRUN true --mount=from=d\n",
			[]string{"1 a", "2 b", "3 c"}},
		{"not images", "FROM a\nADD --from=b / /\nADD https://example.com/c /\nONBUILD COPY --from=d / /\nLABEL from=e\nENV FROM=f\nCMD [\"--from=g\"]\nCOPY [\"h\", \"--from=i\"]\nCOPY a --from=j\nHEALTHCHECK CMD FROM k\n",
			[]string{"1 a"}},
		{"JSON sources", "FROM a\nCOPY --from=b [\"a b\", \"c\"]\n", []string{"1 a", "2 b"}},
		{"once", "FROM a\nFROM a AS x\nCOPY --from=a / /\nFROM a:latest\n", []string{"1 a", "4 a:latest"}},
		{"no reference", "FROM Alpine\nCOPY --from=./dir / /\nFROM docker-image://alpine\nFROM alpine:\n", []string{
			`Dockerfile:1: "Alpine": invalid repository name: "Alpine"`,
			`Dockerfile:2: "./dir": invalid repository name: "." is not a registry's host name`,
			`Dockerfile:3: "docker-image://alpine": invalid repository name: "docker-image:" is not a registry's host name`,
			`Dockerfile:4: "alpine:": invalid tag: ""`,
		}},
	} {
		r.run(t, "Dockerfile")
	}
}

func TestVariables(t *testing.T) {
	for _, r := range []reading{
		{"defaults", "ARG A=1\nARG B=$A.2 C=${B}.3\nFROM a:$A\nFROM a:${B}\nFROM a:$C-x\n", []string{"3 a:1", "4 a:1.2", "5 a:1.2.3-x"}},
		{"own defaults", "FROM a:${T:-1}\nFROM a:${T-2}\nFROM a${T:+x}\nFROM ${R:-${S:-docker.io}}/b\n", []string{"1 a:1", "2 a:2", "3 a", "4 docker.io/b"}},
		{"own defaults not needed", "ARG T=9\nFROM a:${T:-1}\nFROM b:${T:+8}\nFROM c:${T:?why}\n", []string{"2 a:9", "3 b:8", "4 c:9"}},
		{"empty", "ARG T=\nARG U=\"\"\nFROM a$T$U\nFROM b${T:-:1}\nFROM c${T-:1}\n", []string{"3 a", "4 b:1", "5 c"}},
		{"patterns", "ARG V=v1.2.3-rc1\nFROM a:${V#v}\nFROM a:${V%-*}\nFROM a:${V%%.*}\nFROM a:${V/rc/beta}\nFROM a:${V//./_}\n",
			[]string{"2 a:1.2.3-rc1", "3 a:v1.2.3", "4 a:v1", "5 a:v1.2.3-beta1", "6 a:v1_2_3-rc1"}},
		{"again", "ARG A=1\nARG A\nFROM a:$A\n", []string{"3 a:1"}},
		{"later", "ARG A=1\nARG A=2\nFROM a:$A\nARG A=3\nFROM a:$A\n", []string{"3 a:2"}},
		{"from itself", "ARG A=1\nARG A=$A.0\nFROM a:$A\n", []string{"3 a:1.0"}},
		{"other instructions' variables", "FROM a\nARG T=1\nENV U=2\nFROM b:$T\nFROM b:$U\n", []string{
			"1 a", `Dockerfile:4: "b:$T": no value for T`, `Dockerfile:5: "b:$U": no value for U`}},
		{"no value", "ARG A\nARG B=$A\nFROM x:$A\nFROM x:${B}-$C\nFROM ok\nFROM x:${A:?tell}\nFROM x:${A#v}\n", []string{
			`Dockerfile:3: "x:$A": no value for A`,
			`Dockerfile:4: "x:${B}-$C": no value for B (line 2: no value for A), C`,
			"5 ok",
			`Dockerfile:6: "x:${A:?tell}": no value for A`,
			`Dockerfile:7: "x:${A#v}": no value for A`,
		}},
		{"a sign after a name is no default", "FROM x:$A-y\nFROM x:$A:-y\n", []string{
			`Dockerfile:1: "x:$A-y": no value for A`, `Dockerfile:2: "x:$A:-y": no value for A`}},
		{"twice, and a name that is none", "ARG \u00e9=1 =2\nFROM x:$A$A$\u00e9\n", []string{"Dockerfile:2: \"x:$A$A$\u00e9\": no value for A, \u00e9"}},
		{"a stage by variable", "ARG KIND=prod\nFROM alpine AS base-prod\nFROM base-$KIND AS x\nFROM base-${OTHER:-dev}\n", []string{"2 alpine", "4 base-dev"}},
		{"nothing left", "ARG A=\nFROM $A\nFROM \"\"\n", []string{`Dockerfile:2: "$A": names no image`, `Dockerfile:3: "\"\"": names no image`}},
		{"sources", "ARG A=x\nFROM a\nCOPY --from=$A / /\nRUN --mount=from=b:$A,target=/ true\n", []string{"2 a",
			`Dockerfile:3: "$A": no variable is replaced here; one in a FROM is, and its stage can be named here`,
			`Dockerfile:4: "b:$A": no variable is replaced here; one in a FROM is, and its stage can be named here`}},
		{"syntax", "FROM ${\nFROM a:${A\nFROM ${:}\nFROM a:${A^x}\nFROM 'a\nFROM a:$\nFROM a:\\$A\nFROM a:'$A'\n", []string{
			`Dockerfile:1: "${": syntax error: missing '}'`,
			`Dockerfile:2: "a:${A": syntax error: missing '}'`,
			`Dockerfile:3: "${:}": syntax error: bad substitution`,
			`Dockerfile:4: "a:${A^x}": unsupported modifier (^) in substitution`,
			`Dockerfile:5: "'a": unexpected end of statement while looking for matching single-quote`,
			`Dockerfile:6: "a:$": no value for $`,
			`Dockerfile:7: "a:\\$A": no value for A`,
			`Dockerfile:8: "a:'$A'": no value for A`,
		}},
		{"special parameters", "FROM a$$\nFROM a$@\nFROM a${*}\nFROM a$1\n", []string{
			`Dockerfile:1: "a$$": no value for $`, `Dockerfile:2: "a$@": no value for @`,
			`Dockerfile:3: "a${*}": no value for *`, `Dockerfile:4: "a$1": no value for 1`}},
		{"platform", "FROM --platform=$BUILDPLATFORM a:$BUILDOS\nFROM b:$TARGETOS-$TARGETARCH$TARGETVARIANT$TARGETOSVERSION\nARG TARGETARCH\nFROM ${BUILDPLATFORM}/c\n",
			[]string{"1 a:linux", "2 b:linux-" + runtime.GOARCH, "4 linux/" + runtime.GOARCH + "/c"}},
		{"platform by ARG", "ARG TARGETARCH=m68k\nFROM a:$TARGETARCH\n", []string{"2 a:m68k"}},
	} {
		r.run(t, "Dockerfile")
	}
}

// Text that would grow is refused before it does.
func TestVariablesGrow(t *testing.T) {
	long := strings.Repeat("x", 512)
	for _, r := range []reading{
		{"long values", "ARG A=" + long + "\nARG B=${A}x\nFROM $A\nFROM $B\nFROM " + long + "x\n", []string{
			`d.dockerfile:3: "` + long[:200] + `": invalid repository name: longer than 255 characters`,
			`d.dockerfile:4: "$B": no value for B (line 2: longer than 512 bytes)`,
			`d.dockerfile:5: "` + long[:200] + `": longer than 512 bytes`,
		}},
		{"many variables", "ARG A=x\nFROM " + strings.Repeat("$A", 32) + "\nFROM " + strings.Repeat("$A", 33) + "\n", []string{
			"2 " + long[:32],
			`d.dockerfile:3: "` + strings.Repeat("$A", 33) + `": more than 32 variables`,
		}},
		{"patterns", "ARG A=x\nFROM ${A//x/$A}\nFROM ${A/'x'/y}\nFROM ${A#\\x}y\nFROM ${A/x/y}$A\n", []string{
			`d.dockerfile:2: "${A//x/$A}": variable, quote or escape in a pattern of a substitution`,
			`d.dockerfile:3: "${A/'x'/y}": variable, quote or escape in a pattern of a substitution`,
			`d.dockerfile:4: "${A#\\x}y": variable, quote or escape in a pattern of a substitution`,
			"5 yx",
		}},
	} {
		r.run(t, "d.dockerfile")
	}
}

func TestDockerfileUnreadable(t *testing.T) {
	nested := strings.Repeat("${a:-", 3000) + strings.Repeat("}", 3000)
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "Dockerfile: file with no instructions"},
		{"no FROM", "ARG A=1\n", "Dockerfile: no FROM"},
		{"RUN first", "# x\nRUN true\nFROM a\n", "Dockerfile:2: RUN before the first FROM"},
		{"unknown instruction", "FROM a\nFORM b\n", `Dockerfile:2: unknown instruction "FORM"`},
		{"YAML", "image: alpine\n", `Dockerfile:1: unknown instruction "image:"`},
		{"two images", "FROM --platform linux/amd64 alpine\n", `Dockerfile:1: "FROM --platform linux/amd64 alpine": FROM takes an image, or an image AS a name`},
		{"no image", "FROM\n", `Dockerfile:1: "FROM": FROM takes an image, or an image AS a name`},
		{"comment after FROM", "FROM alpine # the base\n", `Dockerfile:1: "FROM alpine # the base": FROM takes an image, or an image AS a name`},
		{"no name", "FROM alpine AS\n", `Dockerfile:1: "FROM alpine AS": FROM takes an image, or an image AS a name`},
		{"open heredoc", "FROM a\nRUN <<EOF\nFROM b\n", "Dockerfile:2: unterminated heredoc"},
		{"escape", "# escape=x\nFROM a\n", "Dockerfile: invalid escape token 'x' does not match ` or \\"},
		{"mount", "FROM a\nRUN --mount=from=\\\"b true\n", `Dockerfile:2: "from=\"b": mount: parse error on line 1, column 6: bare " in non-quoted-field`},
		// BuildKit tells the last line that it could read.
		{"long line", "FROM a\nRUN " + strings.Repeat("x", 1<<16) + "\n", "Dockerfile:1: dockerfile line greater than max allowed size of 65535"},
		{"nesting", "FROM a\nRUN <<E " + nested + "\nE\n", "Dockerfile: too many substitutions in instructions with a heredoc"},
		{"nesting in the last line", "FROM a\nRUN <<E " + nested + "\\", "Dockerfile: too many substitutions in instructions with a heredoc"},
		{"nesting over lines", "FROM a\nRUN <<E \\\n# a\n\n" + nested, "Dockerfile: too many substitutions in instructions with a heredoc"},
	} {
		t.Run(c.name, func(t *testing.T) {
			list, err := pullfile.Read("Dockerfile", strings.NewReader(c.text))
			if list != nil || err == nil || err.Error() != c.want {
				t.Errorf("%v, %v\nwant error %s", show(list), err, c.want)
			}
		})
	}
	list, err := pullfile.Read("Dockerfile", strings.NewReader("FROM a\n"+strings.Repeat("RUN <<E >"+strings.Repeat("${a} ", 50)+"\nE\n", 500)))
	if err != nil || len(list) != 1 {
		t.Errorf("500 heredocs with 50 variables each: %v, %v", list, err)
	}
}
