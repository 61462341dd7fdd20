package sigstore

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// tokenLife is how long Google's identity tokens live.
const tokenLife = time.Hour

// An issuer is an OpenID Connect issuer without a login:
// discovery, keys, and tokens for whoever holds the issuer itself.
type issuer struct {
	url    string
	signer jose.Signer
}

// Google signs with RSA; ES256 is used here because making an RSA key would
// take longer than starting everything else.
const signingAlgorithm = jose.ES256

func (s *Sigstore) startIssuer() (*issuer, error) {
	const keyID = "test"
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	// The address is the issuer's name, so it comes first.
	l, err := listen()
	if err != nil {
		return nil, err
	}
	i := &issuer{url: "http://" + l.Addr().String()}
	i.signer, err = jose.NewSigner(
		jose.SigningKey{Algorithm: signingAlgorithm, Key: jose.JSONWebKey{Key: key, KeyID: keyID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, map[string]any{
			"issuer":                                i.url,
			"jwks_uri":                              i.url + "/keys",
			"authorization_endpoint":                i.url + "/auth",
			"token_endpoint":                        i.url + "/token",
			"response_types_supported":              []string{"id_token"},
			"subject_types_supported":               []string{"public"},
			"id_token_signing_alg_values_supported": []string{string(signingAlgorithm)},
		})
	})
	keys := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{
		Key: key.Public(), KeyID: keyID, Algorithm: string(signingAlgorithm), Use: "sig",
	}}}
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) { writeJSON(w, keys) })

	s.serve(l, mux)
	s.IssuerURL = i.url
	return i, nil
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

// claims are the claims of Google's identity tokens for service accounts.
type claims struct {
	Issuer   string `json:"iss"`
	Audience string `json:"aud"`
	Party    string `json:"azp"`
	Subject  string `json:"sub"`
	IssuedAt int64  `json:"iat"`
	Expires  int64  `json:"exp"`

	// Only with format=full.
	Email    string `json:"email,omitempty"`
	Verified bool   `json:"email_verified,omitempty"`
}

func (i *issuer) token(email, audience string, full bool, now time.Time) (string, error) {
	c := claims{
		Issuer:   i.url,
		Audience: audience,
		Party:    subject(email),
		Subject:  subject(email),
		IssuedAt: now.Unix(),
		Expires:  now.Add(tokenLife).Unix(),
	}
	if full {
		c.Email, c.Verified = email, true
	}
	payload, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	jws, err := i.signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return jws.CompactSerialize()
}

// subject returns the number that stands for a service account.
func subject(email string) string {
	h := sha256.Sum256([]byte(email))
	return strconv.FormatUint(binary.BigEndian.Uint64(h[:]), 10)
}

// IDToken returns an identity token of the issuer that names email as verified,
// for tests that act as somebody else. It lives one hour.
// Fulcio accepts it if audience is [Audience].
func (s *Sigstore) IDToken(email, audience string) (string, error) {
	return s.issuer.token(email, audience, true, time.Now())
}
