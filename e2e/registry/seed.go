package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// seedTimeout bounds one push, which goes over loopback.
const seedTimeout = time.Minute

// Push pushes the variant to repo, such as "library/alpine", and tags it.
// It returns the digest that the tag then has.
func (r *Registry) Push(repo, tag string, v Variant) (digest string, err error) {
	ref, err := r.ref(repo, tag)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), seedTimeout)
	defer cancel()
	if v.Single {
		img, err := v.image("amd64")
		if err != nil {
			return "", err
		}
		return pushed(remote.Write(ref, img, remote.WithContext(ctx)), ref, img)
	}
	index, err := v.index()
	if err != nil {
		return "", err
	}
	return pushed(remote.WriteIndex(ref, index, remote.WithContext(ctx)), ref, index)
}

// Move makes a tag of repo, new or not, name a digest that repo has.
func (r *Registry) Move(repo, tag, digest string) error {
	to, err := r.ref(repo, tag)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), seedTimeout)
	defer cancel()
	desc, err := r.puller.Get(ctx, to.Context().Digest(digest))
	if err != nil {
		return fmt.Errorf("move %s to %s: %w", to, digest, err)
	}
	if err := r.pusher.Put(ctx, to, desc); err != nil {
		return fmt.Errorf("move %s to %s: %w", to, digest, err)
	}
	return nil
}

// Remove deletes a tag; what it named stays.
func (r *Registry) Remove(repo, tag string) error {
	ref, err := r.ref(repo, tag)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), seedTimeout)
	defer cancel()
	if err := remote.Delete(ref, remote.WithContext(ctx)); err != nil {
		return fmt.Errorf("remove %s: %w", ref, err)
	}
	return nil
}

// Sign pushes an artifact to the tag where cosign keeps the signatures of
// digest, "sha256-<hex>.sig", and returns that tag. The content differs from
// call to call only with note.
func (r *Registry) Sign(repo, digest, note string) (tag string, err error) {
	tag = strings.Replace(digest, ":", "-", 1) + ".sig"
	ref, err := r.ref(repo, tag)
	if err != nil {
		return "", err
	}
	img, err := artifact("application/vnd.dev.cosign.simplesigning.v1+json", note)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), seedTimeout)
	defer cancel()
	_, err = pushed(remote.Write(ref, img, remote.WithContext(ctx)), ref, img)
	return tag, err
}

// Attach pushes an artifact whose subject is digest and returns its own digest.
// The registry then lists it among the referrers of digest: by the fall-back
// tag "sha256-<hex>", and by the referrers API with Options.Referrers.
func (r *Registry) Attach(repo, digest, artifactType string) (string, error) {
	ref, err := r.ref(repo, strings.Replace(digest, ":", "-", 1))
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), seedTimeout)
	defer cancel()
	subject, err := remote.Head(ref.Context().Digest(digest), remote.WithContext(ctx))
	if err != nil {
		return "", fmt.Errorf("attach to %s: %w", digest, err)
	}
	img, err := artifact(types.MediaType(artifactType), artifactType)
	if err != nil {
		return "", err
	}
	img = mutate.Subject(img, *subject).(v1.Image)
	own, err := img.Digest()
	if err != nil {
		return "", err
	}
	at := ref.Context().Digest(own.String())
	return pushed(remote.Write(at, img, remote.WithContext(ctx)), at, img)
}

// artifact returns an OCI image that holds one small file and runs nowhere.
func artifact(mediaType types.MediaType, content string) (v1.Image, error) {
	layer, err := fileLayer(mediaType, "content", 0o644, []byte(content))
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), mediaType)
	return mutate.AppendLayers(img, layer)
}

// pushed returns the digest of what was written to ref.
func pushed(err error, ref name.Reference, what interface{ Digest() (v1.Hash, error) }) (string, error) {
	if err != nil {
		return "", fmt.Errorf("push %s: %w", ref, err)
	}
	digest, err := what.Digest()
	if err != nil {
		return "", err
	}
	return digest.String(), nil
}

// ref names a tag at the listener for pushes.
func (r *Registry) ref(repo, tag string) (name.Tag, error) {
	return name.NewTag(r.private.host+"/"+repo+":"+tag, name.StrictValidation)
}

// An Answer is what the registry says to a request, read whole.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Get asks the registry itself for path, such as
// "/v2/library/alpine/manifests/3.16.0", to compare with what a front makes of
// it. No token is needed, blobs do not redirect, and nothing is counted.
// A body over 16 MiB is cut there.
func (r *Registry) Get(ctx context.Context, path string, accept ...string) (*Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.PushURL()+path, nil)
	if err != nil {
		return nil, err
	}
	for _, mediaType := range accept {
		req.Header.Add("Accept", mediaType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", req.URL, err)
	}
	return &Answer{resp.StatusCode, resp.Header, body}, nil
}
