package clients

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// criConfig is containerd with its Kubernetes service, which gets by without
// a network as long as it starts no container. Another file says which
// registries it asks.
const criConfig = `version = 2
root = %[1]q
state = %[2]q
imports = [%[4]q]
[grpc]
  address = %[3]q
[plugins."io.containerd.grpc.v1.cri"]
  stream_server_port = "0"
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".cni]
  conf_dir = %[1]q
`

// criNamespace is where containerd's Kubernetes service keeps its images.
const criNamespace = "k8s.io"

// cri pulls as the kubelet does: through the Container Runtime Interface of a
// containerd.
type cri struct {
	*containerd
	conn   *grpc.ClientConn
	images runtime.ImageServiceClient
}

func startCRI(ctx context.Context, dir string, m Machine) (Client, error) {
	if !m.has(containerdMain) {
		if err := (Machine{Files: map[string]string{containerdMain: "version = 2\n"}}).write(dir); err != nil {
			return nil, err
		}
	}
	main := filepath.Join(dir, containerdMain)
	c, err := startContainerd(ctx, dir, strings.Replace(criConfig, "%[4]q", fmt.Sprintf("%q", main), 1), m.Env...)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("unix://"+c.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return &cri{c, conn, runtime.NewImageServiceClient(conn)}, nil
}

func (c *cri) Name() string { return "cri" }

func (c *cri) Pull(ctx context.Context, ref string) (string, error) {
	if err := c.forget(ctx, criNamespace); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	resp, err := c.images.PullImage(ctx, &runtime.PullImageRequest{Image: &runtime.ImageSpec{Image: ref}})
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return err.Error(), err
	}
	return resp.ImageRef, nil
}

func (c *cri) Digest(ctx context.Context, ref string) (string, error) {
	resp, err := c.images.ImageStatus(ctx, &runtime.ImageStatusRequest{Image: &runtime.ImageSpec{Image: ref}})
	if err != nil {
		return "", err
	}
	digests := resp.GetImage().GetRepoDigests()
	if len(digests) != 1 {
		return "", fmt.Errorf("containerd has %d digests for %s, want 1: %q", len(digests), ref, digests)
	}
	_, digest, _ := strings.Cut(digests[0], "@")
	return digest, nil
}

func (c *cri) Close() error { return errors.Join(c.conn.Close(), c.stop()) }
