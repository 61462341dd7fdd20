package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tlogistry/tlogistry/e2e/registry"
)

// A disk holds the embedded log of one service. It is a file system of its own
// in memory, which can be made full and read-only. Where this process may not
// mount one, a service's files cannot grow instead: its writes fail as well.
type disk struct {
	dir     string
	mounted bool
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	d := &disk{dir: t.TempDir()}
	err := unix.Mount("tmpfs", d.dir, "tmpfs", 0, "size=64m")
	if errors.Is(err, syscall.EPERM) {
		t.Log("mounting is not permitted: files are limited instead")
		return d
	}
	must(t, err)
	d.mounted = true
	t.Cleanup(func() { must(t, unix.Unmount(d.dir, unix.MNT_DETACH)) })
	return d
}

// full leaves room for a few records.
func (d *disk) full(t *testing.T, svc *service) {
	t.Helper()
	var has unix.Statfs_t
	must(t, unix.Statfs(d.dir, &has))
	d.set(t, svc, 0, fmt.Sprint("size=", (int64(has.Blocks-has.Bfree)+16)*has.Bsize), 0)
}

func (d *disk) readOnly(t *testing.T, svc *service) { d.set(t, svc, unix.MS_RDONLY, "", 0) }

// well ends what the others did, and leaves room for the rest of the test.
func (d *disk) well(t *testing.T, svc *service) {
	d.set(t, svc, 0, "size=64m", unix.RLIM_INFINITY)
}

func (d *disk) set(t *testing.T, svc *service, flags uintptr, options string, limit uint64) {
	t.Helper()
	if d.mounted {
		must(t, unix.Mount("tmpfs", d.dir, "tmpfs", unix.MS_REMOUNT|flags, options))
		return
	}
	err := unix.Prlimit(svc.cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: limit, Max: unix.RLIM_INFINITY}, nil)
	if !errors.Is(err, syscall.ESRCH) { // the limit has ended with the process
		must(t, err)
	}
}

// TestFaultDisk takes away the embedded log's disk under load, and gives it
// back: to the same process, to one that was killed meanwhile, and to one that
// was started without it.
func TestFaultDisk(t *testing.T) {
	r := startRegistry(t, registry.Options{})
	one := push(t, r, "library/disk", "one", registry.Variant{Name: "one", Single: true})
	two := push(t, r, "library/disk", "two", registry.Variant{Name: "two", Single: true})
	for name, fail := range map[string]func(*disk, *testing.T, *service){
		"full":      (*disk).full,
		"read-only": (*disk).readOnly,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &diskWorld{disk: newDisk(t), registry: r, name: name, one: one, two: two, answered: make(map[string]string)}
			w.svc = w.start(t)
			w.pull(t, w.tags(t, 4))
			known := w.count()
			if known != 4 {
				t.Fatalf("%d of 4 tags were served", known)
			}

			fail(w.disk, t, w.svc)
			refused := w.untilFull(t)
			w.knownAreServed(t)
			if w.disk.mounted {
				w.svc.becomes(t, http.StatusServiceUnavailable, "not ready\nlog: not ready: its files cannot be used\n")
			}
			w.disk.well(t, w.svc)
			w.recovers(t)
			w.svc.becomes(t, http.StatusOK, "ready\nlog: ready\n")
			for _, tag := range refused { // as if the registry had moved it meanwhile
				move(t, r, "library/disk", tag, two)
			}
			w.pull(t, refused)

			fail(w.disk, t, w.svc)
			w.untilFull(t)
			must(t, w.svc.cmd.Process.Kill())
			<-w.svc.done
			w.startsWithout(t)
			w.disk.well(t, w.svc)
			w.svc = w.start(t)
			w.knownAreServed(t)
			w.recovers(t)
			w.svc.stop(t)
			records, conflicts := auditLocal(t, w.dir())
			t.Logf("%d tags were answered, the log has %d records", w.count(), records)
			if records < w.count() || conflicts != 0 {
				t.Errorf("the log has %d records, %d conflicts; %d tags were answered", records, conflicts, w.count())
			}
		})
	}
}

// A diskWorld is a service whose embedded log is on a disk.
type diskWorld struct {
	disk     *disk
	registry *registry.Registry
	svc      *service
	name     string
	one, two string // digests
	n        int    // of tags made

	mu       sync.Mutex
	answered map[string]string // digest by tag
}

func (w *diskWorld) dir() string { return filepath.Join(w.disk.dir, "log") }

