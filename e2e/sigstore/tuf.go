package sigstore

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// TrustedRootTarget is the TUF target that holds a trusted root.
const TrustedRootTarget = "trusted_root.json"

// A TUF is a TUF repository with consistent snapshots that serves one target,
// [TrustedRootTarget], under /targets/. It is a handler: tests serve it where
// they like, and behind a [Proxy] if it is to fail.
// Its methods may be called concurrently.
type TUF struct {
	root    []byte
	signers map[string]signature.Signer // by role

	mu      sync.Mutex
	version int64
	files   map[string][]byte // by URL path
}

// tufRoles are the top-level roles, each with one key here.
var tufRoles = []string{metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP}

// TUFRepository returns a new repository, with keys of its own, that has
// published the trusted root with metadata that is valid for a day.
func (s *Sigstore) TUFRepository() (*TUF, error) {
	root, signers, err := newTUFRoot()
	if err != nil {
		return nil, fmt.Errorf("sigstore: tuf: %w", err)
	}
	t := &TUF{root: root, signers: signers, files: map[string][]byte{"/1.root.json": root}}
	return t, t.Publish(s.trustedRoot, time.Now().AddDate(0, 0, 1))
}

// Root returns the root.json with which a client starts to trust.
func (t *TUF) Root() []byte { return slices.Clone(t.root) }

// OtherRoot returns a valid root.json of other keys than the repository's.
func (t *TUF) OtherRoot() ([]byte, error) {
	root, _, err := newTUFRoot()
	if err != nil {
		return nil, fmt.Errorf("sigstore: tuf: %w", err)
	}
	return root, nil
}

// Publish publishes a target under new versions of all metadata but the root.
// The timestamp expires at the time given, which may have passed; everything
// else lives ten years.
func (t *TUF) Publish(trustedRoot []byte, timestampExpires time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	version := t.version + 1
	later := time.Now().UTC().AddDate(10, 0, 0)

	file, err := metadata.TargetFile().FromBytes(TrustedRootTarget, trustedRoot, "sha256")
	if err != nil {
		return fmt.Errorf("sigstore: tuf: %w", err)
	}
	targets := metadata.Targets(later)
	targets.Signed.Version = version
	targets.Signed.Targets[TrustedRootTarget] = file

	snapshot := metadata.Snapshot(later)
	snapshot.Signed.Version = version
	snapshot.Signed.Meta["targets.json"] = metadata.MetaFile(version)

	timestamp := metadata.Timestamp(timestampExpires.UTC())
	timestamp.Signed.Version = version
	timestamp.Signed.Meta["snapshot.json"] = metadata.MetaFile(version)

	signedTargets, err := signTUF(targets, t.signers[metadata.TARGETS])
	if err != nil {
		return err
	}
	signedSnapshot, err := signTUF(snapshot, t.signers[metadata.SNAPSHOT])
	if err != nil {
		return err
	}
	signedTimestamp, err := signTUF(timestamp, t.signers[metadata.TIMESTAMP])
	if err != nil {
		return err
	}
	t.version = version
	t.files[fmt.Sprintf("/targets/%s.%s", hex.EncodeToString(file.Hashes["sha256"]), TrustedRootTarget)] = slices.Clone(trustedRoot)
	t.files[fmt.Sprintf("/%d.targets.json", version)] = signedTargets
	t.files[fmt.Sprintf("/%d.snapshot.json", version)] = signedSnapshot
	t.files["/timestamp.json"] = signedTimestamp
	return nil
}

// ServeHTTP implements [http.Handler].
func (t *TUF) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	file, ok := t.files[r.URL.Path]
	t.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(file)
}

// newTUFRoot makes a key for each role and a root that names them.
func newTUFRoot() ([]byte, map[string]signature.Signer, error) {
	root := metadata.Root(time.Now().UTC().AddDate(10, 0, 0))
	root.Signed.ConsistentSnapshot = true
	signers := make(map[string]signature.Signer)
	for _, role := range tufRoles {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, nil, err
		}
		key, err := metadata.KeyFromPublicKey(public)
		if err != nil {
			return nil, nil, err
		}
		if err := root.Signed.AddKey(key, role); err != nil {
			return nil, nil, err
		}
		if signers[role], err = signature.LoadSigner(private, crypto.Hash(0)); err != nil {
			return nil, nil, err
		}
	}
	signed, err := signTUF(root, signers[metadata.ROOT])
	return signed, signers, err
}

func signTUF[T metadata.Roles](m *metadata.Metadata[T], signer signature.Signer) ([]byte, error) {
	if _, err := m.Sign(signer); err != nil {
		return nil, fmt.Errorf("sign tuf metadata: %w", err)
	}
	return m.ToBytes(false)
}
