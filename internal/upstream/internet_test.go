package upstream

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// An internet is some hosts, each a server of its own with a certificate for
// its own name alone.
type internet map[string]*world

// newInternet starts the hosts, which are https origins without the scheme,
// and returns a client for which they are all that there is.
func newInternet(t *testing.T, c Config, hosts ...string) (internet, *Client) {
	t.Helper()
	all := internet{}
	c.roots = x509.NewCertPool()
	for _, host := range hosts {
		w := newWorld(t)
		w.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t, c.roots, host)}}
		w.EnableHTTP2 = true
		w.StartTLS()
		all[host] = w
	}
	c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		w := all[strings.TrimSuffix(strings.ToLower(address), ":443")]
		if w == nil {
			return nil, fmt.Errorf("no such host in this test: %s", address)
		}
		return (&net.Dialer{}).DialContext(ctx, network, w.Listener.Addr().String())
	}
	client := New(c)
	t.Cleanup(client.Close)
	for _, r := range client.mirrors { // a mapped origin is reached without the guard
		r.own.DialContext, r.blobs.DialContext = c.dial, c.dial
	}
	return all, client
}

// certificate returns a certificate for a host that roots then trust.
func certificate(t *testing.T, roots *x509.CertPool, host string) tls.Certificate {
	t.Helper()
	name, _, _ := strings.Cut(host, ":")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// saw returns what the hosts were asked, as "host/path" and, where there was
// one, the Authorization header.
func (i internet) saw() []string {
	var list []string
	for _, host := range slices.Sorted(maps.Keys(i)) {
		for _, r := range i[host].take() {
			list = append(list, strings.TrimSpace(host+r.URL.Path+" "+r.Header.Get("Authorization")))
		}
	}
	return list
}

// challenge makes a host answer its ping with 401 and a challenge.
func (w *world) challenge(text string) {
	w.mux.HandleFunc("/v2/{$}", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("WWW-Authenticate", text)
		rw.WriteHeader(http.StatusUnauthorized)
	})
}

// logins returns the credentials in a table of registries to "user:password".
func logins(t *testing.T, table map[string]string) Credentials {
	t.Helper()
	c := Credentials{logins: map[string]login{}}
	for registry, both := range table {
		user, password, _ := strings.Cut(both, ":")
		c.logins[registry] = login{user, password}
	}
	return c
}

func mapTo(t *testing.T, registry, base string) map[string]*url.URL {
	t.Helper()
	return map[string]*url.URL{registry: parse(t, base)}
}
