package keyless

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// serve makes h the metadata server.
func serve(t *testing.T, h http.HandlerFunc) Tokens {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(server.URL, "http://"))
	return Metadata()
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // the client may have hung up
	}
}

func TestMetadataEmail(t *testing.T) {
	asked := 0
	m := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.Method != "GET" || r.URL.String() != "/computeMetadata/v1/instance/service-accounts/default/email" {
			t.Errorf("asked for %s %s", r.Method, r.URL)
		}
		if r.Header.Get("Metadata-Flavor") != "Google" {
			t.Errorf("Metadata-Flavor: %q", r.Header.Get("Metadata-Flavor"))
		}
		_, _ = io.WriteString(w, "recorder@acme.example\n")
	})
	if got, err := m.Email(t.Context()); got != "recorder@acme.example" || err != nil || asked != 1 {
		t.Errorf("got %q, %v, asked %d times", got, err, asked)
	}
}

func TestMetadataBadEmail(t *testing.T) {
	long := strings.Repeat("a", 310) + "@b.example"
	if got, err := serve(t, answer(200, long)).Email(t.Context()); got != long || err != nil {
		t.Errorf("320 characters: %q, %v", got, err)
	}
	tests := []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"empty", 200, "", `"" is not an e-mail address`},
		{"space alone", 200, " \n", `"" is not an e-mail address`},
		{"space inside", 200, "a @b.example", `"a @b.example" is not an e-mail address`},
		{"two lines", 200, "a@b.example\nc@d.example", `"a@b.example\nc@d.example" is not an e-mail address`},
		{"control character", 200, "a\x7f@b.example", `"a\x7f@b.example" is not an e-mail address`},
		{"321 characters", 200, "a" + long, `"a` + long + `" is not an e-mail address`},
		{"no service account", 404, "", `metadata: GCE metadata "instance/service-accounts/default/email" not defined`},
		{"refused", 403, "no", "compute: Received 403 `no`"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := serve(t, answer(test.status, test.body)).Email(t.Context())
			if got != "" || err == nil || err.Error() != test.want {
				t.Errorf("got  %q, %v\nwant %s", got, err, test.want)
			}
		})
	}
}

func TestMetadataToken(t *testing.T) {
	const audience = "https://sigstore.example/?a=b&format=standard c"
	m := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "GET" || r.URL.Path != "/computeMetadata/v1/instance/service-accounts/default/identity" {
			t.Errorf("asked for %s %s", r.Method, r.URL)
		}
		q := r.URL.Query()
		if len(q) != 2 || len(q["audience"]) != 1 || q.Get("audience") != audience || len(q["format"]) != 1 || q.Get("format") != "full" {
			t.Errorf("query %s", r.URL.RawQuery)
		}
		if r.Header.Get("Metadata-Flavor") != "Google" {
			t.Errorf("Metadata-Flavor: %q", r.Header.Get("Metadata-Flavor"))
		}
		_, _ = io.WriteString(w, " a.b.c\r\n")
	})
	if got, err := m.Token(t.Context(), audience); got != "a.b.c" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestMetadataTokenErrors(t *testing.T) {
	tests := []struct {
		name   string
		status int
		want   string
	}{
		{"no service account", 404, `metadata: GCE metadata "instance/service-accounts/default/identity?audience=sigstore&format=full" not defined`},
		{"refused", 403, "compute: Received 403 `no`"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := serve(t, answer(test.status, "no")).Token(t.Context(), "sigstore")
			if got != "" || err == nil || err.Error() != test.want {
				t.Errorf("got  %q, %v\nwant %s", got, err, test.want)
			}
		})
	}
}

func TestMetadataIsBounded(t *testing.T) {
	m := serve(t, answer(200, strings.Repeat("x", 3<<20)))
	if got, err := m.Token(t.Context(), "sigstore"); len(got) != 1<<20 || err != nil {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

func TestMetadataEndsWithItsCaller(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"no answer": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		// Such an answer is tried again after a while, but not for nobody.
		"503": answer(503, ""),
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			m := serve(t, func(w http.ResponseWriter, r *http.Request) {
				cancel()
				h(w, r)
			})
			if got, err := m.Token(ctx, "sigstore"); got != "" || !errors.Is(err, context.Canceled) {
				t.Errorf("Token: %q, %v", got, err)
			}
			if got, err := m.Email(ctx); got != "" || !errors.Is(err, context.Canceled) {
				t.Errorf("Email: %q, %v", got, err)
			}
		})
	}
}
