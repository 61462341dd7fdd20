package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestBlobStall(t *testing.T) {
	for name, start := range map[string]func(*testing.T, Config) (*world, *Client){"HTTP/1.1": mapped, "HTTP/2": unmapped} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()                                       // it waits
			w, c := start(t, Config{Timeout: 2 * time.Second}) // the beginning comes within it
			host := "reg.example"
			if name == "HTTP/2" {
				host += ".com"
				w.gate("https://reg.example.com/token", `{"token":"good"}`)
			} else {
				w.open()
			}
			quiet := make(chan struct{})
			w.mux.HandleFunc(blobPath, func(rw http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(rw, "some")
				rw.(http.Flusher).Flush()
				<-r.Context().Done()
				close(quiet)
			})
			b, err := c.Blob(t.Context(), "GET", blob(t, host), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(b.Body)
			if string(body) != "some" || !errors.Is(err, context.DeadlineExceeded) || err.Error() != "nothing came for 2s: context deadline exceeded" {
				t.Errorf("%q, %v", body, err)
			}
			b.Body.Close()
			<-quiet // the registry is left
		})
	}
}

// The stall limit is not the reader's: one that takes its time gets it all.
func TestBlobSlowReader(t *testing.T) {
	t.Parallel()
	const limit = 2 * time.Second
	w, c := mapped(t, Config{Timeout: limit})
	w.open()
	const length = 16 << 20 // more than the buffers on the way hold
	w.serve(blobPath, 200, "\n\n"+strings.Repeat("x", length))
	b, err := c.Blob(t.Context(), "GET", blob(t, "reg.example"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Body.Close()
	beginning, err := io.ReadAll(io.LimitReader(b.Body, 1))
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(limit + limit/2)
	if rest, err := io.ReadAll(b.Body); err != nil || len(beginning)+len(rest) != length {
		t.Errorf("%d bytes and %d, %v", len(beginning), len(rest), err)
	}
}

// Clients that do not read their blobs hold all the connections that there may
// be for streams, and none that manifests need.
func TestManifestsBesideBlobs(t *testing.T) {
	w, c := mapped(t, Config{Timeout: 10 * time.Second})
	w.open()
	w.mux.HandleFunc(blobPath, func(rw http.ResponseWriter, r *http.Request) {
		rw.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	w.serve("/v2/app/manifests/v1", 200, "Content-Type: "+indexType+"\n\n"+indexJSON)
	for range maxConns {
		b, err := c.Blob(t.Context(), "GET", blob(t, "reg.example"), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Body.Close()
	}
	if _, err := c.Manifest(t.Context(), request(t, "/v2/reg.example/app/manifests/v1")); err != nil {
		t.Error(err)
	}
}

func TestBlobThatNeverComes(t *testing.T) {
	w, c := mapped(t, Config{Timeout: 100 * time.Millisecond})
	w.open()
	w.mux.HandleFunc(blobPath, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	for _, method := range []string{"GET", "HEAD"} {
		_, err := c.Blob(t.Context(), method, blob(t, "reg.example"), nil)
		var e *Error
		if !errors.As(err, &e) || e.Status != 504 || e.Code != "UNAVAILABLE" || e.Message != "registry reg.example did not answer in time" {
			t.Errorf("%s: %v", method, err)
		}
	}
}
