package sigstore_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

func TestOptions(t *testing.T) {
	t.Run("sequencer", func(t *testing.T) {
		s := start(t, sigstore.Options{SequenceEvery: 20 * time.Millisecond})
		began := time.Now()
		create(t, s, "subject")
		t.Logf("created in %v", time.Since(began))
	})
	t.Run("kinds", func(t *testing.T) {
		s := start(t, sigstore.Options{Kinds: []string{"dsse"}})
		envelope := signed(t, s, "subject")
		if proposal, err := envelope.DSSE(); err != nil {
			t.Fatal(err)
		} else if _, _, err := s.Create(t.Context(), proposal); err != nil {
			t.Errorf("create dsse: %v", err)
		}
		proposal, err := envelope.InToto()
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = s.Create(t.Context(), proposal)
		var status *sigstore.StatusError
		if !errors.As(err, &status) || status.Code != http.StatusBadRequest {
			t.Errorf("create intoto: %v, want status 400", err)
		} else {
			t.Log(status)
		}
	})
	t.Run("no attestations", func(t *testing.T) {
		s := start(t, sigstore.Options{NoAttestations: true})
		uuid, hash := create(t, s, "subject")
		find(t, s, hash, uuid)
		if e := retrieve(t, s, uuid); e.Attestation != nil {
			t.Errorf("attestation is %q, want none", e.Attestation.Data)
		}
	})
	t.Run("attestations forgotten", func(t *testing.T) {
		s := start(t, sigstore.Options{})
		uuid, hash := create(t, s, "subject")
		find(t, s, hash, uuid)
		eventually(t, "attestation", func() bool { return retrieve(t, s, uuid).Attestation != nil })
		if err := s.ForgetAttestations(); err != nil {
			t.Fatal(err)
		}
		if e := retrieve(t, s, uuid); e.Attestation != nil {
			t.Errorf("attestation is %q, want none", e.Attestation.Data)
		}
	})
	t.Run("refused", func(t *testing.T) {
		for want, o := range map[string]sigstore.Options{
			`sigstore: entry kind "rpm" is not one of [intoto dsse hashedrekord]`: {Kinds: []string{"rpm"}},
			`sigstore: negative sequencing interval -1s`:                          {SequenceEvery: -time.Second},
		} {
			if _, err := sigstore.Start(t.Context(), o); err == nil || err.Error() != want {
				t.Errorf("Start() = %v, want %s", err, want)
			}
		}
	})
}

func TestOneAtATime(t *testing.T) {
	s := start(t, sigstore.Options{})
	if _, err := sigstore.Start(t.Context(), sigstore.Options{}); !errors.Is(err, sigstore.ErrRunning) {
		t.Errorf("second Start() = %v, want %v", err, sigstore.ErrRunning)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	if _, err := http.Get(s.RekorURL); err == nil {
		t.Error("Rekor answers after Close")
	}
	again, err := sigstore.Start(t.Context(), sigstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	uuid, hash := create(t, again, "subject")
	find(t, again, hash, uuid)
}

func TestEnv(t *testing.T) {
	dir := t.TempDir()
	s := start(t, sigstore.Options{Dir: dir})
	want := []string{
		"REKOR_URL=" + s.RekorURL,
		"FULCIO_URL=" + s.FulcioURL,
		"TRUSTED_ROOT=" + dir + "/trusted_root.json",
		"GCE_METADATA_HOST=" + s.MetadataHost,
		"IDENTITY_ISSUER=" + s.IssuerURL,
	}
	if got := s.Env(); !slices.Equal(got, want) {
		t.Errorf("Env() = %q, want %q", got, want)
	}
	trusted, err := root.NewTrustedRootFromPath(s.TrustedRootPath)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(len(trusted.FulcioCertificateAuthorities()), len(trusted.CTLogs()), len(trusted.RekorLogs()))
	if got != "1 1 1" {
		t.Errorf("trusted root has %s authorities, CT logs and logs, want one each", got)
	}
}
