package hostile

import (
	"fmt"
	"net/http"
	"strings"
)

// targets are places that no registry may lead to. ELSEWHERE stands for the
// port on loopback, SELF for the registry's own host and port.
var targets = map[string]string{
	"http loopback":           "http://127.0.0.1:ELSEWHERE/v2/",
	"https loopback":          "https://127.0.0.1:ELSEWHERE/v2/",
	"localhost":               "https://localhost:ELSEWHERE/v2/",
	"localhost and dot":       "https://localhost.:ELSEWHERE/v2/",
	"http localhost":          "http://localhost:ELSEWHERE/v2/",
	"decimal loopback":        "https://2130706433:ELSEWHERE/v2/",
	"octal loopback":          "https://017700000001:ELSEWHERE/v2/",
	"hex loopback":            "https://0x7f000001:ELSEWHERE/v2/",
	"short loopback":          "https://127.1:ELSEWHERE/v2/",
	"zero":                    "https://0.0.0.0:ELSEWHERE/v2/",
	"loopback six":            "https://[::1]:ELSEWHERE/v2/",
	"mapped loopback":         "https://[::ffff:127.0.0.1]:ELSEWHERE/v2/",
	"NAT64 loopback":          "https://[64:ff9b::127.0.0.1]/v2/",
	"6to4 loopback":           "https://[2002:7f00:1::]/v2/",
	"zone":                    "https://[fe80::1%25lo]:ELSEWHERE/v2/",
	"site-local":              "https://[fec0::1]/v2/",
	"metadata":                "http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token",
	"metadata, https":         "https://169.254.169.254/",
	"metadata, mapped":        "https://[::ffff:169.254.169.254]/",
	"private":                 "https://10.0.0.1/",
	"shared":                  "https://100.64.0.1/",
	"another port of its":     "http://localhost:ELSEWHERE/v2/",
	"its own, https":          "https://SELF/v2/",
	"http downgrade":          "http://registry.example.org/v2/",
	"without a scheme":        "//127.0.0.1:ELSEWHERE/v2/",
	"user":                    "https://registry.example.org@localhost:ELSEWHERE/v2/",
	"user of its own":         "http://user:secret@SELF/v2/",
	"file":                    "file:///etc/passwd",
	"gopher":                  "gopher://127.0.0.1:ELSEWHERE/_x",
	"script":                  "javascript:alert(1)",
	"data":                    "data:application/json,{}",
	"no host":                 "https:///v2/",
	"no address":              "https://[::1/v2/",
	"low port":                "https://8.8.8.8:22/",
	"backslash":               `https://localhost:ELSEWHERE\@registry.example.org/`,
	"nothing to go to":        "",
	"control character":       "https://registry.example.org/\x01",
	"space":                   "https://registry.example.org /",
	"port beyond the highest": "https://localhost:99999/",
}

// redirects lead a manifest request astray.
func redirects() map[string]behaviour {
	m := map[string]behaviour{}
	for name, to := range targets {
		m["redirect: "+name] = behaviour{manifest: leads(to)}
		m["far redirect: "+name] = behaviour{manifest: hops(3, leads(to))}
		m["ping redirect: "+name] = behaviour{ping: leads(to)}
	}
	m["redirect of five hops"] = behaviour{manifest: hops(5, honestManifest)}
	m["redirect of six hops"] = behaviour{manifest: hops(6, honestManifest)}
	m["redirect to itself"] = behaviour{manifest: func(_ *Registry, w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, req.URL.Path, http.StatusFound)
	}}
	m["redirect in a circle"] = behaviour{manifest: func(_ *Registry, w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, map[bool]string{true: "/a", false: "/b"}[req.URL.Path == "/b"], http.StatusFound)
	}}
	m["redirect without end"] = behaviour{manifest: hops(1<<30, nil)}
	m["redirect of a megabyte"] = behaviour{manifest: raw("HTTP/1.1 302 Found\r\nLocation: /"+strings.Repeat("x", 1<<20)+"\r\n\r\n", nil)}
	m["two locations"] = behaviour{manifest: raw("HTTP/1.1 302 Found\r\nLocation: /x\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", nil)}
	m["redirect with the token"] = behaviour{ping: challenge(`Bearer realm="http://SELF/token"`), manifest: leads("/x?token=" + Token)}
	m["redirect with a body without end"] = behaviour{manifest: func(_ *Registry, w http.ResponseWriter, req *http.Request) {
		set(w, "Location: http://127.0.0.1:1/")
		w.WriteHeader(http.StatusFound)
		pour(w, req)
	}}
	return m
}

// fill fills in a target's port and host.
func (r *Registry) fill(to string) string {
	return strings.NewReplacer("ELSEWHERE", r.Elsewhere, "SELF", r.Host).Replace(to)
}

func leads(to string) handler {
	return func(r *Registry, w http.ResponseWriter, _ *http.Request) {
		if to != "" {
			w.Header()["Location"] = []string{r.fill(to)}
		}
		w.WriteHeader(http.StatusTemporaryRedirect)
	}
}

// hops redirects n times within the registry, and then does as end does.
func hops(n int, end handler) handler {
	return func(r *Registry, w http.ResponseWriter, req *http.Request) {
		var i int
		fmt.Sscanf(req.URL.Path, "/hop/%d", &i)
		if i < n {
			http.Redirect(w, req, fmt.Sprintf("/hop/%d", i+1), http.StatusFound)
			return
		}
		end(r, w, req)
	}
}
