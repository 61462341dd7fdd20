package page

import (
	"net/http"
	"regexp"
	"strings"
)

// A caller is how whoever asks reaches this service.
type caller struct {
	scheme string // http or https
	host   string // with a port, if one was given
}

// hostRE is what a host in a command to copy may look like. Of what is not so,
// no command is made.
var hostRE = regexp.MustCompile(`^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?$`)

// callerOf reads it from a request. The service itself speaks plain HTTP; Cloud
// Run and other proxies end TLS, and say so. Nothing but the address in a
// command depends on it.
func callerOf(r *http.Request) caller {
	c := caller{scheme: "http", host: r.Host}
	if r.Header.Get("X-Forwarded-Proto") == "https" {
		c.scheme = "https"
	}
	if !hostRE.MatchString(c.host) {
		c.host = "FRONT"
	}
	return c
}

// verifyLine is the command that compares a tag without this service, or "":
// on another machine verify has to be told whose records count.
func (p *Pages) verifyLine(t target, c caller, identity string) string {
	if p.c.Key == "" && identity == "" {
		return ""
	}
	args := []string{"tlogistry", "verify"}
	if p.c.Key != "" {
		args = append(args, "--tlog", c.scheme+"://"+c.host+p.c.Address, "--key", p.c.Key)
	}
	args = append(args, p.c.Flags...)
	if identity != "" {
		args = append(args, "--identity", identity)
	}
	for i, arg := range args {
		args[i] = quote(arg)
	}
	return strings.Join(append(args, t.name), " ")
}

var plainRE = regexp.MustCompile(`^[A-Za-z0-9@%+=:,./_-]+$`)

// quote makes one word of a text for a shell.
func quote(s string) string {
	if plainRE.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
