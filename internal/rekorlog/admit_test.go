package rekorlog

import (
	"context"
	"errors"
	"testing"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/tlogistry/tlogistry/internal/keyless"
)

// unable has an identity and no certificate.
type unable struct{ somebody }

var errUnable = errors.New("no certificate")

func (unable) Sign(context.Context, []byte) (keyless.Signature, error) {
	return keyless.Signature{}, errUnable
}

// What cannot be signed is not about to be written: nothing is admitted for
// it, and the log is not asked afterwards whether it was.
func TestAdmitIsAskedLast(t *testing.T) {
	tiny := newTinyLog(t)
	log := tiny.open(func(context.Context) (root.TrustedMaterial, error) { return tiny.trusted(), nil })
	log.c.Signer = unable{}
	log.c.Admit = func() error {
		t.Error("asked")
		return nil
	}
	for range 2 {
		if _, err := log.Add(t.Context(), "index.docker.io/library/app:v1", "sha256:"+leafA); !errors.Is(err, errUnable) {
			t.Errorf("Add: %v", err)
		}
	}
	tiny.mu.Lock()
	defer tiny.mu.Unlock()
	if len(tiny.counts) > 0 {
		t.Errorf("the log was asked %v", tiny.counts)
	}
}
