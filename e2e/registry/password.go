package registry

import (
	"os"
	"path/filepath"

	"github.com/distribution/distribution/v3/configuration"
	"golang.org/x/crypto/bcrypt"
)

// passwords returns the configuration of Distribution's own Basic
// authentication, for one user.
func (r *Registry) passwords(user, password string) (configuration.Auth, error) {
	// The cheapest hash: it is not to be kept from anybody.
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(r.dir, "htpasswd")
	if err := os.WriteFile(file, []byte(user+":"+string(hash)+"\n"), 0o600); err != nil {
		return nil, err
	}
	return configuration.Auth{"htpasswd": {"realm": "registry.test", "path": file}}, nil
}
