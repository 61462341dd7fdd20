package hostile

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// statuses are answers that are no 200, with all that a good one has.
func statuses() map[string]behaviour {
	m := map[string]handler{}
	for _, status := range []int{201, 203, 204, 206, 226, 300, 302, 304, 400, 401, 402, 403, 404, 405, 410, 416, 418, 429, 451, 500, 501, 502, 503, 504, 599, 999} {
		body := Manifest
		if status == 204 || status == 304 {
			body = ""
		}
		m["status "+strconv.Itoa(status)] = text(status, body, "Content-Type: "+ManifestType, "Docker-Content-Digest: "+Digest(Manifest),
			"Content-Range: bytes 0-1/2", "Retry-After: 7", `Www-Authenticate: Basic realm="evil"`)
	}
	m["error without end"] = func(_ *Registry, w http.ResponseWriter, req *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		pour(w, req)
	}
	m["404 without end"] = func(_ *Registry, w http.ResponseWriter, req *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"`)
		pour(w, req)
	}
	m["404 with a story"] = text(404, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"<script>\u001b[2J\r\n`+strings.Repeat("x", 1000)+`"}]}`)
	return asManifests(m)
}

// wires are answers that are no HTTP, or are so in a way that parsers disagree
// about.
func wires() map[string]behaviour {
	const ok = "HTTP/1.1 200 OK\r\nContent-Type: " + ManifestType + "\r\n"
	length := "Content-Length: " + strconv.Itoa(len(Manifest)) + "\r\n"
	longer := "Content-Length: " + strconv.Itoa(len(Manifest)+1) + "\r\n"
	chunked := "Transfer-Encoding: chunked\r\n"
	chunk := fmt.Sprintf("%x\r\n%s\r\n", len(Manifest), Manifest)
	m := map[string]handler{}
	for name, text := range map[string]string{
		"trailing bytes":            ok + length + "\r\n" + Manifest + "trailing bytes",
		"a second answer":           ok + length + "\r\n" + Manifest + ok + "Content-Length: 2\r\n\r\n{}",
		"length too short":          ok + "Content-Length: 10\r\n\r\n" + Manifest,
		"length too long":           ok + longer + "\r\n" + Manifest,
		"two lengths":               ok + length + longer + "\r\n" + Manifest,
		"one length twice":          ok + length + length + "\r\n" + Manifest,
		"two lengths in one":        ok + "Content-Length: 5, 6\r\n\r\n" + Manifest,
		"negative length":           ok + "Content-Length: -1\r\n\r\n" + Manifest,
		"length with a sign":        ok + "Content-Length: +" + length[len("Content-Length: "):] + "\r\n" + Manifest,
		"length beyond 64 bits":     ok + "Content-Length: 18446744073709551617\r\n\r\n" + Manifest,
		"length and chunks":         ok + longer + chunked + "\r\n" + chunk + "0\r\n\r\n",
		"chunks without end":        ok + chunked + "\r\n" + chunk,
		"chunk of a wrong size":     ok + chunked + "\r\n5\r\n" + Manifest + "\r\n0\r\n\r\n",
		"chunk of 2^64":             ok + chunked + "\r\nffffffffffffffff\r\n" + Manifest,
		"chunk of -1":               ok + chunked + "\r\n-1\r\n" + Manifest,
		"chunk with a long name":    ok + chunked + "\r\n1;" + strings.Repeat("x", 1<<20) + "\r\n{",
		"chunks with a trailer":     ok + chunked + "Trailer: Docker-Content-Digest\r\n\r\n" + chunk + "0\r\nDocker-Content-Digest: " + Digest("x") + "\r\nSet-Cookie: evil=1\r\n\r\n",
		"trailer of a megabyte":     ok + chunked + "\r\n" + chunk + "0\r\n" + strings.Repeat("X-Evil: 1\r\n", 1<<17) + "\r\n",
		"encoded twice":             ok + "Transfer-Encoding: gzip, chunked\r\n\r\n" + chunk + "0\r\n\r\n",
		"header of a megabyte":      ok + "X-Evil: " + strings.Repeat("x", 1<<20) + "\r\n" + length + "\r\n" + Manifest,
		"headers of a megabyte":     ok + strings.Repeat("X-Evil: 1\r\n", 1<<17) + length + "\r\n" + Manifest,
		"quota of 60 KiB":           ok + "Ratelimit-Evil: " + strings.Repeat("x", 60<<10) + "\r\n" + length + "\r\n" + Manifest,
		"header without a colon":    ok + "evil\r\n" + length + "\r\n" + Manifest,
		"header that goes on":       ok + "Docker-Content-Digest: x\r\n y\r\n" + length + "\r\n" + Manifest,
		"header with CR":            ok + "ETag: \"a\rSet-Cookie: evil=1\"\r\n" + length + "\r\n" + Manifest,
		"header with LF":            ok + "ETag: \"a\nSet-Cookie: evil=1\"\r\n" + length + "\r\n" + Manifest,
		"header with NUL":           ok + "ETag: \"a\x00b\"\r\n" + length + "\r\n" + Manifest,
		"header with a space":       ok + "ETag : x\r\n" + length + "\r\n" + Manifest,
		"header in UTF-8":           ok + "ETag: \"\u202e\xff\"\r\n" + length + "\r\n" + Manifest,
		"no status":                 "HTTP/1.1\r\n\r\n",
		"status of letters":         "HTTP/1.1 OK 200\r\n\r\n",
		"negative status":           "HTTP/1.1 -20 OK\r\n\r\n",
		"version 0.9":               Manifest,
		"version 9":                 "HTTP/9.9 200 OK\r\n" + length + "\r\n" + Manifest,
		"another protocol":          "SSH-2.0-OpenSSH_9.2\r\n",
		"status line without end":   "HTTP/1.1 200 " + strings.Repeat("x", 1<<20),
		"closed at once":            "",
		"switching to another":      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: evil\r\n\r\n" + Manifest,
		"switching without a word":  "HTTP/1.1 101 Switching Protocols\r\n\r\n" + Manifest,
		"continue and early hints":  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nDocker-Content-Digest: x\r\nSet-Cookie: evil=1\r\n\r\n" + ok + length + "\r\n" + Manifest,
		"ten thousand early hints":  strings.Repeat("HTTP/1.1 103 Early Hints\r\nX-Evil: 1\r\n\r\n", 10_000) + ok + length + "\r\n" + Manifest,
		"a hundred thousand 102":    strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 100_000),
		"preface of HTTP/2":         "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"frame of HTTP/2, GOAWAY":   "\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"TLS, where none is spoken": "\x15\x03\x01\x00\x02\x02\x28",
	} {
		m[name] = raw(text, nil)
	}
	m["reset in the middle"] = raw(ok+length+"\r\n"+Manifest[:20], reset)
	m["reset at once"] = raw("", reset)
	m["switching, then silent"] = raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: evil\r\n\r\n", silent)
	return asManifests(m)
}

// slow are answers that come late, in small pieces, or never.
func slow() map[string]behaviour {
	const ok = "HTTP/1.1 200 OK\r\nContent-Type: " + ManifestType + "\r\n"
	length := "Content-Length: " + strconv.Itoa(len(Manifest)) + "\r\n"
	dripping := func(text, drops string) handler {
		return raw(text, func(r *Registry, conn net.Conn) {
			for i := 0; r.wait(50 * time.Millisecond); i++ {
				if _, err := conn.Write([]byte{drops[i%len(drops)]}); err != nil {
					return
				}
			}
		})
	}
	m := map[string]handler{
		"silent":                  raw("", silent),
		"silent after the status": raw("HTTP/1.1 200 OK\r\n", silent),
		"silent after the header": raw(ok+length+"\r\n", silent),
		"silent in the body":      raw(ok+length+"\r\n"+Manifest[:20], silent),
		"silent in a chunk":       raw(ok+"Transfer-Encoding: chunked\r\n\r\n5\r\n{", silent),
		"silent in a large body":  raw(ok+"Transfer-Encoding: chunked\r\n\r\n100000\r\n"+strings.Repeat(" ", 1<<20), silent),
		"header by drops":         dripping(ok, "X-Evil: 1\r\n"),
		"body by drops":           dripping(ok+"Content-Length: 100000\r\n\r\n", " "),
		"chunks by drops":         dripping(ok+"Transfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n"),
		"early hints by drops":    dripping("", "HTTP/1.1 103 Early Hints\r\n\r\n"),
		"503 for ever":            text(503, "", "Retry-After: 3600"),
		"slow error":              raw("HTTP/1.1 500 x\r\n\r\n", silent),
		"slow redirect":           raw("HTTP/1.1 307 x\r\nLocation: /x\r\n\r\n", silent),
	}
	return asManifests(m)
}

// raw writes to the connection itself, and closes it when then has returned.
func raw(text string, then func(*Registry, net.Conn)) handler {
	return func(r *Registry, w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err) // over HTTP/2: a mistake of the test
		}
		defer conn.Close()
		r.mu.Lock()
		r.taken = append(r.taken, conn)
		r.mu.Unlock()
		if _, err := io.WriteString(conn, text); err != nil {
			return
		}
		if then != nil {
			then(r, conn)
		}
	}
}

// silent keeps the connection open until the other side closes it.
func silent(_ *Registry, conn net.Conn) { io.Copy(io.Discard, conn) }

// reset has the other side see that the connection is gone.
func reset(r *Registry, conn net.Conn) {
	r.wait(50 * time.Millisecond) // for what was written to be read
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
}

// wait reports whether the registry lasted for d.
func (r *Registry) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.ended:
		return false
	}
}

// headWithBody answers HEAD with a body, which HTTP forbids.
func headWithBody(r *Registry, w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodHead {
		honestManifest(r, w, req)
		return
	}
	raw("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nDocker-Content-Digest: "+Digest(Manifest)+"\r\n\r\n"+Manifest, nil)(r, w, req)
}
