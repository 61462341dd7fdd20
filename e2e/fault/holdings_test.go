package fault_test

import (
	"maps"
	"os"
	"runtime/debug"
	"testing"

	"github.com/tlogistry/tlogistry/e2e/fault"
)

func TestHoldingsOf(t *testing.T) {
	warm, err := os.Open(os.DevNull) // the first file takes descriptors of Go's own
	if err != nil {
		t.Fatal(err)
	}
	warm.Close()
	debug.FreeOSMemory()
	before, err := fault.HoldingsOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = 64 << 20
	taken := make([]byte, size)
	for i := range taken {
		taken[i] = 1
	}
	after, err := fault.HoldingsOf(os.Getpid())
	if err != nil || after.Descriptors != before.Descriptors+1 || after.RSS-before.RSS < size/2 {
		t.Errorf("before %v, after %v, %v", before, after, err)
	}
	if len(taken) != size {
		t.Error(len(taken))
	}
	if h, err := fault.HoldingsOf(1 << 30); err == nil {
		t.Errorf("of no process: %v", h)
	}
}

// dump is shortened from what a program printed.
const dump = `SIGQUIT: quit
PC=0x478061 m=0 sigcode=0

goroutine 0 gp=0x1 m=0 mp=0x1 [idle]:
runtime.futex(0x1)
	/go/src/runtime/sys_linux_amd64.s:558 +0x21 fp=0x1

goroutine 1 gp=0xc0 m=nil [select, 2 minutes]:
runtime.gopark(0x0)
	/go/src/runtime/proc.go:460 +0xce
main.main()
	/src/main.go:14 +0x1d

goroutine 7 [IO wait]:
net.(*conn).Read(0xc0)
	/go/src/net/net.go:196 +0x25
created by net/http.(*Transport).dialConn in goroutine 5
	/go/src/net/http/transport.go:1944 +0x174f

goroutine 9 [IO wait]:
net.(*conn).Read(0xc0)
	/go/src/net/net.go:196 +0x25
created by net/http.(*Transport).dialConn in goroutine 6
	/go/src/net/http/transport.go:1944 +0x174f

goroutine 8 [chan receive]:
created by os/signal.Notify.func1.1
	/go/src/os/signal/signal.go:152 +0x1f

rax    0xca
`

func TestGoroutines(t *testing.T) {
	want := map[string]int{"": 1, "net/http.(*Transport).dialConn": 2, "os/signal.Notify.func1.1": 1}
	if got := fault.Goroutines(dump); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
