package bench

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"
)

// repository is what every front is asked for; no client types less of it.
const repository = "library/app"

const (
	layers    = 12      // of the large image
	layerSize = 1 << 20 // bytes of each, that no compression makes less
	variety   = 16      // different images among the tags
)

// A content is what every registry of a run holds.
type content struct {
	indexes []v1.ImageIndex // each of two small images
	digests []string        // of the indexes
	tags    []string        // tag i is of index i modulo variety
	large   v1.Image        // tag "large"
	blobs   []string        // digests of its layers
}

// stored makes the content: all registries hold the same.
var stored = sync.OnceValues(func() (*content, error) {
	c := &content{}
	for range variety {
		index, err := smallIndex()
		if err != nil {
			return nil, err
		}
		d, err := index.Digest()
		if err != nil {
			return nil, err
		}
		c.indexes, c.digests = append(c.indexes, index), append(c.digests, d.String())
	}
	// So many that two of 64 connections seldom ask for one tag at the same
	// moment: the service would ask the registry once for both.
	for i := range long(512, 2*variety) {
		c.tags = append(c.tags, fmt.Sprint("v", i))
	}
	var err error
	if c.large, err = random.Image(layerSize, layers); err != nil {
		return nil, err
	}
	all, err := c.large.Layers()
	if err != nil {
		return nil, err
	}
	for _, l := range all {
		d, err := l.Digest()
		if err != nil {
			return nil, err
		}
		c.blobs = append(c.blobs, d.String())
	}
	return c, nil
})

func smallIndex() (v1.ImageIndex, error) {
	var images []mutate.IndexAddendum
	for _, arch := range []string{"amd64", "arm64"} {
		image, err := random.Image(1<<10, 1)
		if err != nil {
			return nil, err
		}
		platform := &v1.Platform{OS: "linux", Architecture: arch}
		images = append(images, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}})
	}
	return mutate.AppendManifests(empty.Index, images...), nil
}

// fill pushes the content.
func (u *upstream) fill() error {
	c, err := stored()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	pusher, err := remote.NewPusher()
	if err != nil {
		return err
	}
	if err := u.push(ctx, pusher, "large", c.large); err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(4)
	for i, tag := range c.tags {
		g.Go(func() error { return u.push(ctx, pusher, tag, c.indexes[i%variety]) })
	}
	return g.Wait()
}

// push pushes something under a tag.
func (u *upstream) push(ctx context.Context, p *remote.Pusher, tag string, what remote.Taggable) error {
	ref, err := name.NewTag(u.pushHost+"/"+repository+":"+tag, name.StrictValidation)
	if err != nil {
		return err
	}
	return p.Push(ctx, ref, what)
}

// tagPath is the path of a manifest by tag or digest.
func tagPath(reference string) string { return "/v2/" + repository + "/manifests/" + reference }

// blobPath is the path of a blob.
func blobPath(digest string) string { return "/v2/" + repository + "/blobs/" + digest }

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
