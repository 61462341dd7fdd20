package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/bench/process"
	"github.com/tlogistry/tlogistry/e2e/registry"
	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// The paths of Rekor's that the service asks.
const (
	searchPath  = "/api/v1/index/retrieve"
	entriesPath = "/api/v1/log/entries/retrieve"
	createPath  = "/api/v1/log/entries"
)

// distance is what a round trip to the far registry takes longer.
const distance = 20 * time.Millisecond

// An upstream is a registry, near and far. Both are the same server: at near
// it is asked itself, at far from a distance. It calls itself by the address
// of far, which is why both have the same port: a token's realm must be at the
// address that the registry is asked at.
type upstream struct {
	*server
	near, far string // host and port
	pushHost  string
	token     bool
}

func startUpstream(o registry.Options) (*upstream, error) {
	addr, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	u := &upstream{near: "127.0.0.2:" + port, far: "localhost:" + port, token: o.Token}
	o.Addr = u.near
	if u.server, err = startServer("registry", o); err != nil {
		return nil, err
	}
	atEnd(u.close)
	p, err := call[Place](u.server, "Place", none{})
	if err != nil {
		return nil, err
	}
	u.pushHost = strings.TrimPrefix(p.PushURL, "http://")
	d, err := startServer("delay", delayOptions{addr, u.near, distance})
	if err != nil {
		return nil, err
	}
	atEnd(d.close)
	_, err = call[string](d, "Address", none{})
	return u, errors.Join(err, u.fill())
}

// The registries of a run: a plain one, and one in the shape of Docker Hub.
var (
	plain = sync.OnceValues(func() (*upstream, error) { return startUpstream(registry.Options{}) })
	hub   = sync.OnceValues(func() (*upstream, error) {
		return startUpstream(registry.Options{Token: true, TokenLife: time.Hour, Redirect: true})
	})
)

// passEvery is how often the slow log integrates what was proposed.
const passEvery = 100 * time.Millisecond

// Two Sigstores: one that answers a create at once, and one whose log takes
// as long as a real one.
var (
	quickLog = sync.OnceValues(func() (*logServer, error) { return startLog(sigstore.Options{}) })
	slowLog  = sync.OnceValues(func() (*logServer, error) {
		return startLog(sigstore.Options{SequenceEvery: passEvery})
	})
)

// A logServer is a Sigstore in another process.
type logServer struct {
	*server
	env []string // of a service that uses it
}

func startLog(o sigstore.Options) (*logServer, error) {
	s, err := startServer("sigstore", o)
	if err != nil {
		return nil, err
	}
	atEnd(s.close)
	env, err := call[[]string](s, "Environment", none{})
	return &logServer{s, env}, err
}

// variable returns a variable of the log's environment.
func (l *logServer) variable(name string) string {
	var value string
	for _, v := range l.env {
		if n, is, _ := strings.Cut(v, "="); n == name {
			value = is // the last wins, as it does for the service
		}
	}
	return value
}

// need returns a part of the run that is made on first need.
func need[T any](t testing.TB, made func() (T, error)) T {
	t.Helper()
	v, err := made()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// counted returns what was asked of a server since the last time.
func counted[T any](t testing.TB, s *server) T {
	t.Helper()
	return need(t, func() (T, error) { return call[T](s, "Counts", none{}) })
}

// A front is something that answers pulls.
type front struct {
	name   string
	addr   string
	header http.Header      // of every request
	proc   *process.Process // nil for the registry itself
	start  time.Duration    // from exec to the first answer
}

// direct is the registry itself, asked by a client that holds a token if the
// registry wants one.
func direct(t testing.TB, u *upstream, addr string) front {
	t.Helper()
	f := front{name: "direct", addr: addr, header: acceptAll()}
	if !u.token {
		return f
	}
	var answer struct{ Token string }
	resp, err := http.Get("http://" + u.far + "/token?service=registry.test&scope=repository:" + repository + ":pull")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Token == "" {
		t.Fatalf("no token: status %d, %v", resp.StatusCode, err)
	}
	f.header.Set("Authorization", "Bearer "+answer.Token)
	return f
}

func acceptAll() http.Header {
	return http.Header{"Accept": {"application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"}}
}

// function starts the service as Cloud Run does, before a registry, and ends
// it with the test.
func function(t testing.TB, l *logServer, addr string, env ...string) front {
	t.Helper()
	executable := need(t, functionPath)
	listen := need(t, process.FreeAddress)
	_, port, _ := net.SplitHostPort(listen)
	all := append([]string{
		"FUNCTION_TARGET=Registry", "K_SERVICE=tlogistry", "PORT=" + port, "HOME=" + shared.dir, "GOTRACEBACK=all",
		"UPSTREAMS=docker.io=http://" + addr, "NEW_RECORDS_PER_MINUTE=0",
	}, l.env...)
	return started(t, "tlogistry", listen, append(all, env...), executable)
}

// peers starts the other fronts before a registry. nginx is left out where it
// is not installed. Without -full one of them will do, but for one test.
func peers(t testing.TB, base front) []front {
	t.Helper()
	listen := need(t, process.FreeAddress)
	all := []front{started(t, "ReverseProxy", listen, nil, need(t, reverseproxy), listen, "http://"+base.addr)}
	all[0].header = base.header
	if !*full && t.Name() != "TestTagNear" {
		return all
	}
	if argv, listen := nginx(t, base.addr); argv != nil {
		f := started(t, "nginx", listen, nil, argv...)
		f.header = base.header
		all = append(all, f)
	}
	// The cache asks with a token of its own, and wants none of its clients.
	listen = need(t, process.FreeAddress)
	return append(all, started(t, "pull-through", listen, nil, need(t, pullthrough), listen, "http://"+base.addr, t.TempDir()))
}

var (
	reverseproxy = peerPath("reverseproxy")
	pullthrough  = peerPath("pullthrough")
	redirect     = peerPath("redirect")
)

// started starts a program, waits for its first answer, and ends it with the
// test.
func started(t testing.TB, name, addr string, env []string, argv ...string) front {
	t.Helper()
	p, err := process.Start(t.TempDir(), env, argv...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			log := p.Log()
			t.Logf("end of the log of %s:\n%s", name, log[max(0, len(log)-4096):])
		}
	})
	f := front{name: name, addr: addr, header: acceptAll(), proc: p}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if f.start, err = p.Ready(ctx, addr, f.answers); err != nil {
		t.Fatal(err)
	}
	return f
}

// answers fails unless the front answers what every client asks first.
func (f front) answers() error {
	req, err := http.NewRequest(http.MethodGet, "http://"+f.addr+"/v2/", nil)
	if err != nil {
		return err
	}
	resp, err := alone.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 500 {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// alone makes each request on a connection of its own, and follows nothing.
var alone = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       2 * time.Minute,
}
