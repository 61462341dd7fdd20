package tilelog

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/transparency-dev/tessera/api/layout"
	"golang.org/x/net/http/httpguts"
)

// The headers of C2SP tlog-tiles: a checkpoint changes, a tile never does, and
// that includes a partial one.
const (
	textType  = "text/plain; charset=utf-8"
	tileType  = "application/octet-stream"
	mutable   = "no-cache"
	immutable = "public, max-age=31536000, immutable"
)

// Handler serves the log as C2SP tlog-tiles says, read only: /checkpoint,
// /tile/..., /tile/entries/... and, beside the specification, /key with the
// verifier key. The caller strips what is before these. Any other path is
// 404, any method but GET and HEAD 405.
//
// The checkpoint is one that this process has verified, its root against its
// entries. Tiles are as they are on the disk, but no more of them than that
// checkpoint covers: who reads them verifies them.
func (l *Log) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			refuse(w, http.StatusMethodNotAllowed)
			return
		}
		path, ok := strings.CutPrefix(r.URL.Path, "/")
		if !ok || r.URL.RawPath != "" { // nothing here needs an escape
			refuse(w, http.StatusNotFound)
			return
		}
		switch path {
		case "key":
			send(w, r, textType, mutable, []byte(l.key.text+"\n"))
		case layout.CheckpointPath:
			cp, err := l.latest(r.Context())
			if err != nil {
				l.fail(w, r, err)
				return
			}
			send(w, r, textType, mutable, cp.Raw)
		default:
			l.serveTile(w, r, path)
		}
	})
}

func (l *Log) serveTile(w http.ResponseWriter, r *http.Request, path string) {
	t, ok := parseTile(path)
	if !ok {
		refuse(w, http.StatusNotFound)
		return
	}
	b, err := l.tile(r.Context(), t)
	switch {
	case err != nil:
		l.fail(w, r, err)
	case b == nil:
		refuse(w, http.StatusNotFound)
	case t.entries:
		w.Header().Set("Vary", "Accept-Encoding")
		if httpguts.HeaderValuesContainsToken(r.Header["Accept-Encoding"], "gzip") {
			b = compress(b)
			w.Header().Set("Content-Encoding", "gzip")
		}
		fallthrough
	default:
		send(w, r, tileType, immutable, b)
	}
}

// latest returns the checkpoint on the disk, verified.
func (l *Log) latest(ctx context.Context) (Checkpoint, error) {
	raw, err := l.files.ReadCheckpoint(ctx)
	if err != nil {
		return Checkpoint{}, err
	}
	return l.follow(ctx, raw)
}

// tile returns the bytes of a tile, or nil if the checkpoint does not cover it.
// They are taken from the file that the checkpoint implies: others may be the
// rest of a batch that never became part of the tree.
func (l *Log) tile(ctx context.Context, t tile) ([]byte, error) {
	size := uint64(l.published.Load().Size)
	wide := size >> (t.level * layout.TileHeight) // hashes in that level
	if t.index > wide/layout.TileWidth {
		return nil, nil
	}
	want, there := uint64(t.partial), min(wide-t.index*layout.TileWidth, layout.TileWidth)
	if want == 0 {
		want = layout.TileWidth
	}
	if want > there {
		return nil, nil
	}
	p := layout.PartialTileSize(t.level, t.index, size)
	if t.entries {
		data, err := l.files.ReadEntryBundle(ctx, t.index, p)
		if err != nil {
			return nil, err
		}
		entries, err := unbundle(data, p, false)
		if err != nil {
			return nil, damaged(t.path(), "%v", err)
		}
		n := 0
		for _, e := range entries[:want] {
			n += 2 + len(e)
		}
		return data[:n], nil
	}
	data, err := l.files.ReadTile(ctx, t.level, t.index, p)
	if err != nil {
		return nil, err
	}
	if uint64(len(data)) < want*hashSize {
		return nil, damaged(t.path(), "%d bytes, want %d", len(data), want*hashSize)
	}
	return data[:want*hashSize], nil
}

// fail answers that the log cannot be read, and tells the operator why.
func (l *Log) fail(w http.ResponseWriter, r *http.Request, err error) {
	l.logger.ErrorContext(r.Context(), "tile log cannot be served", "path", r.URL.Path, "error", err)
	refuse(w, http.StatusInternalServerError)
}

func refuse(w http.ResponseWriter, status int) {
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, fmt.Sprintf("%d %s", status, strings.ToLower(http.StatusText(status))), status)
}

func send(w http.ResponseWriter, r *http.Request, mediaType, cache string, b []byte) {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", cache)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		w.Write(b) // who went away needs no answer
	}
}

func compress(b []byte) []byte {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	// Writing to memory does not fail.
	z.Write(b)
	z.Close()
	return buf.Bytes()
}
