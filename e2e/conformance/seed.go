package conformance

import (
	"bytes"
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/tlogistry/tlogistry/e2e/registry"
)

// Push fills a repository of the registry with an index, an image and a
// referrer of each, and returns what a run can ask for.
func Push(ctx context.Context, r *registry.Registry, repo string) (Seed, error) {
	index, err := r.Push(repo, "conformance-index", registry.Variant{Name: "conformance index"})
	if err != nil {
		return Seed{}, err
	}
	image, err := r.Push(repo, "conformance-image", registry.Variant{Name: "conformance image", Single: true})
	if err != nil {
		return Seed{}, err
	}
	seed := Seed{
		Tags:      []string{"conformance-index", "conformance-image"},
		Manifests: []string{index, image},
		Referrers: []string{index, image},
	}
	for _, subject := range seed.Referrers {
		artifact, err := r.Attach(repo, subject, "application/vnd.test.conformance")
		if err != nil {
			return Seed{}, err
		}
		seed.Manifests = append(seed.Manifests, artifact)
	}
	answer, err := r.Get(ctx, "/v2/"+repo+"/manifests/"+image, string(types.OCIManifestSchema1))
	if err != nil {
		return Seed{}, err
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(answer.Body))
	if err != nil {
		return Seed{}, fmt.Errorf("seed image: %w", err)
	}
	seed.Blobs = []string{manifest.Config.Digest.String()}
	for _, layer := range manifest.Layers {
		seed.Blobs = append(seed.Blobs, layer.Digest.String())
	}
	return seed, nil
}
