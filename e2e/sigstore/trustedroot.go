package sigstore

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"

	"github.com/sigstore/sigstore-go/pkg/root"
)

// makeTrustedRoot describes Fulcio's authority, the CT log and Rekor, all
// valid for as long as the authority's root is.
func (s *Sigstore) makeTrustedRoot(ctKey, rekorKey crypto.PublicKey) ([]byte, error) {
	caRoot := s.ca.root()
	tlogs := func(url string, key crypto.PublicKey) (map[string]*root.TransparencyLog, error) {
		spki, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return nil, err
		}
		id := sha256.Sum256(spki)
		return map[string]*root.TransparencyLog{hex.EncodeToString(id[:]): {
			BaseURL:             url,
			ID:                  id[:],
			ValidityPeriodStart: caRoot.NotBefore,
			HashFunc:            crypto.SHA256,
			PublicKey:           key,
			SignatureHashFunc:   crypto.SHA256,
		}}, nil
	}
	ctlogs, err := tlogs(s.CTLogURL, ctKey)
	if err != nil {
		return nil, err
	}
	rekors, err := tlogs(s.RekorURL, rekorKey)
	if err != nil {
		return nil, err
	}
	authority := &root.FulcioCertificateAuthority{
		Root:                caRoot,
		Intermediates:       s.ca.chain[:1],
		ValidityPeriodStart: caRoot.NotBefore,
		URI:                 s.FulcioURL,
	}
	tr, err := root.NewTrustedRoot(root.TrustedRootMediaType01,
		[]root.CertificateAuthority{authority}, ctlogs, nil, rekors)
	if err != nil {
		return nil, err
	}
	return tr.MarshalJSON()
}
