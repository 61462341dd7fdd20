package registry

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/distribution/distribution/v3/registry/auth/token"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	tokenPath    = "/token"
	tokenService = "registry.test"
	tokenIssuer  = "token.registry.test"
	tokenKeyID   = "registry-test-key"
)

// tokens is the token server of a registry, as the Docker registry token
// specification has it: anybody gets a token that allows pulling, or one user.
type tokens struct {
	life   time.Duration
	key    *ecdsa.PrivateKey
	signer jose.Signer

	user, password string // empty: anybody

	mu   sync.Mutex
	live map[string]time.Time // tokens issued, and when each ends
}

func newTokens(life time.Duration) (*tokens, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: tokenKeyID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, err
	}
	return &tokens{life: life, key: key, signer: signer, live: make(map[string]time.Time)}, nil
}

// writeKeys writes the key set that the registry trusts.
func (t *tokens) writeKeys(path string) error {
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: t.key.Public(), KeyID: tokenKeyID, Algorithm: string(jose.ES256), Use: "sig"},
	}})
	if err != nil {
		return err
	}
	return os.WriteFile(path, set, 0o600)
}

// handler serves the token server at tokenPath and the registry elsewhere.
//
// Distribution accepts a token for a minute after its end. Here a token that
// has ended is taken off the request, so the registry answers it as it answers
// a request without one: 401 and its own challenge.
func (t *tokens) handler(registry http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == tokenPath {
			t.issue(w, req)
			return
		}
		if raw, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer "); ok && !t.valid(raw) {
			req.Header.Del("Authorization")
		}
		registry.ServeHTTP(w, req)
	})
}

func (t *tokens) issue(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodGet {
		http.Error(w, "use GET", http.StatusMethodNotAllowed)
		return
	}
	if user, password, _ := req.BasicAuth(); t.user != "" && (user != t.user || password != t.password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="`+tokenService+`"`)
		http.Error(w, "who are you", http.StatusUnauthorized)
		return
	}
	query := req.URL.Query()
	if query.Get("service") != tokenService {
		http.Error(w, "unknown service", http.StatusBadRequest)
		return
	}
	now := time.Now()
	claims := token.ClaimSet{
		Issuer:     tokenIssuer,
		Audience:   token.AudienceList{tokenService},
		IssuedAt:   now.Unix(),
		NotBefore:  now.Unix(),
		Expiration: now.Add(t.life).Unix(),
		JWTID:      rand.Text(),
		Access:     pullOnly(query["scope"]),
	}
	raw, err := jwt.Signed(t.signer).Claims(claims).Serialize()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	t.mu.Lock()
	t.live[raw] = now.Add(t.life)
	t.mu.Unlock()

	w.Header().Set("Content-Type", "application/json")
	// A failed write means that the client is gone.
	_ = json.NewEncoder(w).Encode(struct {
		Token     string    `json:"token"`
		ExpiresIn int       `json:"expires_in"`
		IssuedAt  time.Time `json:"issued_at"`
	}{raw, int(t.life / time.Second), now.UTC()})
}

// pullOnly returns what an anonymous user gets of the scopes asked for.
// A scope that allows nothing is left out, as the specification has it.
func pullOnly(scopes []string) []*token.ResourceActions {
	access := []*token.ResourceActions{}
	for _, scope := range strings.Fields(strings.Join(scopes, " ")) {
		parts := strings.Split(scope, ":")
		if len(parts) != 3 || parts[0] != "repository" || !slices.Contains(strings.Split(parts[2], ","), "pull") {
			continue
		}
		access = append(access, &token.ResourceActions{Type: parts[0], Name: parts[1], Actions: []string{"pull"}})
	}
	return access
}

func (t *tokens) valid(raw string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Now().Before(t.live[raw])
}

func (t *tokens) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.live)
}
