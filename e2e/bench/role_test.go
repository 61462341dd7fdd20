package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"

	"github.com/tlogistry/tlogistry/e2e/bench/delay"
	"github.com/tlogistry/tlogistry/e2e/registry"
	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// roleVariable makes this test binary a server instead of a test: what is
// measured must not share a process with what measures it. The server is told
// what to do, and answers, on its standard input and output, and ends with the
// input.
const (
	roleVariable    = "TLOGISTRY_BENCH_ROLE"
	optionsVariable = "TLOGISTRY_BENCH_OPTIONS"
)

// none is the argument of a call that has none.
type none = struct{}

// play is a role's main function.
func play(role string) int {
	service, closer, err := startRole(role)
	if err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		return 1
	}
	server := rpc.NewServer()
	err = server.RegisterName("Role", service)
	if err == nil {
		server.ServeCodec(jsonrpc.NewServerCodec(stdio{}))
	}
	if err = errors.Join(err, closer()); err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		return 1
	}
	return 0
}

func startRole(role string) (service any, closer func() error, err error) {
	options := []byte(os.Getenv(optionsVariable))
	switch role {
	case "registry":
		var o registry.Options
		if err := json.Unmarshal(options, &o); err != nil {
			return nil, nil, err
		}
		r, err := registry.Start(o)
		if err != nil {
			return nil, nil, err
		}
		return &registryRole{r}, r.Close, nil
	case "sigstore":
		var o sigstore.Options
		if err := json.Unmarshal(options, &o); err != nil {
			return nil, nil, err
		}
		s, err := startSigstoreRole(o)
		if err != nil {
			return nil, nil, err
		}
		return s, s.close, nil
	case "delay":
		var o delayOptions
		if err := json.Unmarshal(options, &o); err != nil {
			return nil, nil, err
		}
		p, err := delay.Listen(o.Addr, o.Target, o.RoundTrip)
		if err != nil {
			return nil, nil, err
		}
		return &delayRole{p}, p.Close, nil
	case "island":
		var o IslandOptions
		if err := json.Unmarshal(options, &o); err != nil {
			return nil, nil, err
		}
		i, err := startIsland(o)
		if err != nil {
			return nil, nil, err
		}
		return i, i.close, nil
	}
	return nil, nil, errors.New("no such role")
}

// stdio is this process's standard input and output.
type stdio struct{}

func (stdio) Read(b []byte) (int, error)  { return os.Stdin.Read(b) }
func (stdio) Write(b []byte) (int, error) { return os.Stdout.Write(b) }
func (stdio) Close() error                { return nil }
