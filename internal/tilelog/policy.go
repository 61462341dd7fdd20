package tilelog

import (
	"errors"
	"fmt"
	"os"

	"github.com/transparency-dev/tessera"
)

// ErrPolicy says that a witness policy cannot be read or used.
var ErrPolicy = errors.New("bad witness policy")

// readPolicy reads a file in Tessera's witness policy format.
func readPolicy(path string) (*tessera.WitnessGroup, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	g, err := tessera.NewWitnessGroupFromPolicy(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrPolicy, path, err)
	}
	return &g, nil
}
