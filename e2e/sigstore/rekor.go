package sigstore

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/go-openapi/loads"
	"github.com/sigstore/rekor/pkg/api"
	"github.com/sigstore/rekor/pkg/generated/restapi"
	"github.com/sigstore/rekor/pkg/generated/restapi/operations"
	"github.com/sigstore/rekor/pkg/types"
	"github.com/spf13/viper"

	// Each registers the entry kind and version that it is named for.
	_ "github.com/sigstore/rekor/pkg/types/dsse/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/hashedrekord/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/intoto/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/intoto/v0.0.2"
)

// rekorEndpoints are the operations of Rekor's openapi.yaml.
var rekorEndpoints = []string{
	"searchIndex", "getLogInfo", "getPublicKey", "getLogProof", "createLogEntry",
	"getLogEntryByIndex", "getLogEntryByUUID", "searchLogQuery",
}

// startRekor starts Rekor and returns its key.
func (s *Sigstore) startRekor(t *trillianServer, dir string, o Options) (crypto.PublicKey, error) {
	key, keyPath, err := writeRekorKey(dir)
	if err != nil {
		return nil, err
	}
	index := miniredis.NewMiniRedis()
	if err := index.Start(); err != nil {
		return nil, err
	}
	s.stack.push(func(context.Context) error { index.Close(); return nil })

	s.attestations = filepath.Join(dir, "attestations")
	if err := os.Mkdir(s.attestations, 0o700); err != nil {
		return nil, err
	}
	// In files rather than mem://, whose stray writers the race detector
	// cannot tell from the next Rekor's start.
	store := url.URL{Scheme: "file", Path: s.attestations, RawQuery: "no_tmp_dir=true&metadata=skip"}

	for name, value := range map[string]any{
		"rekor_server.hostname":         "127.0.0.1",
		"rekor_server.signer":           keyPath,
		"trillian_log_server.address":   "127.0.0.1",
		"trillian_log_server.port":      t.port,
		"enabled_api_endpoints":         rekorEndpoints,
		"enable_retrieve_api":           true,
		"search_index.storage_provider": "redis",
		"redis_server.address":          index.Host(),
		"redis_server.port":             index.Port(),
		"enable_attestation_storage":    !o.NoAttestations,
		"attestation_storage_bucket":    store.String(),
	} {
		viper.Set(name, value)
	}
	types.SetAllowedKindsForSubmission(o.Kinds)

	handler, err := configureRekor(t.rekorID)
	if err != nil {
		return nil, err
	}
	s.stack.push(func(ctx context.Context) error {
		defer api.StopAPI()
		return drain(ctx)
	})
	addr, err := s.serveHTTP(handler)
	if err != nil {
		return nil, err
	}
	s.RekorURL = "http://" + addr
	return key.Public(), nil
}

// Settle waits until Rekor has written to index and attestation store what it
// writes behind the answers that it has given.
func (s *Sigstore) Settle(ctx context.Context) error {
	if err := drain(ctx); err != nil {
		return fmt.Errorf("sigstore: %w", err)
	}
	return nil
}

// drain waits until Rekor has written to index and attestation store what it
// writes behind its answers. It does that in goroutines that nobody waits for
// and that would otherwise meet the package variables of the next Rekor.
func drain(ctx context.Context) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		var stacks bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&stacks, 1); err != nil {
			return fmt.Errorf("rekor: %w", err)
		}
		if !bytes.Contains(stacks.Bytes(), []byte("rekor/pkg/api.createLogEntry")) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("rekor: still writing: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// ForgetAttestations removes every attestation stored so far, as Rekor may
// lose them. Entries and index stay.
func (s *Sigstore) ForgetAttestations() error {
	files, err := filepath.Glob(filepath.Join(s.attestations, "*"))
	if err != nil {
		return fmt.Errorf("sigstore: forget attestations: %w", err)
	}
	for _, f := range files {
		// A file still being written goes away under its temporary name.
		if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("sigstore: forget attestations: %w", err)
		}
	}
	return nil
}

// configureRekor sets up Rekor's package state and returns its handler.
// Rekor's own server is not used because it takes the process's signals.
func configureRekor(treeID int64) (h http.Handler, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("configure: %v", p)
		}
	}()
	api.ConfigureAPI(treeID)
	spec, err := loads.Embedded(restapi.SwaggerJSON, restapi.FlatSwaggerJSON)
	if err != nil {
		return nil, err
	}
	var srv restapi.Server
	srv.SetAPI(operations.NewRekorServerAPI(spec))
	return srv.GetHandler(), nil
}

// writeRekorKey makes the log's key. Rekor reads it from a file, which leaves
// the public key known to the maker of the trusted root.
func writeRekorKey(dir string) (*ecdsa.PrivateKey, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, "", err
	}
	path := filepath.Join(dir, "rekor.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	return key, path, os.WriteFile(path, block, 0o600)
}
