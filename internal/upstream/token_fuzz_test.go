package upstream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

// checkError fails unless an error is one that may be told to a client.
func checkError(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%T: %v", err, err)
	}
	if !slices.Contains([]int{400, 403, 404, 429, 502, 503, 504}, e.Status) {
		t.Errorf("status %d: %v", e.Status, err)
	}
	codes := []string{"DENIED", "UNAVAILABLE", "UNSUPPORTED", "TOOMANYREQUESTS", "NAME_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"}
	if !slices.Contains(codes, e.Code) {
		t.Errorf("code %q: %v", e.Code, err)
	}
	if len(e.Message) > 2048 || strings.ContainsFunc(e.Message, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("message %q", e.Message)
	}
}

// Whatever a registry challenges with, and whatever its token service answers,
// what comes of it is a token that can be sent, for a bounded time, or an error
// that can be told. Nobody else is asked.
func FuzzToken(f *testing.F) {
	var answer struct {
		challenge string
		status    int
		token     []byte
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			w.Header()["Www-Authenticate"] = []string{answer.challenge}
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(answer.status)
		_, _ = w.Write(answer.token)
	}))
	f.Cleanup(server.Close)
	base, err := url.Parse(server.URL)
	if err != nil {
		f.Fatal(err)
	}
	now := time.Now()
	elsewhere := errors.New("nobody is connected to")
	c := New(Config{
		Mirrors: map[string]*url.URL{"reg.example": base},
		Timeout: 5 * time.Second,
		now:     func() time.Time { return now },
		dial:    func(context.Context, string, string) (net.Conn, error) { return nil, elsewhere },
	})
	f.Cleanup(c.Close)
	const here = "http://here" // the server, whose port is another one each time
	const realm = `Bearer realm="` + here + `/token",service="s"`
	for _, token := range []string{
		`{"token":"abc","expires_in":300}`, `{"access_token":"abc"}`, `{"token":"a b"}`, `{"token":"a\r\nX: y"}`, `{"token":1}`, `{}`, ``, `[]`, `null`,
		`{"token":"abc","expires_in":-9223372036854775808}`, `{"token":"abc","expires_in":9223372036854775807}`, `{"token":"","access_token":"x"}`,
	} {
		f.Add(realm, uint16(200), []byte(token))
	}
	f.Add(realm, uint16(401), []byte(`{"errors":[{"code":"DENIED","message":"\u0000"}]}`))
	f.Add(`Bearer realm="http://127.0.0.1:1/token"`, uint16(200), []byte(`{"token":"abc"}`))
	f.Add(`Bearer realm="`+here+`/v2/?a=b#c"`, uint16(200), []byte(`{"token":"abc"}`))
	for _, challenge := range []string{`Basic realm="x"`, `Bearer`, ``, `Bearer realm="file:///etc/passwd"`, `Bearer realm="//x"`, `Bearer realm="%zz"`, `Negotiate`} {
		f.Add(challenge, uint16(200), []byte(`{"token":"abc"}`))
	}
	f.Fuzz(func(t *testing.T, challenge string, status uint16, token []byte) {
		// 1xx is no answer, and 502 to 504 are tried again, which takes time.
		if status < 200 || status > 599 || status >= 502 && status <= 504 || strings.ContainsAny(challenge, "\r\n\x00") {
			return
		}
		answer.challenge = strings.ReplaceAll(challenge, here, server.URL)
		answer.status, answer.token = int(status), token
		c.challenges.Purge()
		c.tokens.Purge()
		header, err := c.authorize(t.Context(), c.registry("reg.example"), "app")
		if err != nil {
			if header != "" {
				t.Errorf("%q with %v", header, err)
			}
			checkError(t, err)
			return
		}
		text, ok := strings.CutPrefix(header, "Bearer ")
		if !ok || text == "" || len(text) > maxToken || !printable(text) {
			t.Fatalf("challenge %q and answer %q give the header %q", challenge, token, header)
		}
		kept, ok := c.tokens.Get("reg.example/app")
		if !ok || kept.ends.Before(now.Add(-lifeMargin)) || kept.ends.After(now.Add(mostLife)) {
			t.Errorf("%q lives until %v", token, kept.ends)
		}
	})
}

// What a registry says of an error is told in one line, quoted and cut, and
// never with the token or the password that it was asked with.
func FuzzRefused(f *testing.F) {
	for _, body := range []string{
		`{"errors":[{"code":"NAME_UNKNOWN","message":"no such name","detail":{"a":1}}]}`, `{"errors":[{"code":"x","message":" \u2028\u0000 "}]}`,
		`{"errors":[]}`, `{"errors":null}`, `{"errors":[{}]}`, ``, `<html>`, `{"errors":[{"message":"s3cr3tt0k3n"}]}`, `{"errors":[{"message":"a%73b s3cr3tt0k3n"}]}`,
	} {
		for _, status := range []uint16{404, 401, 429, 500} {
			f.Add(status, "Bearer s3cr3tt0k3n", []byte(body))
		}
	}
	to := New(Config{}).registry("reg.example")
	r, err := ociref.ParseReference("reg.example/app:v1")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status uint16, authorization string, body []byte) {
		w := httptest.NewRecorder()
		w.Body.Write(body)
		w.Code = int(status)
		resp := w.Result()
		resp.Request = &http.Request{Header: http.Header{"Authorization": {authorization}}}
		e := refused(to, r, resp)
		checkError(t, e)
		_, secret, _ := strings.Cut(authorization, " ")
		ours := refused(to, r, &http.Response{StatusCode: int(status), Body: http.NoBody, Request: resp.Request}).Message
		if len(secret) >= 8 && strings.Contains(strings.TrimPrefix(e.Message, ours), secret) {
			t.Errorf("%q holds %q", e.Message, secret)
		}
	})
}
