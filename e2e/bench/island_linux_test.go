package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tlogistry/tlogistry/e2e/bench/load"
	"github.com/tlogistry/tlogistry/e2e/bench/process"
)

// The service never asks a registry at a loopback or private address unless it
// is mapped, and redirects to an unmapped one only. So an island is a network
// of its own, without a way out, in which a registry has a public address.
const islandAddress = "1.2.3.4"

// IslandOptions say what is on an island besides the registry.
type IslandOptions struct {
	Function, Redirect, Floor string // executables
	Env                       []string
}

// An island is a role in a network namespace of its own: what it starts is in
// there too, and so is the load.
type island struct {
	registry *http.Server
	asked    atomic.Int64 // requests at the registry
	dir      string
	fronts   map[string]string
	procs    []*process.Process
}

// separate has a server started in a new network namespace.
func separate(a *syscall.SysProcAttr) { a.Cloneflags = syscall.CLONE_NEWNET }

func startIsland(o IslandOptions) (*island, error) {
	if err := raiseLoopback(islandAddress); err != nil {
		return nil, err
	}
	i := &island{fronts: make(map[string]string)}
	certificate, root, err := selfSigned(islandAddress)
	if err != nil {
		return nil, err
	}
	l, err := tls.Listen("tcp", islandAddress+":443", &tls.Config{Certificates: []tls.Certificate{certificate}})
	if err != nil {
		return nil, err
	}
	i.registry = &http.Server{
		ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			i.asked.Add(1)
			w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		}),
	}
	go i.registry.Serve(l) // until close
	if i.dir, err = os.MkdirTemp("", "island-"); err != nil {
		return nil, errors.Join(err, i.close())
	}
	if err := i.people(o, root); err != nil {
		return nil, errors.Join(err, i.close())
	}
	return i, nil
}

// people starts the fronts of the island, which trust the registry's root.
func (i *island) people(o IslandOptions, root []byte) error {
	roots := filepath.Join(i.dir, "root.pem")
	if err := os.WriteFile(roots, root, 0o600); err != nil {
		return err
	}
	if err := i.front("redirect", nil, func(listen, _ string) []string {
		return []string{o.Redirect, listen, "https://" + islandAddress}
	}); err != nil {
		return err
	}
	env := append([]string{"FUNCTION_TARGET=Registry", "K_SERVICE=tlogistry", "HOME=" + i.dir, "SSL_CERT_FILE=" + roots}, o.Env...)
	if err := i.front("floor", env, func(_, port string) []string { return []string{o.Floor} }); err != nil {
		return err
	}
	return i.front("tlogistry", env, func(_, port string) []string { return []string{o.Function} })
}

func (i *island) front(name string, env []string, argv func(listen, port string) []string) error {
	listen, err := process.FreeAddress()
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(listen)
	p, err := process.Start(i.dir, append(env, "PORT="+port), argv(listen, port)...)
	if err != nil {
		return err
	}
	i.procs = append(i.procs, p)
	i.fronts[name] = listen
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err = p.Ready(ctx, listen, front{addr: listen}.answers)
	return err
}

func (i *island) close() error {
	var errs []error
	for _, p := range i.procs {
		errs = append(errs, p.Stop())
	}
	return errors.Join(append(errs, i.registry.Close(), os.RemoveAll(i.dir))...)
}

// A Rush is load on a front of an island, in requests for a blob.
type Rush struct {
	Front string
	For   time.Duration
}

// Rate answers how many redirects a front of the island makes in a second.
func (i *island) Rate(r Rush, rate *float64) error {
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	path := "/v2/" + islandAddress + "/acme/app/blobs/" + digest
	if r.Front == "redirect" {
		path = "/v2/acme/app/blobs/" + digest
	}
	result, err := load.Run(context.Background(), load.Plan{
		Addr:        i.fronts[r.Front],
		Requests:    []load.Request{{Path: path, Status: http.StatusTemporaryRedirect}},
		Connections: 64,
		For:         r.For,
	})
	if err == nil {
		*rate = result.Rate()
	}
	return err
}

// Counts answers how many requests came to the registry since the last time.
func (i *island) Counts(_ none, n *int64) error {
	*n = i.asked.Swap(0)
	return nil
}

// raiseLoopback makes the loopback device work, with one more address.
func raiseLoopback(address string) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	for _, step := range []struct {
		device  string
		request uint
		set     func(*unix.Ifreq) error
	}{
		{"lo", unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP); return nil }},
		{"lo:1", unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(net.ParseIP(address).To4()) }},
	} {
		r, err := unix.NewIfreq(step.device)
		if err != nil {
			return err
		}
		if err := errors.Join(step.set(r), unix.IoctlIfreq(s, step.request, r)); err != nil {
			return fmt.Errorf("set up %s: %w", step.device, err)
		}
	}
	return nil
}

// selfSigned returns a certificate for an address, and the same as PEM.
func selfSigned(address string) (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: address},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IPAddresses:           []net.IP{net.ParseIP(address)},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: address}}, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
