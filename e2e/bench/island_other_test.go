//go:build !linux

package bench

import (
	"errors"
	"syscall"
	"time"
)

// An island is a Linux network namespace; see island_linux_test.go.

const islandAddress = ""

// IslandOptions are those of Linux.
type IslandOptions struct {
	Function, Redirect, Floor string
	Env                       []string
}

// A Rush is that of Linux.
type Rush struct {
	Front string
	For   time.Duration
}

type island struct{}

func separate(*syscall.SysProcAttr) {}

func startIsland(IslandOptions) (*island, error) {
	return nil, errors.New("no network namespaces on this system")
}

func (*island) close() error { return nil }
