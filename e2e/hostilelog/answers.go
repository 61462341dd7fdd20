package hostilelog

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// enough is more than any answer of Rekor's has, in bytes.
const enough = 1 << 30

// An Answer is one that no Rekor gives.
type Answer struct {
	Handler http.HandlerFunc
	Endless bool // it ends only when the client gives up
}

// Answers returns answers to any request of Rekor's, by name. Those that
// redirect send the client to elsewhere, a URL without a path.
func Answers(elsewhere string) map[string]Answer {
	answers := map[string]Answer{
		"body-endless":      {body(repeat(`"`+strings.Repeat("0", 80)+`",`), "["), true},
		"body-one-string":   {body(repeat("0"), `["`), true},
		"body-spaces":       {body(repeat(" "), ""), true},
		"body-dripping":     {dripping, true},
		"body-deep":         {body(repeat("["), ""), true},
		"body-deep-objects": {body(repeat(`{"a":`), ""), true},
		"body-deep-closed":  {fixed(200, "application/json", strings.Repeat("[", 1<<16)+strings.Repeat("]", 1<<16)), false},
		"gzip-bomb":         {gzipBomb(), true},
		"gzip-none":         {encoded("gzip", "[]"), false},
		"encoding-unknown":  {encoded("br", "\x0b\x02\x80[]\x03"), false},

		"number-huge":       {fixed(200, "application/json", "["+strings.Repeat("9", 1<<20)+"]"), false},
		"number-exponent":   {fixed(200, "application/json", "[1e999999999]"), false},
		"keys-empty":        {fixed(200, "application/json", `[{"":{}}]`), false},
		"keys-twice":        {fixed(200, "application/json", `[{"a":{},"a":{}}]`), false},
		"text-after":        {fixed(200, "application/json", `["x"] [`), false},
		"type-html":         {fixed(200, "text/html", "<html>welcome</html>"), false},
		"type-unknown":      {fixed(200, "application/x-"+strings.Repeat("x", 1000), "[]"), false},
		"type-broken":       {fixed(200, "application/json; charset=\x7f;;", `{"a":`), false},
		"type-yaml":         {fixed(200, "application/yaml", "- &a [x]\n- *a\n"), false},
		"header-huge":       {huge, false},
		"headers-many":      {many, false},
		"header-endless":    {endlessHeader, true},
		"status-broken":     {raw("HTTP/1.1 9999 ?\r\n\r\n"), false},
		"not-http":          {raw("SSH-2.0-OpenSSH_9.2\r\n"), false},
		"length-and-chunks": {raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n99\r\n[]"), false},
		"chunk-broken":      {raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n[]\r\n0\r\n\r\n"), false},
		"reset":             {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false},
		"reset-midway":      {raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n[\""), false},
		"silent":            {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, true},

		"429":                {fixed(429, "text/plain", "slow down"), false},
		"429-retry-now":      {retryAfter(429, "0"), false},
		"429-retry-in-a-day": {retryAfter(429, "86400"), false},
		"429-retry-garbage":  {retryAfter(429, "-1, soon"), false},
		"503-retry-in-a-day": {retryAfter(503, "86400"), false},
	}
	for _, status := range []int{400, 401, 403, 404, 410, 418, 422, 500, 502, 503, 504, 599} {
		answers[strconv.Itoa(status)] = Answer{fixed(status, "application/json", `{"code":`+strconv.Itoa(status)+`,"message":"no"}`), false}
	}
	for _, status := range []int{300, 301, 302, 303, 304, 307, 308} {
		answers["redirect-"+strconv.Itoa(status)] = Answer{func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", elsewhere+r.URL.Path)
			fixed(status, "application/json", "[]")(w, r)
		}, false}
	}
	return answers
}

func fixed(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func retryAfter(status int, after string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", after)
		fixed(status, "application/json", `{"message":"slow down"}`)(w, r)
	}
}

// body answers 200 with a text and then with a piece until the client has had
// enough of it.
func body(piece []byte, first string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, first)
		pour(w, piece)
	}
}

// repeat returns about 64 KiB of a text.
func repeat(s string) []byte { return []byte(strings.Repeat(s, (64<<10)/len(s))) }

func pour(w io.Writer, piece []byte) {
	for n := 0; n < enough; n += len(piece) {
		if _, err := w.Write(piece); err != nil {
			return
		}
	}
}

// dripping sends a space now and then.
func dripping(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := w.Write([]byte(" ")); err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

func encoded(encoding, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", encoding)
		fixed(200, "application/json", body)(w, r)
	}
}

// gzipBomb is a thousand times as long as it looks.
func gzipBomb() http.HandlerFunc {
	begin, piece := gzipped([]byte(`["`)), gzipped(make([]byte, 16<<20))
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(begin)
		pour(w, piece)
	}
}

func gzipped(b []byte) []byte {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	z.Write(b)
	z.Close()
	return buf.Bytes()
}

func huge(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Huge", strings.Repeat("x", 1<<20))
	fixed(200, "application/json", "[]")(w, r)
}

func many(w http.ResponseWriter, r *http.Request) {
	for i := range 20_000 {
		w.Header().Set("X-"+strconv.Itoa(i), "x")
	}
	fixed(200, "application/json", "[]")(w, r)
}

func endlessHeader(w http.ResponseWriter, r *http.Request) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Endless: ")
	pour(c, repeat("x"))
}

// raw answers with bytes and closes the connection.
func raw(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		io.WriteString(c, text)
	}
}
