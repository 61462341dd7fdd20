package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

// A reader reads variables and keeps the first error.
type reader struct {
	getenv func(string) string
	err    error
}

func (r *reader) bad(name, value, want string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s=%q: want %s", name, value, want)
	}
}

func (r *reader) text(name, or string) string {
	v := r.getenv(name)
	if v == "" {
		return or
	}
	if strings.ContainsFunc(v, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		r.bad(name, withoutPassword(v), "a value without white space and control characters")
	}
	return v
}

func (r *reader) port(name, or string) string {
	v := r.text(name, or)
	if n, err := strconv.ParseUint(v, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != v {
		r.bad(name, v, "a port from 1 to 65535")
	}
	return v
}

func (r *reader) flag(name string) bool {
	v := r.getenv(name)
	switch v {
	case "", "true", "false":
	default:
		r.bad(name, v, "true or false")
	}
	return v == "true"
}

func (r *reader) logFormat() string {
	v := r.getenv("LOG_FORMAT")
	switch v {
	case "", "json", "text":
	default:
		r.bad("LOG_FORMAT", v, "json or text")
	}
	return v
}

// projectID is also what names projects of a domain, such as example.com:name.
// How long it may be is asked apart: counted in the expression, it would make
// that the largest thing that the process holds of this package, by far.
var projectID = regexp.MustCompile(`^[a-z0-9.:-]+$`)

const maxProjectID = 100

func (r *reader) project() string {
	v := r.getenv("GOOGLE_CLOUD_PROJECT")
	if v != "" && (len(v) > maxProjectID || !projectID.MatchString(v)) {
		r.bad("GOOGLE_CLOUD_PROJECT", v, "the ID of a Google Cloud project")
	}
	return v
}

func (r *reader) host() string {
	const loopback = "127.0.0.1"
	if r.flag("LOCAL_ONLY") {
		return loopback
	}
	or := loopback
	if r.getenv("K_SERVICE") != "" {
		or = ""
	}
	v := r.text("HOST", or)
	if v != "" && v != "localhost" && net.ParseIP(v) == nil {
		r.bad("HOST", v, "an IP address or localhost")
	}
	return v
}

func (r *reader) log() string {
	v := r.getenv("TLOG")
	switch v {
	case Rekor, Local:
		return v
	case "":
	default:
		r.bad("TLOG", v, "rekor or local")
	}
	for _, name := range []string{"K_SERVICE", "GCE_METADATA_HOST", "REKOR_URL"} {
		if r.getenv(name) != "" {
			return Rekor
		}
	}
	return Local
}

func (r *reader) url(name, or string) *url.URL {
	v := r.text(name, or)
	u, err := baseURL(v)
	if err != nil {
		r.bad(name, withoutPassword(v), "an http or https address, "+err.Error())
		return nil
	}
	return u
}

// withoutPassword blots out the password of an address, which has no place in
// a log.
func withoutPassword(address string) string {
	u, err := url.Parse(address)
	switch at := strings.LastIndex(address, "@"); {
	case err != nil && at >= 0 && strings.Contains(address, "://"): // it may be the password that cannot be read
		return "xxxxx" + address[at:]
	case err != nil || u.User == nil:
		return address
	}
	return u.Redacted()
}

// baseURL parses an address that paths are appended to.
func baseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("well-formed")
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("such as https://host")
	case !isPort(u.Port()):
		return nil, errors.New("with a port from 1 to 65535 if any")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("without user, query and fragment")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = ""
	return u, nil
}

// isPort reports whether a URL's port, which is digits, can be connected to.
// None is the scheme's own.
func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return s == "" || err == nil && n > 0
}

func (r *reader) duration(name string, or, least time.Duration) time.Duration {
	v := r.getenv(name)
	if v == "" {
		return or
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < least {
		want := "a duration above zero such as 30s"
		if least == 0 {
			want = "a duration of zero or more such as 250ms"
		}
		r.bad(name, v, want)
	}
	return d
}

// file checks that a file can be read, so that a wrong path stops the start
// and not the first pull.
func (r *reader) file(name string) string {
	v := r.getenv(name)
	if v == "" {
		return ""
	}
	switch readable(v) {
	case errNotRegular:
		r.bad(name, v, "the path of a regular file")
	case errNotReadable:
		r.bad(name, v, "the path of a file that can be read")
	}
	return v
}

// dockerConfig returns the path of the config.json in DOCKER_CONFIG.
func (r *reader) dockerConfig() string {
	const name = "DOCKER_CONFIG"
	v := r.getenv(name)
	if v == "" {
		return ""
	}
	path := filepath.Join(v, "config.json")
	if readable(path) != nil {
		r.bad(name, v, "a directory with a config.json that can be read")
	}
	return path
}

var (
	errNotRegular  = errors.New("not a regular file")
	errNotReadable = errors.New("cannot be read")
)

// readable returns why a file cannot be read. Only a regular one is opened:
// opening a named pipe waits.
func readable(path string) error {
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		return errNotRegular
	}
	f, err := os.Open(path)
	if err != nil {
		return errNotReadable
	}
	return f.Close()
}

func (r *reader) upstreams() map[string]*url.URL {
	const name, want = "UPSTREAMS", "registry=base URL, comma-separated, such as docker.io=http://localhost:5000"
	m := make(map[string]*url.URL)
	for _, pair := range split(r.getenv(name)) {
		host, base, ok := strings.Cut(pair, "=")
		registry, err := ociref.Registry(host)
		u, uerr := baseURL(base)
		if !ok || err != nil || uerr != nil {
			r.bad(name, strings.TrimSuffix(pair, base)+withoutPassword(base), want)
			return nil
		}
		if _, twice := m[registry]; twice {
			r.bad(name, pair, "each registry once")
			return nil
		}
		m[registry] = u
	}
	return m
}

func (r *reader) allow() []ociref.Pattern {
	var patterns []ociref.Pattern
	v := r.getenv("ALLOW")
	for _, s := range split(v) {
		p, err := ociref.ParsePattern(s)
		if err != nil {
			r.bad("ALLOW", s, "comma-separated patterns such as docker.io/library/* or ghcr.io/acme/**: "+err.Error())
			return nil
		}
		patterns = append(patterns, p)
	}
	if v != "" && len(patterns) == 0 {
		r.bad("ALLOW", v, "at least one pattern")
	}
	return patterns
}

func (r *reader) logDir(log string) string {
	if dir := r.getenv("TLOG_DIR"); dir != "" {
		return dir
	}
	if dir := r.getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "tlogistry")
	}
	if home := r.getenv("HOME"); home != "" {
		return filepath.Join(home, ".local", "share", "tlogistry")
	}
	if log == Local {
		r.bad("TLOG_DIR", "", "a directory, as neither XDG_DATA_HOME nor HOME is set")
	}
	return ""
}

func split(s string) []string {
	var parts []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}