func (w *diskWorld) start(t *testing.T) *service {
	t.Helper()
	return start(t, "TLOG_DIR="+w.dir(), "UPSTREAMS="+w.registry.Upstreams())
}

func (w *diskWorld) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.answered)
}

// tags makes n new tags.
func (w *diskWorld) tags(t *testing.T, n int) (tags []string) {
	t.Helper()
	for range n {
		tag := fmt.Sprint(w.name, "-", w.n)
		w.n++
		move(t, w.registry, "library/disk", tag, w.one)
		tags = append(tags, tag)
	}
	return tags
}

// pull pulls tags at once and returns those that were not served for want of a
// log.
func (w *diskWorld) pull(t *testing.T, tags []string) (unavailable []string) {
	t.Helper()
	var pulls sync.WaitGroup
	for _, tag := range tags {
		pulls.Go(func() {
			a, err := w.svc.try(t.Context(), http.MethodGet, "/v2/disk/manifests/"+tag)
			w.mu.Lock()
			defer w.mu.Unlock()
			switch digest := a.header.Get("Docker-Content-Digest"); {
			case err != nil:
				t.Errorf("%s: %v", tag, err)
			case a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") == "10" && digest == "":
				unavailable = append(unavailable, tag)
			case a.status == http.StatusOK && (w.answered[tag] == "" || w.answered[tag] == digest):
				w.answered[tag] = digest
			case a.status == http.StatusForbidden && w.answered[tag] == "": // recorded, and that was not acknowledged
			default:
				t.Errorf("%s, served with %q before: status %d, digest %q: %s", tag, w.answered[tag], a.status, digest, a.body)
			}
		})
	}
	pulls.Wait()
	return unavailable
}

// untilFull pulls new tags until nothing more can be recorded, and returns those
// that could not.
func (w *diskWorld) untilFull(t *testing.T) []string {
	t.Helper()
	var refused []string
	for round := 0; len(refused) < 24; round++ {
		began := time.Now()
		refused = append(refused, w.pull(t, w.tags(t, 8))...)
		if took := time.Since(began); took > 35*time.Second {
			t.Errorf("the answers took %v", took)
		}
		if round > 100 {
			t.Fatal("the disk does not fill")
		}
	}
	t.Logf("%d tags were served, %d refused", w.count(), len(refused))
	return refused
}

// knownAreServed pulls what was answered before, as it was and moved.
func (w *diskWorld) knownAreServed(t *testing.T) {
	t.Helper()
	for tag, digest := range w.answered {
		w.svc.get(t, "disk", tag).mustServe(t, digest)
	}
	tag := w.name + "-0"
	move(t, w.registry, "library/disk", tag, w.two)
	w.svc.get(t, "disk", tag).mustRefuse(t, w.one, w.two)
	move(t, w.registry, "library/disk", tag, w.one)
}

// startsWithout starts a service on the disk as it is. A log that cannot be
// opened to write is not served, and the reason is one line. A full one is.
func (w *diskWorld) startsWithout(t *testing.T) {
	t.Helper()
	if w.name == "full" || !w.disk.mounted {
		w.svc = w.start(t)
		w.knownAreServed(t)
		w.svc.stop(t)
		return
	}
	cmd := exec.CommandContext(t.Context(), command, "serve")
	cmd.Env = []string{"TLOG_DIR=" + w.dir(), "PORT=" + freePort(t)}
	out, err := cmd.CombinedOutput()
	want := fmt.Sprintf("tlogistry: TLOG_DIR: open the log in %s: open %s: read-only file system\n",
		w.dir(), filepath.Join(w.dir(), "log", ".state", "treeState"))
	if cmd.ProcessState.ExitCode() != 1 || !strings.HasSuffix(string(out), "}\n"+want) || strings.Contains(string(out), "panic") {
		t.Errorf("it ends with %v and says\n%s\nwant\n%s", err, out, want)
	}
}

// recovers has new tags pulled until they are served.
func (w *diskWorld) recovers(t *testing.T) {
	t.Helper()
	began := time.Now()
	for tags := w.tags(t, 8); len(tags) > 0; {
		tags = w.pull(t, tags)
		if took := time.Since(began); took > recovery {
			t.Fatalf("%v after the disk came back, %d tags are not served", took, len(tags))
		}
	}
	t.Logf("new tags are served %v after the disk came back", time.Since(began).Round(time.Millisecond))
}
