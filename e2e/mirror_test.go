package e2e

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/e2e/clients"
	"github.com/tlogistry/tlogistry/e2e/registry"
)

// The files of docs/clusters.md that clients are given here.
const (
	containerdMain  = "/etc/containerd/config.toml"
	dockerHub       = "/etc/containerd/certs.d/docker.io/hosts.toml"
	github          = "/etc/containerd/certs.d/ghcr.io/hosts.toml"
	byPath          = "/etc/containerd/certs.d/gcr.io/hosts.toml"
	remapped        = "/etc/containers/registries.conf.d/tlogistry.conf"
	remappedMirror  = "/etc/containers/registries.conf.d/mirror.conf"
	registryMirrors = "/etc/docker/daemon.json"
)

// An alias is an image as a node names it, and as it is then asked for.
type alias struct {
	name string // as in a pod; the tag is v1
	path string // in the request that the service gets
	repo string // in the registry
}

// TestMirror pulls by names that do not hold the service's: each pull is
// recorded and checked, and when a tag has moved, the client does not go to the
// registry, which would give it what is there now.
func TestMirror(t *testing.T) {
	r := startRegistry(t, registry.Options{})
	svc := start(t, "UPSTREAMS="+r.Upstreams("docker.io", "ghcr.io", "gcr.io"))
	containerd := []alias{
		{"docker.io/library/alpine", "/v2/library/alpine", "library/alpine"},
		{"ghcr.io/acme/app", "/v2/acme/app", "acme/app"},
		{"gcr.io/google.com/sdk/cli", "/v2/gcr.io/google.com/sdk/cli", "google.com/sdk/cli"},
	}
	library := []alias{
		{"docker.io/library/alpine", "/v2/docker.io/library/alpine", "library/alpine"},
		{"ghcr.io/acme/app", "/v2/ghcr.io/acme/app", "acme/app"},
	}
	for _, tt := range []struct {
		client string
		files  []string
		images []alias
	}{
		{"ctr", []string{dockerHub, github, byPath}, containerd},
		{"cri", []string{containerdMain, dockerHub, github, byPath}, containerd},
		{"podman", []string{remapped}, library},
		{"skopeo", []string{remapped}, library[:1]},
	} {
		t.Run(tt.client, func(t *testing.T) {
			t.Parallel()
			beyond := startBeyond(t, r)
			c := clients.StartOn(t, tt.client, beyond.machine(t, svc, tt.files...))
			for _, image := range tt.images {
				suffix := "-" + tt.client
				ref, repo := image.name+suffix+":v1", image.repo+suffix
				one := push(t, r, repo, "v1", registry.Variant{Name: "one of " + repo})
				two := push(t, r, repo, "other", registry.Variant{Name: "two of " + repo})
				pull(t, c, ref, one)
				svc.mustSay(t, `"`+image.path+suffix+`/manifests/v1"`)
				record := svc.get(t, image.name+suffix, "v1")
				record.mustServe(t, one)
				if record.header.Get("Tlog-First-Seen") != "" {
					t.Errorf("the pull of %s was not recorded: the tag is first seen after it", ref)
				}
				pull(t, c, ref, one)
				move(t, r, repo, "v1", two)
				refused(t, c, ref, one, two)
				move(t, r, repo, "v1", one)
				pull(t, c, ref, one)
			}
			if asked := beyond.asked(); asked != nil {
				t.Errorf("the client went past the service to %q", asked)
			}
		})
	}
}

// TestMirrorFallsBack shows which settings do not keep a client from the
// registry: it gets the moved tag there that the service refuses.
func TestMirrorFallsBack(t *testing.T) {
	r := startRegistry(t, registry.Options{})
	svc := start(t, "UPSTREAMS="+r.Upstreams())
	line := func(prefix string) *regexp.Regexp { return regexp.MustCompile("(?m)^" + prefix + ".*\n") }
	for _, tt := range []struct {
		name, client string
		files        []string
		without      *regexp.Regexp // what is taken out of the last of the files
		asked        bool           // whether the client asks the service first
		builds       bool           // from the image, in place of a pull
	}{
		{"no server", "ctr", []string{dockerHub}, line("server"), true, false},
		{"no server, by the kubelet", "cri", []string{containerdMain, dockerHub}, line("server"), true, false},
		{"no host", "ctr", []string{dockerHub}, regexp.MustCompile(`(?s)\[host.*`), false, false},
		{"file that cannot be parsed", "ctr", []string{dockerHub}, regexp.MustCompile(`"`), false, false},
		{"mirror in place of location", "podman", []string{remappedMirror}, nil, true, false},
		{"registry-mirrors", "docker", []string{registryMirrors}, nil, true, false},
		{"registry-mirrors, by BuildKit", "docker", []string{registryMirrors}, nil, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			beyond := startBeyond(t, r)
			machine := beyond.machine(t, svc, tt.files...)
			if tt.without != nil {
				path := tt.files[len(tt.files)-1]
				whole := machine.Files[path]
				if machine.Files[path] = tt.without.ReplaceAllString(whole, ""); machine.Files[path] == whole {
					t.Fatalf("nothing to take out of %s:\n%s", path, whole)
				}
			}
			c := clients.StartOn(t, tt.client, machine)
			repo := "library/" + strings.NewReplacer(" ", "-", ",", "").Replace(strings.ToLower(tt.name))
			path := "/v2/" + repo + "/manifests/v1"
			one := push(t, r, repo, "v1", registry.Variant{Name: "one of " + repo})
			two := push(t, r, repo, "other", registry.Variant{Name: "two of " + repo})
			svc.do(t, http.MethodGet, path).mustServe(t, one)
			move(t, r, repo, "v1", two)
			svc.do(t, http.MethodGet, path).mustStatus(t, http.StatusForbidden)
			if tt.builds {
				built(t, c, "docker.io/"+repo+":v1", two)
			} else {
				pull(t, c, "docker.io/"+repo+":v1", two)
			}
			if asked := beyond.asked(); !slices.Contains(asked, "registry-1.docker.io:443") {
				t.Errorf("the client has the moved tag and went to %q", asked)
			}
			// Two of the requests are this test's own. A line may come after the answer.
			asked := func() bool { return strings.Count(svc.logs.String(), "/"+repo+`/manifests/v1"`) > 2 }
			if tt.asked {
				within(t, "request of the client to the service", asked)
			} else if asked() {
				t.Error("the client asked the service")
			}
		})
	}
}

// built builds an image from ref, which must be the one with the digest.
func built(t *testing.T, c clients.Client, ref, digest string) {
	t.Helper()
	out, err := c.(clients.Builder).Build(t.Context(), "FROM "+ref+"\n")
	if err != nil || !strings.Contains(out, ref+"@"+digest) {
		t.Errorf("%s built from %s: error %v, want %s\n%s", c.Name(), ref, err, digest, out)
	}
}
