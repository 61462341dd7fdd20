package tilelog

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

const (
	keyFile = "key"
	// maxKey bounds a key file, in bytes. A key has about 120.
	maxKey = 4 << 10
	// algEd25519 is the first byte of an Ed25519 key in a note's key string.
	algEd25519 = 1
)

// A key is a log's key pair. The name in it is the log's origin.
type key struct {
	signer   note.Signer
	verifier note.Verifier
	text     string // the verifier key
}

// VerifierKey returns the verifier key of the log in dir, in the form of
// golang.org/x/mod/sumdb/note, from its private key. A log that was never
// started has none: the error wraps fs.ErrNotExist.
func VerifierKey(dir string) (string, error) {
	k, err := readKey(dir)
	if err != nil {
		return "", err
	}
	return k.text, nil
}

func readKey(dir string) (key, error) {
	path := filepath.Join(dir, keyFile)
	b, err := readFile(path, maxKey)
	if err != nil {
		return key{}, err
	}
	k, err := parseKey(strings.TrimSuffix(string(b), "\n"))
	if err != nil {
		return key{}, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// parseKey reads a signer key of note's. No error of it shows the key.
func parseKey(s string) (key, error) {
	signer, err := note.NewSigner(s)
	if err != nil {
		return key{}, fmt.Errorf("%w: not a private key of a note", ErrDamaged)
	}
	// NewSigner has checked the form: PRIVATE+KEY+<name>+<hash>+<base64>.
	raw, err := base64.StdEncoding.DecodeString(strings.SplitN(s, "+", 5)[4])
	if err != nil || len(raw) != 1+ed25519.SeedSize || raw[0] != algEd25519 {
		return key{}, fmt.Errorf("%w: not an Ed25519 key", ErrDamaged)
	}
	public := ed25519.NewKeyFromSeed(raw[1:]).Public().(ed25519.PublicKey)
	text, err := note.NewEd25519VerifierKey(signer.Name(), public)
	if err != nil {
		return key{}, err
	}
	verifier, err := note.NewVerifier(text)
	if err != nil {
		return key{}, err
	}
	return key{signer: signer, verifier: verifier, text: text}, nil
}

// createKey makes the key of a new log in dir. It is on the disk, not only in
// a cache, when createKey returns: a key that signed must never be lost.
func createKey(dir string) (key, error) {
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return key{}, err
	}
	private, _, err := note.GenerateKey(rand.Reader, "tlogistry.local/"+hex.EncodeToString(id[:]))
	if err != nil {
		return key{}, err
	}
	path := filepath.Join(dir, keyFile)
	if err := writeSynced(path, private+"\n"); err != nil {
		return key{}, fmt.Errorf("write the log's key: %w", err)
	}
	return parseKey(private)
}
