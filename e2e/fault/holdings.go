package fault

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

// Holdings are what a process has taken and can give back.
type Holdings struct {
	Descriptors int   // open files and connections
	RSS         int64 // resident memory, in bytes
}

// HoldingsOf reads the holdings of a process from Linux's /proc.
func HoldingsOf(pid int) (Holdings, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	open, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return Holdings{}, err
	}
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return Holdings{}, err
	}
	var kilobytes int64
	_, line, _ := bytes.Cut(status, []byte("\nVmRSS:"))
	if _, err := fmt.Sscan(string(line), &kilobytes); err != nil {
		return Holdings{}, fmt.Errorf("VmRSS in %s/status: %w", dir, err)
	}
	return Holdings{len(open), kilobytes << 10}, nil
}

func (h Holdings) String() string {
	return fmt.Sprintf("%d descriptors, %.1f MiB", h.Descriptors, float64(h.RSS)/(1<<20))
}

// began finds the goroutines in what a Go program prints on SIGQUIT, and in each
// the function that started it. The first one, main, was started by none.
var began = regexp.MustCompile(`(?m)^goroutine [1-9]\d* .*\n(?:.+\n)*?(?:created by (\S+)(?: in goroutine \d+)?\n.*(?:\n|\z)|\n|\z)`)

// Goroutines counts the goroutines in what a Go program prints on SIGQUIT by the
// function that started them, "" for main. Its environment must have had
// GOTRACEBACK=all.
func Goroutines(dump string) map[string]int {
	counts := make(map[string]int)
	for _, m := range began.FindAllStringSubmatch(dump, -1) {
		counts[m[1]]++
	}
	return counts
}
