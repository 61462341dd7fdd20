package config_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/config"
)

func TestBadValues(t *testing.T) {
	const (
		port     = "want a port from 1 to 65535"
		host     = "want an IP address or localhost"
		text     = "want a value without white space and control characters"
		above    = "want a duration above zero such as 30s"
		orZero   = "want a duration of zero or more such as 250ms"
		likeHost = "want an http or https address, such as https://host"
		bare     = "want an http or https address, without user, query and fragment"
		mirrors  = "want registry=base URL, comma-separated, such as docker.io=http://localhost:5000"
		patterns = "want comma-separated patterns such as docker.io/library/* or ghcr.io/acme/**: "
	)
	tests := []struct{ name, value, want string }{
		{"PORT", "0", `PORT="0": ` + port},
		{"PORT", "65536", `PORT="65536": ` + port},
		{"PORT", "-1", `PORT="-1": ` + port},
		{"PORT", "+80", `PORT="+80": ` + port},
		{"PORT", "080", `PORT="080": ` + port},
		{"PORT", "8_0", `PORT="8_0": ` + port},
		{"PORT", "http", `PORT="http": ` + port},
		{"PORT", "80 ", `PORT="80 ": ` + text},
		{"HOST", "example.com", `HOST="example.com": ` + host},
		{"HOST", "127.0.0.1:80", `HOST="127.0.0.1:80": ` + host},
		{"HOST", "[::1]", `HOST="[::1]": ` + host},
		{"HOST", "127.1", `HOST="127.1": ` + host},
		{"LOCAL_ONLY", "yes", `LOCAL_ONLY="yes": want true or false`},
		{"LOCAL_ONLY", "True", `LOCAL_ONLY="True": want true or false`},
		{"GOOGLE_REGISTRY_AUTH", "yes", `GOOGLE_REGISTRY_AUTH="yes": want true or false`},
		{"GOOGLE_REGISTRY_AUTH", "TRUE", `GOOGLE_REGISTRY_AUTH="TRUE": want true or false`},
		{"LOG_FORMAT", "xml", `LOG_FORMAT="xml": want json or text`},
		{"LOG_FORMAT", "JSON", `LOG_FORMAT="JSON": want json or text`},
		{"GOOGLE_CLOUD_PROJECT", "a/b", `GOOGLE_CLOUD_PROJECT="a/b": want the ID of a Google Cloud project`},
		{"GOOGLE_CLOUD_PROJECT", strings.Repeat("a", 101), `GOOGLE_CLOUD_PROJECT="` + strings.Repeat("a", 101) + `": want the ID of a Google Cloud project`},
		{"REQUESTS_PER_MINUTE", "-1", `REQUESTS_PER_MINUTE="-1": want a whole number from 0 to 1000000`},
		{"REQUESTS_PER_MINUTE", "1000001", `REQUESTS_PER_MINUTE="1000001": want a whole number from 0 to 1000000`},
		{"REQUESTS_PER_MINUTE", "1e3", `REQUESTS_PER_MINUTE="1e3": want a whole number from 0 to 1000000`},
		{"NEW_RECORDS_PER_MINUTE", "none", `NEW_RECORDS_PER_MINUTE="none": want a whole number from 0 to 1000000`},
		{"NEW_RECORDS_PER_MINUTE", "060", `NEW_RECORDS_PER_MINUTE="060": want a whole number from 0 to 1000000`},
		{"NEW_RECORDS_PER_MINUTE", "99999999999999999999", `NEW_RECORDS_PER_MINUTE="99999999999999999999": want a whole number from 0 to 1000000`},
		{"TRUSTED_HOPS", "17", `TRUSTED_HOPS="17": want a whole number from 0 to 16`},
		{"TRUSTED_HOPS", "+1", `TRUSTED_HOPS="+1": want a whole number from 0 to 16`},
		{"TRUSTED_HOPS", "1\n", `TRUSTED_HOPS="1\n": want a whole number from 0 to 16`},
		{"DOCKER_CONFIG", "none", `DOCKER_CONFIG="none": want a directory with a config.json that can be read`},
		{"DOCKER_CONFIG", "config.go", `DOCKER_CONFIG="config.go": want a directory with a config.json that can be read`},
		{"TLOG", "Rekor", `TLOG="Rekor": want rekor or local`},
		{"TLOG", "none", `TLOG="none": want rekor or local`},

		{"REKOR_URL", "rekor.sigstore.dev", `REKOR_URL="rekor.sigstore.dev": ` + likeHost},
		{"REKOR_URL", "ftp://log.example", `REKOR_URL="ftp://log.example": ` + likeHost},
		{"REKOR_URL", "https://", `REKOR_URL="https://": ` + likeHost},
		{"REKOR_URL", "https://:443", `REKOR_URL="https://:443": ` + likeHost},
		{"REKOR_URL", "https:log.example", `REKOR_URL="https:log.example": ` + likeHost},
		{"REKOR_URL", "https:///log.example", `REKOR_URL="https:///log.example": ` + likeHost},
		{"REKOR_URL", "https://log.example:port", `REKOR_URL="https://log.example:port": want an http or https address, well-formed`},
		{"REKOR_URL", "https://log.example/%zz", `REKOR_URL="https://log.example/%zz": want an http or https address, well-formed`},
		{"REKOR_URL", "https://user:pass%word@log.example", `REKOR_URL="xxxxx@log.example": want an http or https address, well-formed`},
		{"REKOR_URL", "https://user:pass word@log.example", `REKOR_URL="xxxxx@log.example": want a value without white space and control characters`},
		{"UPSTREAMS", "docker.io=http://u:p%@localhost", `UPSTREAMS="docker.io=xxxxx@localhost": ` + mirrors},
		{"REKOR_URL", "https://user@log.example", `REKOR_URL="https://user@log.example": ` + bare},
		{"REKOR_URL", "https://log.example?a=b", `REKOR_URL="https://log.example?a=b": ` + bare},
		{"REKOR_URL", "https://log.example?", `REKOR_URL="https://log.example?": ` + bare},
		{"REKOR_URL", "https://log.example#a", `REKOR_URL="https://log.example#a": ` + bare},
		{"REKOR_URL", "https://log.example\n", `REKOR_URL="https://log.example\n": ` + text},
		{"FULCIO_URL", "fulcio", `FULCIO_URL="fulcio": ` + likeHost},
		{"TUF_URL", "tuf", `TUF_URL="tuf": ` + likeHost},

		{"REKOR_TIMEOUT", "0", `REKOR_TIMEOUT="0": ` + above},
		{"REKOR_TIMEOUT", "-1s", `REKOR_TIMEOUT="-1s": ` + above},
		{"REKOR_TIMEOUT", "30", `REKOR_TIMEOUT="30": ` + above},
		{"REKOR_TIMEOUT", "30s\n", `REKOR_TIMEOUT="30s\n": ` + above},
		{"REKOR_TIMEOUT", "9999999h", `REKOR_TIMEOUT="9999999h": ` + above},
		{"FULCIO_TIMEOUT", "0s", `FULCIO_TIMEOUT="0s": ` + above},
		{"UPSTREAM_TIMEOUT", "0", `UPSTREAM_TIMEOUT="0": ` + above},
		{"UPSTREAM_TIMEOUT", "soon", `UPSTREAM_TIMEOUT="soon": ` + above},
		{"REKOR_SETTLE", "-1ns", `REKOR_SETTLE="-1ns": ` + orZero},
		{"REKOR_SETTLE", "250", `REKOR_SETTLE="250": ` + orZero},

		{"AUDIENCE", "a b", `AUDIENCE="a b": ` + text},
		{"AUDIENCE", "a\x7f", `AUDIENCE="a\x7f": ` + text},
		{"IDENTITY", "a@b.example\n", `IDENTITY="a@b.example\n": ` + text},
		{"IDENTITY_ISSUER", "https://issuer.example\t", `IDENTITY_ISSUER="https://issuer.example\t": ` + text},

		{"TRUSTED_ROOT", "none", `TRUSTED_ROOT="none": want the path of a file that can be read`},
		{"TRUSTED_ROOT", "config.go/none", `TRUSTED_ROOT="config.go/none": want the path of a file that can be read`},
		{"TRUSTED_ROOT", ".", `TRUSTED_ROOT=".": want the path of a regular file`},
		{"TUF_ROOT", "none", `TUF_ROOT="none": want the path of a file that can be read`},
		{"TUF_ROOT", ".", `TUF_ROOT=".": want the path of a regular file`},

		{"UPSTREAMS", "docker.io", `UPSTREAMS="docker.io": ` + mirrors},
		{"UPSTREAMS", "http://localhost:5000", `UPSTREAMS="http://localhost:5000": ` + mirrors},
		{"UPSTREAMS", "=http://localhost:5000", `UPSTREAMS="=http://localhost:5000": ` + mirrors},
		{"UPSTREAMS", "docker.io=", `UPSTREAMS="docker.io=": ` + mirrors},
		{"UPSTREAMS", "docker.io=localhost:5000", `UPSTREAMS="docker.io=localhost:5000": ` + mirrors},
		{"UPSTREAMS", "docker.io=http://localhost:99999", `UPSTREAMS="docker.io=http://localhost:99999": ` + mirrors},
		{"REKOR_URL", "https://rekor.example:0", `REKOR_URL="https://rekor.example:0": want an http or https address, with a port from 1 to 65535 if any`},
		{"UPSTREAMS", "docker.io=http://u:p@localhost", `UPSTREAMS="docker.io=http://u:xxxxx@localhost": ` + mirrors},
		{"UPSTREAMS", "docker.io=http://localhost?a=b", `UPSTREAMS="docker.io=http://localhost?a=b": ` + mirrors},
		{"UPSTREAMS", "Docker.io=http://localhost", `UPSTREAMS="Docker.io=http://localhost": ` + mirrors},
		{"UPSTREAMS", "docker.io =http://localhost", `UPSTREAMS="docker.io =http://localhost": ` + mirrors},
		{"UPSTREAMS", "docker.io/library=http://localhost", `UPSTREAMS="docker.io/library=http://localhost": ` + mirrors},
		{"UPSTREAMS", "mirror=http://localhost", `UPSTREAMS="mirror=http://localhost": ` + mirrors},
		{"UPSTREAMS", "ghcr.io=http://a,docker.io=b", `UPSTREAMS="docker.io=b": ` + mirrors},
		{"UPSTREAMS", "docker.io=http://a,docker.io=http://a", `UPSTREAMS="docker.io=http://a": want each registry once`},
		{"UPSTREAMS", "docker.io=http://a,registry-1.docker.io:443=http://b", `UPSTREAMS="registry-1.docker.io:443=http://b": want each registry once`},
		{"UPSTREAMS", "ghcr.io=http://a,ghcr.io:443=http://b", `UPSTREAMS="ghcr.io:443=http://b": want each registry once`},

		{"ALLOW", "alpine", `ALLOW="alpine": ` + patterns + `pattern "alpine" names no repository: want registry/repository`},
		{"ALLOW", "ghcr.io/**,ghcr.io/A", `ALLOW="ghcr.io/A": ` + patterns + `pattern "ghcr.io/A": "A" is neither part of a name nor an asterisk`},
		{"ALLOW", "ghcr.io/a ghcr.io/b", `ALLOW="ghcr.io/a ghcr.io/b": ` + patterns +
			`pattern "ghcr.io/a ghcr.io/b": "a ghcr.io" is neither part of a name nor an asterisk`},
		{"ALLOW", ",", `ALLOW=",": want at least one pattern`},
		{"ALLOW", " ", `ALLOW=" ": want at least one pattern`},
	}
	for _, test := range tests {
		t.Run(test.name+"="+test.value, func(t *testing.T) {
			_, err := config.Load(env(test.name, test.value))
			if err == nil || err.Error() != test.want {
				t.Fatalf("got  %v\nwant %s", err, test.want)
			}
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
}

// An empty variable is not set, whatever it is.
func TestEmptyIsUnset(t *testing.T) {
	_, names := reads(t)
	var pairs []string
	for _, name := range names {
		if name != "HOME" {
			pairs = append(pairs, name, "")
		}
	}
	if got, want := load(t, pairs...), load(t); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// The first bad value is the one reported: one line, one thing to mend.
func TestFirstBadValue(t *testing.T) {
	_, err := config.Load(env("ALLOW", "x", "REKOR_URL", "x", "PORT", "x"))
	if want := `PORT="x": want a port from 1 to 65535`; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
