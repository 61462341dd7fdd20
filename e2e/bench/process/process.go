// Package process runs programs and reads from /proc what they use.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stopTimeout is how long a program may take to end.
const stopTimeout = 15 * time.Second

// A Process is a running program with the figures of /proc/PID.
type Process struct {
	Started time.Time // just before exec
	cmd     *exec.Cmd
	log     string // path of what it prints
	done    chan struct{}
}

// Start starts a program with this environment and no other. The directory is
// its working directory and gets a file of what it prints: a pipe would cost
// this process time for every line.
func Start(dir string, env []string, argv ...string) (*Process, error) {
	log, err := os.CreateTemp(dir, filepath.Base(argv[0])+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &Process{cmd: exec.Command(argv[0], argv[1:]...), log: log.Name(), done: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Env = env
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.Started = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.done)
		p.cmd.Wait()
	}()
	return p, nil
}

// Ready waits until a TCP connection to the address can be made and ask
// succeeds, and returns the time since the start of the process. It tries
// again at once: the answer must come as soon as there can be one.
func (p *Process) Ready(ctx context.Context, addr string, ask func() error) (time.Duration, error) {
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			conn.Close()
			err = ask()
		}
		took := time.Since(p.Started)
		if err == nil {
			return took, nil
		}
		select {
		case <-p.done:
			return 0, fmt.Errorf("%s ended: %v\n%s", p.name(), p.cmd.ProcessState, p.Log())
		case <-ctx.Done():
			return 0, fmt.Errorf("%s does not answer: %w: %w\n%s", p.name(), ctx.Err(), err, p.Log())
		case <-time.After(50 * time.Microsecond):
		}
	}
}

func (p *Process) name() string { return filepath.Base(p.cmd.Path) }

// keep is how much of a log is read: some hundred goroutines' stacks.
const keep = 1 << 20

// Log returns the end of what the process has printed, at most 1 MiB.
func (p *Process) Log() string {
	f, err := os.Open(p.log)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if end, err := f.Seek(0, io.SeekEnd); err == nil {
		// Where that fails the text is only the wrong part of it.
		_, _ = f.Seek(max(0, end-keep), io.SeekStart)
	}
	b, err := io.ReadAll(io.LimitReader(f, keep))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Stop ends the process and waits for it.
func (p *Process) Stop() error { return p.end(syscall.SIGTERM) }

// Goroutines ends a Go program with SIGQUIT, upon which it prints the stack of
// every goroutine, and returns how many there were. It must have been started
// with GOTRACEBACK=all.
func (p *Process) Goroutines() (int, error) {
	if err := p.end(syscall.SIGQUIT); err != nil {
		return 0, err
	}
	n := strings.Count("\n"+p.Log(), "\ngoroutine ")
	if n == 0 {
		return 0, fmt.Errorf("%s printed no goroutines", p.name())
	}
	return n, nil
}

func (p *Process) end(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	limit := time.NewTimer(stopTimeout)
	defer limit.Stop()
	select {
	case <-p.done:
		return nil
	case <-limit.C:
	}
	err := p.cmd.Process.Kill()
	<-p.done
	return errors.Join(fmt.Errorf("%s did not end within %v", p.name(), stopTimeout), err)
}

// RSS returns the resident memory of the process and of its children, in
// bytes, now and at most since each has started. What they share counts for
// each of them.
func (p *Process) RSS() (now, peak int64, err error) {
	for _, pid := range p.family() {
		b, err := os.ReadFile(proc(pid, "status"))
		if err != nil {
			return 0, 0, err
		}
		n, err := kilobytes(b, "VmRSS:")
		if err != nil {
			return 0, 0, err
		}
		m, err := kilobytes(b, "VmHWM:")
		if err != nil {
			return 0, 0, err
		}
		now, peak = now+n, peak+m
	}
	return now, peak, nil
}

// family returns the IDs of the process and its children.
func (p *Process) family() []int {
	pid := p.cmd.Process.Pid
	all := []int{pid}
	// Without the list, which a kernel may leave out, there are none.
	b, _ := os.ReadFile(proc(pid, "task/"+strconv.Itoa(pid)+"/children"))
	for _, field := range strings.Fields(string(b)) {
		if child, err := strconv.Atoi(field); err == nil {
			all = append(all, child)
		}
	}
	return all
}

// kilobytes reads one line of /proc/PID/status, in bytes.
func kilobytes(status []byte, name string) (int64, error) {
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(string(rest)), "kB")), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("no %s in the status of the process", name)
}

// Descriptors returns how many files and connections the process and its
// children have open.
func (p *Process) Descriptors() (int, error) {
	n := 0
	for _, pid := range p.family() {
		list, err := os.ReadDir(proc(pid, "fd"))
		if err != nil {
			return 0, err
		}
		n += len(list)
	}
	return n, nil
}

func proc(pid int, file string) string { return filepath.Join("/proc", strconv.Itoa(pid), file) }

// FreeAddress returns an address of loopback at which nothing listens. Its port
// is below those that systems give to whoever asks for any: nobody else gets it
// before the program listens there.
func FreeAddress() (string, error) {
	const first, ports, tries = 10_000, 20_000, 100
	for range tries {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(first+rand.IntN(ports))))
		if err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", fmt.Errorf("none of %d ports of loopback is free", tries)
}
