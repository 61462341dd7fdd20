package process

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if os.Getenv("PROCESS_TEST_CHILD") != "" {
		child()
	}
	os.Exit(m.Run())
}

// child is a program that answers on an address, with ten goroutines more than
// a program has, and does not end by itself.
func child() {
	l, err := net.Listen("tcp", os.Getenv("PROCESS_TEST_CHILD"))
	if err != nil {
		os.Stderr.WriteString(err.Error())
		os.Exit(3)
	}
	for range 10 {
		go func() { select {} }()
	}
	for {
		if c, err := l.Accept(); err == nil {
			c.Close()
		}
	}
}

func start(t *testing.T, addr string) *Process {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Start(t.TempDir(), []string{"PROCESS_TEST_CHILD=" + addr, "GOTRACEBACK=all"}, executable)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop() })
	return p
}

func ready(t *testing.T, p *Process, addr string, ask func() error) (time.Duration, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return p.Ready(ctx, addr, ask)
}

func TestProcess(t *testing.T) {
	addr, err := FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, addr)
	asked := 0
	took, err := ready(t, p, addr, func() error {
		if asked++; asked < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil || asked != 3 || took <= 0 {
		t.Fatalf("ready after %v and %d questions: %v", took, asked, err)
	}
	if runtime.GOOS == "linux" {
		now, peak, err := p.RSS()
		if err != nil || now < 1<<20 || peak < now || peak > 1<<30 {
			t.Errorf("resident %d bytes, at most %d, %v", now, peak, err)
		}
		if n, err := p.Descriptors(); err != nil || n < 4 || n > 50 {
			t.Errorf("%d descriptors, %v, want the listener and few more", n, err)
		}
	}
	if n, err := p.Goroutines(); err != nil || n < 11 || n > 30 {
		t.Errorf("%d goroutines, %v, want 11 and few more", n, err)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("ending what has ended: %v", err)
	}
}

func TestNotReady(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // the child cannot listen here
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // so that connections can be made however long the child takes
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	p := start(t, l.Addr().String())
	_, err = ready(t, p, l.Addr().String(), func() error { return errors.New("not yet") })
	if err == nil || !strings.Contains(err.Error(), "ended: exit status 3") || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("error %v, want the exit status and what the program printed", err)
	}
}
