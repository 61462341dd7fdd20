package tilelog_test

import (
	"compress/gzip"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/internal/tilelog"
)

const (
	forever = "public, max-age=31536000, immutable"
	text    = "text/plain; charset=utf-8"
	octets  = "application/octet-stream"
)

// ask sends a request to the log's handler, which is mounted at /tlog/.
func ask(t *testing.T, l *tilelog.Log, method, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	http.StripPrefix("/tlog", l.Handler()).ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestHandler(t *testing.T) {
	s := newSample(t)
	dir := s.copy(t)
	l := mustOpen(t, tilelog.Config{Dir: dir})
	defer mustClose(t, l)
	file := func(name string) string { return read(t, dir+"/log/"+name) }
	tests := []struct{ path, mediaType, cache, want string }{
		{"checkpoint", text, "no-cache", s.checkpoint[1]},
		{"key", text, "no-cache", s.vkey + "\n"},
		{"tile/entries/000", octets, forever, file("tile/entries/000")},
		{"tile/entries/002.p/88", octets, forever, file("tile/entries/002.p/88")},
		{"tile/entries/001.p/44", octets, forever, file("tile/entries/001.p/44")},
		{"tile/0/001", octets, forever, file("tile/0/001")},
		{"tile/0/002.p/88", octets, forever, file("tile/0/002.p/88")},
		{"tile/0/001.p/44", octets, forever, file("tile/0/001.p/44")},
		{"tile/1/000.p/1", octets, forever, file("tile/1/000.p/1")},
		{"tile/1/000.p/2", octets, forever, file("tile/1/000.p/2")},
		// Of other sizes, what such a tree would have had.
		{"tile/0/000.p/1", octets, forever, file("tile/0/000")[:32]},
		{"tile/entries/002.p/87", octets, forever, strings.TrimSuffix(file("tile/entries/002.p/88"), "\x00\xb2"+lastEntry(t, dir+"/log/tile/entries/002.p/88"))},
	}
	for _, test := range tests {
		t.Run(test.path, func(t *testing.T) {
			resp := ask(t, l, "GET", "/tlog/"+test.path)
			if got := body(t, resp); resp.StatusCode != http.StatusOK || got != test.want || resp.ContentLength != int64(len(test.want)) {
				t.Errorf("%s, %d bytes, length %d, want %d", resp.Status, len(got), resp.ContentLength, len(test.want))
			}
			if got, cache := resp.Header.Get("Content-Type"), resp.Header.Get("Cache-Control"); got != test.mediaType || cache != test.cache {
				t.Errorf("Content-Type %q, Cache-Control %q", got, cache)
			}
			head := ask(t, l, "HEAD", "/tlog/"+test.path)
			if got := body(t, head); got != "" || head.StatusCode != http.StatusOK || !maps.EqualFunc(head.Header, resp.Header, slices.Equal) {
				t.Errorf("HEAD: %q, %s, %v", got, head.Status, head.Header)
			}
		})
	}
}

func TestHandlerRefuses(t *testing.T) {
	s := newSample(t)
	dir := s.copy(t)
	l := mustOpen(t, tilelog.Config{Dir: dir})
	defer mustClose(t, l)
	// The rest of a batch that never became part of the tree.
	for _, path := range []string{"tile/0/002", "tile/entries/002", "tile/0/002.p/90", "tile/1/000", "tile/2/000.p/1", "tile/0/003.p/1"} {
		mkdir(t, filepath.Dir(dir+"/log/"+path))
		write(t, dir+"/log/"+path, "no such tile")
	}
	if err := os.Symlink(dir+"/key", dir+"/log/tile/secret"); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"", "/", "x", "Checkpoint", "checkpoint/", "/checkpoint", "checkpoint.new", "key/", "key.new", "lock", "log/checkpoint",
		"../key", "tile/../../key", "tile/0/../../../key", "%2e%2e/key", "tile/%2e%2e/%2e%2e/key", "tile%2f0%2f000", "%63heckpoint%2f", "..%2fkey",
		".state/treeState", ".state/", "tile", "tile/", "tile/0/", "tile/0/00", "tile/00/000", "tile/0/x000/000", "tile/0/000/", "tile/secret",
		"tile/0/002", "tile/entries/002", "tile/0/002.p/90", "tile/0/002.p/89", "tile/entries/002.p/89", "tile/0/003.p/1", "tile/entries/003",
		"tile/1/000", "tile/1/000.p/3", "tile/1/001.p/1", "tile/2/000.p/1", "tile/2/000", "tile/63/000", "tile/0/000.p/0", "tile/0/000.p/256",
		"tile/0/x018/x446/x744/x073/x709/x551/615",
	} {
		resp := ask(t, l, "GET", "/tlog/"+path)
		if got := body(t, resp); resp.StatusCode != http.StatusNotFound || got != "404 not found\n" && got != "404 page not found\n" ||
			strings.HasPrefix(got, "404 not") && resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %s, %q, %v", path, resp.Status, got, resp.Header)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "PATCH"} {
		resp := ask(t, l, method, "/tlog/checkpoint")
		if got := body(t, resp); resp.StatusCode != http.StatusMethodNotAllowed || got != "405 method not allowed\n" || resp.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %s, %q, %v", method, resp.Status, got, resp.Header)
		}
	}
}

func TestHandlerCompresses(t *testing.T) {
	l := mustOpen(t, tilelog.Config{Dir: t.TempDir()})
	defer mustClose(t, l)
	fill(t, l, 0, 20)
	plain := ask(t, l, "GET", "/tlog/tile/entries/000.p/20", "Accept-Encoding", "br, gzip;q=0")
	if plain.Header.Get("Content-Encoding") != "" || plain.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("not asked for gzip: %v", plain.Header)
	}
	resp := ask(t, l, "GET", "/tlog/tile/entries/000.p/20", "Accept-Encoding", "br, gzip")
	z, err := gzip.NewReader(resp.Body)
	if err != nil || resp.Header.Get("Content-Encoding") != "gzip" || resp.Header.Get("Vary") != "Accept-Encoding" {
		t.Fatalf("%v, %v", resp.Header, err)
	}
	if b, err := io.ReadAll(z); err != nil || string(b) != body(t, plain) {
		t.Errorf("other bytes, %v", err)
	}
	if resp := ask(t, l, "GET", "/tlog/tile/0/000.p/20", "Accept-Encoding", "gzip"); resp.Header.Get("Content-Encoding") != "" {
		t.Errorf("hashes are compressed: %v", resp.Header)
	}
}

// What cannot be verified is not served.
func TestHandlerDamaged(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, tilelog.Config{Dir: dir})
	defer mustClose(t, l)
	fill(t, l, 0, 3)
	good := read(t, dir+"/log/checkpoint")
	for _, file := range []string{"checkpoint", "tile/entries/000.p/3", "tile/0/000.p/3"} {
		cut(t, dir+"/log/"+file, 1)
		resp := ask(t, l, "GET", "/tlog/"+file)
		if got := body(t, resp); resp.StatusCode != http.StatusInternalServerError || got != "500 internal server error\n" || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %s, %q, %v", file, resp.Status, got, resp.Header)
		}
	}
	write(t, dir+"/log/checkpoint", good)
}
