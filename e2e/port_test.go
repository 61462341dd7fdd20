package e2e

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
)

// The ports of freePort are below those that systems give to whoever asks for
// any: nobody else gets one before the command listens there.
const (
	firstPort = 10_000
	ports     = 20_000
)

var lastPort atomic.Uint32

// freePort returns a port at which nothing listens, and another one each time.
func freePort(t testing.TB) string {
	t.Helper()
	lastPort.CompareAndSwap(0, 1+rand.Uint32N(ports)) // other processes begin elsewhere
	for range 100 {
		port := strconv.Itoa(firstPort + int(lastPort.Add(1)%ports))
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}
