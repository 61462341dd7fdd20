package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/e2e/fault"
)

// noticed is how soon the service must notice that a connection is dead: five
// seconds until it asks, five until it gives up.
const noticed = 10 * time.Second

// loses has the network forget the connections over HTTP/2 to all servers. A
// server's only connection is for all requests, so one that nobody gives up
// fails all of them, for as long as the system takes to notice.
func (w *faultWorld) loses(t *testing.T) {
	cert, roots := certificate(t)
	fulcio := proxied(t, w.FulcioURL)
	fulcio.Fail(http.StatusInternalServerError) // it is asked, and is needed once more
	var links []*fault.Link
	for _, target := range []string{w.registry.URL(), w.RekorURL, fulcio.URL} {
		links = append(links, linked(t, overTLS(t, target, cert)))
	}
	svc := w.direct(t, "SSL_CERT_FILE="+roots, "UPSTREAMS=docker.io=https://"+links[0].Host,
		"REKOR_URL=https://"+links[1].Host, "FULCIO_URL=https://"+links[2].Host)
	svc.get(t, "app", "recorded").mustServe(t, w.one)
	within(t, "request to Fulcio", func() bool { return fulcio.Count() > 0 })
	fulcio.Pass()
	for _, l := range links {
		must(t, l.Lose())
	}
	lost := time.Now()
	fresh := w.fresh(t, 0)
	var pulls sync.WaitGroup
	for _, tag := range []string{"recorded", fresh} {
		pulls.Go(func() {
			for status := 0; status != http.StatusOK; {
				a, err := svc.try(t.Context(), http.MethodGet, w.path("new", tag))
				took := time.Since(lost)
				t.Logf("%s: %d after %v", tag, a.status, took.Round(time.Millisecond))
				if status = a.status; err != nil || took > noticed+2*recovery {
					t.Errorf("%s: status %d, %v after %v", tag, status, err, took)
					return
				}
			}
		})
	}
	pulls.Wait()
}

// overTLS puts a proxy that speaks HTTP/2 in front of a server, and returns its
// address.
func overTLS(t *testing.T, target string, cert tls.Certificate) string {
	t.Helper()
	to, err := url.Parse(target)
	must(t, err)
	s := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(to))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(func() {
		s.CloseClientConnections() // the lost ones do not end by themselves
		s.Close()
	})
	return s.Listener.Addr().String()
}

// certificate returns a certificate for where links are, and the path of a file
// with it.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "links"}, IPAddresses: []net.IP{net.ParseIP(fault.Address)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	path := filepath.Join(t.TempDir(), "roots.pem")
	must(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, path
}
