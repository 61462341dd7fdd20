package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/tlogistry/tlogistry/e2e/clients"
	"github.com/tlogistry/tlogistry/e2e/registry"
	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// A clientCase is what each client pulls in [TestClients].
type clientCase struct {
	name   string
	pulled string   // as typed after the service's host
	same   []string // other spellings of the same
	repo   string   // in the registry
	tag    string
	single bool
	docker bool
}

// TestClients pulls with every real client: the first pull is recorded, the
// second is checked, a moved tag fails at once and says why, and a tag that
// moved back is served again.
func TestClients(t *testing.T) {
	s := startSigstore(t, sigstore.Options{})
	r := startRegistry(t, registry.Options{Token: true, Redirect: true})
	svc := start(t, append(s.Env(), "UPSTREAMS="+r.Upstreams("docker.io", "ghcr.io"))...)
	for _, name := range clients.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := clients.Start(t, name)
			for _, tc := range []clientCase{
				{
					name: "index by version", pulled: "alpine:3.16.0", repo: "library/alpine", tag: "3.16.0",
					same: []string{"library/alpine:3.16.0", "docker.io/library/alpine:3.16.0", "index.docker.io/library/alpine:3.16.0", "docker.io/alpine:3.16.0"},
				},
				{name: "latest", pulled: "alpine:latest", same: []string{"alpine"}, repo: "library/alpine", tag: "latest"},
				{name: "single image", pulled: "tools/one:v1", repo: "tools/one", tag: "v1", single: true},
				{name: "Docker media types", pulled: "tools/list:v1", repo: "tools/list", tag: "v1", docker: true},
				{name: "another registry", pulled: "ghcr.io/acme/app:v2", repo: "acme/app", tag: "v2"},
			} {
				t.Run(tc.name, func(t *testing.T) { tc.pull(t, c, svc, r) })
			}
		})
	}
}

func (tc clientCase) pull(t *testing.T, c clients.Client, svc *service, r *registry.Registry) {
	// A tag of its own for each client, so that each makes a first pull.
	suffix := "-" + c.Name()
	repo := tc.repo + suffix
	typed := func(ref string) string {
		name, tag, ok := strings.Cut(ref, ":")
		if ok {
			tag = ":" + tag
		}
		return svc.host + "/" + name + suffix + tag
	}
	v := registry.Variant{Name: "one of " + repo, Single: tc.single, Docker: tc.docker}
	one := push(t, r, repo, tc.tag, v)
	moved := v
	moved.Name = "two of " + repo
	two := push(t, r, repo, "elsewhere", moved)

	pull(t, c, typed(tc.pulled), one)
	record := svc.get(t, strings.Split(tc.pulled, ":")[0]+suffix, tc.tag)
	record.mustServe(t, one)
	if record.header.Get("Tlog-First-Seen") != "" {
		t.Error("the client's pull was not recorded: the tag is first seen after it")
	}
	pull(t, c, typed(tc.pulled), one)
	if out := run(t, c, typed(tc.pulled)); out != "" && out != strings.TrimSpace(v.Output()) {
		t.Errorf("the image printed %q, want %q", out, v.Output())
	}
	move(t, r, repo, tc.tag, two)
	refused(t, c, typed(tc.pulled), one, two)
	for _, other := range spellings(c.Name(), tc.same) {
		refused(t, c, typed(other), one, two)
	}
	move(t, r, repo, tc.tag, one)
	pull(t, c, typed(tc.pulled), one)
	for _, other := range spellings(c.Name(), tc.same) {
		pull(t, c, typed(other), one)
	}
}

// spellings returns the references that a client can be given: ctr wants a tag.
func spellings(client string, refs []string) []string {
	if client != "ctr" {
		return refs
	}
	return slices.DeleteFunc(slices.Clone(refs), func(ref string) bool { return !strings.Contains(ref, ":") })
}

// pull pulls ref, which must yield digest.
func pull(t *testing.T, c clients.Client, ref, digest string) {
	t.Helper()
	if out, err := c.Pull(t.Context(), ref); err != nil {
		t.Fatalf("%s pull %s: %v\n%s", c.Name(), ref, err, out)
	}
	got, err := c.Digest(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	if got != digest {
		t.Fatalf("%s pulled %s as %s, want %s", c.Name(), ref, got, digest)
	}
}

// run runs what was pulled, with a client that can.
func run(t *testing.T, c clients.Client, ref string) string {
	t.Helper()
	r, ok := c.(clients.Runner)
	if !ok {
		return ""
	}
	out, err := r.Run(t.Context(), ref)
	if err != nil {
		t.Fatalf("%s run %s: %v\n%s", c.Name(), ref, err, out)
	}
	return strings.TrimSpace(out)
}

// refused pulls ref, which must fail with a message that names both digests.
func refused(t *testing.T, c clients.Client, ref, recorded, served string) {
	t.Helper()
	out, err := c.Pull(t.Context(), ref)
	if err == nil {
		t.Fatalf("%s pulled the moved tag %s:\n%s", c.Name(), ref, out)
	}
	if !showsRefusal(c.Name()) {
		if !strings.Contains(out, "403") && !strings.Contains(out, "denied") {
			t.Errorf("%s does not say that the pull of %s is denied:\n%s", c.Name(), ref, out)
		}
		return
	}
	for _, want := range []string{"has moved", recorded, served} {
		if !strings.Contains(out, want) {
			t.Errorf("%s does not print %q for %s:\n%s", c.Name(), want, ref, out)
		}
	}
}

// showsRefusal reports whether a client prints the message of a 403. Debian's
// containerd 1.6 prints the status alone; 2.3.3 and later print the message.
func showsRefusal(client string) bool { return client != "ctr" && client != "cri" }
