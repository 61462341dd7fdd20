package keyless

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// These tests answer as a Fulcio in trouble does. What a real one answers is
// tested against a real one.

// troubled returns a signer whose Fulcio is h, and the count of tokens asked for.
func troubled(t *testing.T, timeout time.Duration, h http.HandlerFunc) (s *Signer, tokens *int, url string) {
	t.Helper()
	fulcio := httptest.NewServer(h)
	t.Cleanup(fulcio.Close)
	tokens = new(int)
	s = New(Config{
		FulcioURL: fulcio.URL,
		Timeout:   timeout,
		Subject:   email,
		Issuer:    issuer,
		Tokens: &place{token: func(context.Context, string) (string, error) {
			*tokens++
			return lasting(time.Now(), time.Now().Add(time.Hour)), nil
		}},
	})
	t.Cleanup(s.Close)
	return s, tokens, fulcio.URL
}

// chain is an answer with one certificate.
func chain(t *testing.T, pem string) string {
	t.Helper()
	b, err := json.Marshal(map[string]any{
		"signedCertificateEmbeddedSct": map[string]any{"chain": map[string]any{"certificates": []string{pem}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFulcioInTrouble(t *testing.T) {
	foreign := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certify(t, key(t).GetPublicKey(), nil)}))
	const ask = "ask Fulcio for a certificate: "
	tests := []struct {
		name   string
		status int
		body   string
		want   string // URL stands for the address asked
		tokens int    // asked for in two attempts
	}{
		{"500", 500, "", ask + `Post "URL": it answered 500 Internal Server Error`, 2},
		{"503", 503, "secret", ask + `Post "URL": it answered 503 Service Unavailable`, 2},
		{"429", 429, "", ask + `Post "URL": it answered 429 Too Many Requests`, 2},
		{"400", 400, "invalid token", ask + "Fulcio returned 400: invalid token", 2},
		{"201", 201, chain(t, foreign), ask + "Fulcio returned 201: " + chain(t, foreign), 2},
		{"no JSON", 200, "<html>", ask + "invalid character '<' looking for beginning of value", 2},
		{"no certificate", 200, "{}", ask + "Fulcio returned no certificates", 2},
		{"no PEM", 200, chain(t, "certificate"), ask + "unable to parse Fulcio certificate", 2},
		{"more than 1 MiB", 200, `{"a":"` + strings.Repeat("x", 1<<20) + `"}`, ask + "unexpected end of JSON input", 2},
		{"certificate for another key", 200, chain(t, foreign), "check Fulcio's certificate: it is for another key", 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			asked := 0
			s, tokens, url := troubled(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
				asked++
				if r.Method != "POST" || r.URL.Path != "/api/v2/signingCert" || !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer e30.") {
					t.Errorf("asked for %s %s", r.Method, r.URL)
				}
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body) // the signer may have hung up: that is the point
			})
			want := strings.Replace(test.want, "URL", url+"/api/v2/signingCert", 1)
			for range 2 {
				if _, err := s.credential(t.Context()); err == nil || err.Error() != want {
					t.Errorf("got  %v\nwant %s", err, want)
				}
			}
			if asked != 2 {
				t.Errorf("%d requests for 2 attempts", asked)
			}
			if *tokens != test.tokens {
				t.Errorf("%d tokens for 2 attempts, want %d", *tokens, test.tokens)
			}
			if s.current != nil {
				t.Error("it has a credential now")
			}
		})
	}
}

func TestFulcioWithoutAnswer(t *testing.T) {
	s, _, _ := troubled(t, 20*time.Millisecond, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // so that the server sees the client hang up
		<-r.Context().Done()
	})
	if _, err := s.credential(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// The limit holds for the body as well.
func TestFulcioWithoutEnd(t *testing.T) {
	s, _, _ := troubled(t, 20*time.Millisecond, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "{")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	if _, err := s.credential(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestFulcioOutOfReach(t *testing.T) {
	s, _, url := troubled(t, time.Minute, nil)
	server := httptest.NewServer(nil)
	server.Close()
	s.c.FulcioURL = server.URL
	_, err := s.credential(t.Context())
	want := `ask Fulcio for a certificate: Post "` + server.URL + `/api/v2/signingCert": dial tcp `
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s… and not %s", err, want, url)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// An endless body, which knows whether it was closed and how much was read.
type endless struct {
	read   int
	closed bool
}

func (b *endless) Read(p []byte) (int, error) { b.read += len(p); return len(p), nil }
func (b *endless) Close() error               { b.closed = true; return nil }

func TestFulcioTransport(t *testing.T) {
	tests := []struct {
		status int
		want   string
	}{
		{200, ""}, {201, ""}, {400, ""}, {401, ""}, {404, ""}, {428, ""}, {430, ""}, {499, ""},
		{302, "it answered 302 Found"},
		{307, "it answered 307 Temporary Redirect"},
		{429, "it answered 429 Too Many Requests"},
		{500, "it answered 500 Internal Server Error"},
		{502, "it answered 502 Bad Gateway"},
		{599, "it answered 599 "},
	}
	for _, test := range tests {
		t.Run(http.StatusText(test.status), func(t *testing.T) {
			type key struct{}
			ctx := context.WithValue(t.Context(), key{}, "signer's")
			sent := &endless{}
			transport := &fulcioTransport{ctx: ctx, inner: roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.Context().Value(key{}) != "signer's" {
					t.Error("the request has not the signer's context")
				}
				status := strings.TrimPrefix(test.want, "it answered ")
				return &http.Response{StatusCode: test.status, Status: status, Body: sent}, nil
			})}
			r := httptest.NewRequest("POST", "http://fulcio.example/", nil)
			resp, err := transport.RoundTrip(r)
			if test.want != "" {
				if resp != nil || err == nil || err.Error() != test.want {
					t.Errorf("got %v, %v, want %s", resp, err, test.want)
				}
				if !sent.closed || sent.read != 0 {
					t.Errorf("body closed: %t, read: %d bytes", sent.closed, sent.read)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			checkBounded(t, resp, sent)
		})
	}
}

func checkBounded(t *testing.T, resp *http.Response, sent *endless) {
	t.Helper()
	if n, err := io.Copy(io.Discard, resp.Body); n != 1<<20 || err != nil {
		t.Errorf("the body has %d bytes, %v", n, err)
	}
	if sent.read > 2<<20 || sent.closed {
		t.Errorf("%d bytes were read, closed: %t", sent.read, sent.closed)
	}
	if err := resp.Body.Close(); err != nil || !sent.closed {
		t.Errorf("Close: %v, closed: %t", err, sent.closed)
	}
}

func TestTransportErrors(t *testing.T) {
	broken := errors.New("broken")
	inner := roundTrip(func(*http.Request) (*http.Response, error) { return nil, broken })
	for name, transport := range map[string]http.RoundTripper{
		"bounded": boundedTransport{inner: inner},
		"fulcio":  &fulcioTransport{ctx: t.Context(), inner: inner},
	} {
		resp, err := transport.RoundTrip(httptest.NewRequest("POST", "http://fulcio.example/", nil))
		if resp != nil || err != broken {
			t.Errorf("%s: %v, %v", name, resp, err)
		}
	}
}
