package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// A server is a role that plays in another process.
type server struct {
	cmd    *exec.Cmd
	client *rpc.Client
	input  io.Closer
}

// startServer starts a role, which ends with the test binary at the latest.
func startServer(role string, options any) (*server, error) {
	encoded, err := json.Marshal(options)
	if err != nil {
		return nil, err
	}
	executable, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(executable)
	cmd.Env = append(os.Environ(), roleVariable+"="+role, optionsVariable+"="+string(encoded))
	cmd.Dir = shared.dir
	cmd.Stderr = os.Stderr
	if role == "island" {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
		separate(cmd.SysProcAttr)
	}
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s %s: %w", filepath.Base(executable), role, err)
	}
	s := &server{cmd: cmd, input: input}
	s.client = rpc.NewClientWithCodec(jsonrpc.NewClientCodec(struct {
		io.Reader
		io.WriteCloser
	}{output, input}))
	return s, nil
}

// close ends the role and waits for it.
func (s *server) close() error {
	s.input.Close()
	return s.cmd.Wait()
}

// call has a role do something and returns what it answers.
func call[T any](s *server, method string, argument any) (T, error) {
	var answer T
	if err := s.client.Call("Role."+method, argument, &answer); err != nil {
		return answer, fmt.Errorf("%s: %w", method, err)
	}
	return answer, nil
}
