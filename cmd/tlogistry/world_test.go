package main

import (
	"context"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	imageregistry "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"

	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// The keys of two logs of the same name and of one of another. They are made
// for these tests, so that expectations can be written down.
const (
	origin = "tlogistry.local/test"

	signerKey  = "PRIVATE+KEY+tlogistry.local/test+f5433404+AXpXLLuO4SFqry3J35bvcMF1vwjNHBEq6M9YiGbN0eQ9"
	signerVkey = "tlogistry.local/test+f5433404+AZ7oLsTfJOe3VnhUVpfH34FyxrBBINoJTfru+We+M62x"
	otherKey   = "PRIVATE+KEY+tlogistry.local/test+4e7d6db7+ASByBmofOrJXEu/XUZT9PM75qZGNDTyOS7vMmMc37Gmc"
	otherVkey  = "tlogistry.local/test+4e7d6db7+AYSV8H1KU9KkCHrziB/HsBazgXu6/93t+E6lc9Csu3V/"
	strangeKey = "PRIVATE+KEY+tlogistry.local/strange+590e017e+AS19Kk/4HCydmG4L3dq3Gn+3JbQEzDL328VVXW0n3be+"
)

// at is when the records of these tests were written, a second apart.
var at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// image returns an image that is made of a name alone.
func image(t testing.TB, of string) v1.Image {
	t.Helper()
	img, err := mutate.Config(empty.Image, v1.Config{Labels: map[string]string{"of": of}})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// digest returns the digest of the image of that name.
func digest(t testing.TB, of string) string {
	t.Helper()
	d, err := image(t, of).Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// A registry is one on loopback that stands for Docker Hub.
type registry struct {
	*httptest.Server
	host string
}

// newRegistry starts a registry and maps UPSTREAMS to it.
func newRegistry(t testing.TB) *registry {
	t.Helper()
	s := httptest.NewServer(imageregistry.New(imageregistry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	if t, ok := t.(*testing.T); ok {
		t.Setenv("UPSTREAMS", "docker.io="+s.URL)
	}
	return &registry{s, strings.TrimPrefix(s.URL, "http://")}
}

// push makes a tag, such as library/alpine:1, point at the image of a name.
func (r *registry) push(t testing.TB, tag, of string) {
	t.Helper()
	ref, err := name.NewTag(r.host+"/"+tag, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image(t, of), remote.WithContext(t.Context()), remote.WithTransport(r.Client().Transport)); err != nil {
		t.Fatal(err)
	}
}

// entry returns the log entry that a tag of Docker Hub pointed at the image of
// a name.
func entry(t testing.TB, tag, of string, seconds int) []byte {
	t.Helper()
	b, err := tilelog.Record{
		Ref:    "index.docker.io/library/" + tag,
		Digest: digest(t, of),
		Time:   at.Add(time.Duration(seconds) * time.Second),
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// uuid returns the UUID of an entry.
func uuid(t testing.TB, entry []byte) string {
	t.Helper()
	r, err := tilelog.DecodeRecord(entry)
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Sighting(0)
	if err != nil {
		t.Fatal(err)
	}
	return s.UUID
}

// newLog makes a log of the signer's in a directory of its own, as TLOG_DIR
// has it, with these entries, whatever they are.
func newLog(t testing.TB, signer string, entries ...[]byte) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tlogistry")
	write(t, filepath.Join(dir, "key"), signer+"\n")
	grow(t, dir, entries...)
	return dir
}

// grow appends entries to a log as its owner, who does not keep to the rules,
// and returns once they are published.
func grow(t testing.TB, dir string, entries ...[]byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	signer, err := note.NewSigner(strings.TrimSpace(read(t, filepath.Join(dir, "key"))))
	check(t, err)
	root := filepath.Join(dir, "log")
	driver, err := posix.New(ctx, posix.Config{Path: root})
	check(t, err)
	appender, shutdown, _, err := tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().
		WithCheckpointSigner(signer).WithCheckpointInterval(100*time.Millisecond).WithBatching(256, 10*time.Millisecond))
	check(t, err)
	published := func(ctx context.Context) ([]byte, error) { return os.ReadFile(filepath.Join(root, "checkpoint")) }
	awaiter := tessera.NewPublicationAwaiter(ctx, published, 5*time.Millisecond)
	var futures []tessera.IndexFuture
	for _, e := range entries {
		futures = append(futures, appender.Add(ctx, tessera.NewEntry(e)))
	}
	for _, f := range futures {
		_, _, err := awaiter.Await(ctx, f)
		check(t, err)
	}
	check(t, shutdown(ctx))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	check(t, err)
	return string(b)
}

func write(t testing.TB, path, text string) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(path), 0o700))
	check(t, os.WriteFile(path, []byte(text), 0o600))
}
