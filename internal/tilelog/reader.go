package tilelog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	"golang.org/x/mod/sumdb/note"
)

// readWorkers is how many files of a log a Reader asks for at once.
const readWorkers = 8

// A Reader reads a tile log that it does not trust, from a directory or over
// HTTP. It needs nothing but the log's verifier key, and is safe for
// concurrent use. Every file has a bound; over HTTP a request takes 30 s at
// most and is made three times at most.
type Reader struct {
	src      source
	verifier note.Verifier
	idle     func()
}

// OpenReader returns a reader of the log at source: an http or https address,
// to which the paths of C2SP tlog-tiles are appended, or else a directory,
// which is the log's own or the "log" in that of [Open]. The log may be in use.
// The verifier key is in the form of golang.org/x/mod/sumdb/note; its name is
// the log's origin. OpenReader asks the log for nothing yet.
func OpenReader(source, verifierKey string) (*Reader, error) {
	v, err := note.NewVerifier(verifierKey)
	if err != nil {
		return nil, fmt.Errorf("verifier key %.200q: %w", verifierKey, err)
	}
	r := &Reader{verifier: v, idle: func() {}}
	if !strings.HasPrefix(source, "http://") && !strings.HasPrefix(source, "https://") {
		root := source
		if there, err := exists(filepath.Join(source, logDir, layout.CheckpointPath)); err != nil {
			return nil, err
		} else if there {
			root = filepath.Join(source, logDir)
		}
		r.src = directory{root: root}
		return r, nil
	}
	u, err := url.Parse(source)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil, fmt.Errorf("address %q: want one such as https://host/tlog/", source)
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxResponseHeaderBytes = 64 << 10
	t.MaxIdleConnsPerHost = readWorkers
	r.idle = t.CloseIdleConnections
	r.src, err = client.NewHTTPFetcher(u, &http.Client{Transport: fetchTransport{t}})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Close gives back connections.
func (r *Reader) Close() { r.idle() }

// Origin returns the log's name.
func (r *Reader) Origin() string { return r.verifier.Name() }

// Checkpoint reads the log's latest checkpoint and verifies its signature. One
// with an invalid signature is ErrDamaged; one by another key, or what is no
// checkpoint at all, is not: it may not be the log's.
func (r *Reader) Checkpoint(ctx context.Context) (Checkpoint, error) {
	raw, err := r.src.ReadCheckpoint(ctx)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read the checkpoint: %w", err)
	}
	return r.Parse(raw)
}

// Parse verifies the signature of a checkpoint that was kept from before. Its
// errors are those of Checkpoint.
func (r *Reader) Parse(raw []byte) (Checkpoint, error) {
	return parseCheckpoint(raw, r.verifier)
}

// Records reads every entry that the checkpoint covers, in order, and calls fn
// with it: its log index, its bytes, and the record in it or why it is none,
// which wraps record.ErrFormat. An error of fn ends the reading and is
// returned.
//
// Records holds every entry against the hash tiles, every tile against those
// below it, and the root that they give against the checkpoint. If any of this
// is not as it must be, or a file is missing, it fails with ErrDamaged. Only
// once it has returned nil has fn seen what the log signed.
func (r *Reader) Records(ctx context.Context, cp Checkpoint, fn func(index int64, entry []byte, rec Record, err error) error) error {
	c := checker{
		src:     r.src,
		trees:   []tree{{uint64(cp.Size), cp.Root[:], layout.CheckpointPath}},
		workers: readWorkers,
		visit: func(_ string, i uint64, entry []byte) error {
			rec, err := DecodeRecord(entry)
			return fn(int64(i), entry, rec, err)
		},
	}
	return c.run(ctx)
}

// Consistent proves by the hash tiles that the entries which the old
// checkpoint covers are the first of those which the new one covers. It fails
// with ErrForked if the tiles prove no such thing, and with ErrDamaged if one
// of them is missing or short.
func (r *Reader) Consistent(ctx context.Context, old, new Checkpoint) error {
	switch {
	case old.Size > new.Size:
		return fmt.Errorf("%w: the checkpoint covers %d entries, an earlier one %d", ErrForked, new.Size, old.Size)
	case old.Size == new.Size && old.Root != new.Root:
		return fmt.Errorf("%w: two checkpoints of %d entries have the root hashes %x and %x", ErrForked, old.Size, old.Root, new.Root)
	case old.Size == new.Size || old.Size == 0:
		return nil
	}
	// The builder keeps no kind of an error, so this does.
	var failed error
	tile := func(ctx context.Context, level, index uint64, p uint8) ([]byte, error) {
		b, err := readTile(ctx, r.src, level, index, p)
		if err != nil {
			failed = err
		}
		return b, err
	}
	builder, err := client.NewProofBuilder(ctx, uint64(new.Size), tile)
	if err != nil {
		return err
	}
	p, err := builder.ConsistencyProof(ctx, uint64(old.Size), uint64(new.Size))
	if failed != nil {
		return failed
	}
	if err != nil {
		return fmt.Errorf("build the consistency proof: %w", err)
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(old.Size), uint64(new.Size), p, old.Root[:], new.Root[:]); err != nil {
		return fmt.Errorf("%w: the %d entries of an earlier checkpoint are not the first of these %d: %w", ErrForked, old.Size, new.Size, err)
	}
	return nil
}

// readTile reads a hash tile that is as long as it must be, or full.
func readTile(ctx context.Context, src source, level, index uint64, p uint8) ([]byte, error) {
	file := layout.TilePath(level, index, p)
	b, err := src.ReadTile(ctx, level, index, p)
	want := int(p) * hashSize
	if p == 0 {
		want = maxTile
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, damaged(file, "missing")
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", file, err)
	case len(b) != want && len(b) != maxTile:
		return nil, damaged(file, "%d bytes, want %d", len(b), want)
	}
	return bytes.Clone(b[:want]), nil
}
