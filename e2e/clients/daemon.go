package clients

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// stopTimeout bounds the orderly end of a daemon, which is killed afterwards.
const stopTimeout = time.Minute

// guard runs a daemon and ends it when its own input ends. The test process
// holds the other side, so that a daemon does not outlive it however it ends:
// a test's time limit runs no clean-up.
const guard = `
exec 3<&0
"$@" </dev/null 3<&- &
daemon=$!
(cat <&3 >/dev/null; kill -TERM $daemon 2>/dev/null) &
exec 3<&-
wait $daemon
`

// A daemon is a program that runs until stop.
type daemon struct {
	name string
	cmd  *exec.Cmd
	hold io.Closer // the guard's input
	log  string    // path of what the daemon prints
	done chan error
}

// startDaemon starts a daemon with variables of its own, that keeps its log in
// dir, and waits until ready succeeds.
func startDaemon(ctx context.Context, dir string, env []string, ready func() error, argv ...string) (*daemon, error) {
	d := &daemon{name: argv[0], log: filepath.Join(dir, filepath.Base(argv[0])+".log"), done: make(chan error, 1)}
	log, err := os.Create(d.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	d.cmd = exec.Command("sh", append([]string{"-c", guard, "guard"}, argv...)...)
	d.cmd.Env = environment(dir, env...)
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if d.hold, err = d.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { d.done <- d.cmd.Wait() }()

	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		cause := ready()
		if cause == nil {
			return d, nil
		}
		select {
		case <-poll.C:
		case err := <-d.done:
			d.done <- err
			return nil, errors.Join(fmt.Errorf("%s ended: %v\n%s", d.name, err, d.tail()), d.stop())
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("%s is not ready: %w: %w\n%s", d.name, ctx.Err(), cause, d.tail()), d.stop())
		}
	}
}

// tail returns the end of the daemon's log.
func (d *daemon) tail() string {
	const keep = 4096
	log, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	return string(log[max(0, len(log)-keep):])
}

// stop ends the daemon, by force if it takes too long.
func (d *daemon) stop() error {
	// A second close of a pipe is an error of no interest.
	_ = d.hold.Close()
	limit := time.NewTimer(stopTimeout)
	defer limit.Stop()
	select {
	case <-d.done:
		return nil
	case <-limit.C:
	}
	// The leader has not been waited for, so the group is still ours.
	_ = syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL)
	<-d.done
	return fmt.Errorf("%s did not end within %v and was killed", d.name, stopTimeout)
}
