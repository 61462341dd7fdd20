package ociref_test

import (
	"testing"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

func reference(t *testing.T, s string) ociref.Request {
	t.Helper()
	r, err := ociref.ParseReference(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLeadsTo(t *testing.T) {
	for _, test := range []struct {
		host, ref string
		want      bool
	}{
		{"registry.test", "registry.test/app:1", true},
		{"registry.test:443", "registry.test/app:1", true},
		{"registry.test", "registry.test:443/app:1", true},
		{"Registry.TEST", "registry.test/app:1", true},
		{"REGISTRY.TEST:443", "registry.test/app:1", true},
		{"registry.test:8443", "registry.test:8443/app:1", true},
		{"localhost:5000", "localhost:5000/app:1", true},
		{"127.0.0.1:5000", "127.0.0.1:5000/app:1", true},
		{"docker.io", "alpine:1", true},
		{"registry-1.docker.io", "docker.io/library/alpine:1", true},
		{"front.example", "front.example/ghcr.io/acme/app:1", true},
		{"registry.test", "registry.test/app@sha256:" + hex64, true},

		{"registry.test:8443", "registry.test/app:1", false},
		{"registry.test", "registry.test:8443/app:1", false},
		{"registry.test:80", "registry.test/app:1", false},
		{"front.example", "ghcr.io/front.example/app:1", false},
		{"front.example", "docker.io/front.example/app:1", false},
		{"example", "front.example/app:1", false},
		{"xfront.example", "front.example/app:1", false},
		// No registry has such a name, so none of them leads to it.
		{"", "alpine:1", false},
		{"alpine", "alpine:1", false},
		{"registry.test/", "registry.test/app:1", false},
		{"registry.test:99999", "registry.test/app:1", false},
		{"[::1]:8080", "alpine:1", false},
	} {
		if got := reference(t, test.ref).LeadsTo(test.host); got != test.want {
			t.Errorf("%s leads to %q: %v, want %v", test.ref, test.host, got, test.want)
		}
	}
}

func TestAllowedBy(t *testing.T) {
	var hub, acme ociref.Pattern
	for text, p := range map[string]*ociref.Pattern{"docker.io/library/*": &hub, "ghcr.io/acme/**": &acme} {
		var err error
		if *p, err = ociref.ParsePattern(text); err != nil {
			t.Fatal(err)
		}
	}
	both := []ociref.Pattern{hub, acme}
	for _, test := range []struct {
		ref   string
		allow []ociref.Pattern
		want  bool
	}{
		{"alpine:1", nil, true},
		{"alpine:1", []ociref.Pattern{}, false},
		{"alpine:1", []ociref.Pattern{{}}, false}, // a zero pattern matches nothing
		{"alpine:1", []ociref.Pattern{hub}, true},
		{"alpine:1", []ociref.Pattern{acme}, false},
		{"registry-1.docker.io/library/alpine@sha256:" + hex64, both, true},
		{"ghcr.io/acme/a/b:1", both, true},
		{"ghcr.io/acme/a/b:1", []ociref.Pattern{acme, hub}, true},
		{"ghcr.io/other/app:1", both, false},
		{"acme/app:1", both, false},
		{"quay.io/library/alpine:1", both, false},
	} {
		if got := reference(t, test.ref).AllowedBy(test.allow); got != test.want {
			t.Errorf("%s by %v: %v, want %v", test.ref, test.allow, got, test.want)
		}
	}
}
