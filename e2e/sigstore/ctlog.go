package sigstore

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	ctclient "github.com/google/certificate-transparency-go/client"
	"github.com/google/certificate-transparency-go/jsonclient"
	"github.com/google/certificate-transparency-go/trillian/ctfe"
	"github.com/google/certificate-transparency-go/trillian/ctfe/configpb"
	"github.com/google/trillian"
	"github.com/google/trillian/crypto/keys"
	"github.com/google/trillian/crypto/keys/der"
	"github.com/google/trillian/crypto/keyspb"
	"github.com/google/trillian/monitoring"
	"google.golang.org/protobuf/types/known/anypb"
)

// registerKeys teaches ctfe to take its private key from the configuration.
var registerKeys = sync.OnceFunc(func() { keys.RegisterHandler(&keyspb.PrivateKey{}, der.FromProto) })

// startCTLog starts the log, gives both authorities a client of it, and
// returns the log's key.
func (s *Sigstore) startCTLog(ctx context.Context, t *trillianServer, dir string) (crypto.PublicKey, error) {
	registerKeys()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	roots := filepath.Join(dir, "ct-roots.pem")
	if err := os.WriteFile(roots, append(certPEM(s.ca.root()), certPEM(s.otherCA.root())...), 0o644); err != nil {
		return nil, err
	}
	config, err := ctConfig(t.ctfeID, key, roots)
	if err != nil {
		return nil, err
	}
	instance, err := ctfe.SetUpInstance(ctx, ctfe.InstanceOptions{
		Validated:     config,
		Client:        trillian.NewTrillianLogClient(t.conn),
		Deadline:      10 * time.Second,
		MetricFactory: monitoring.InertMetricFactory{},
		RequestLog:    new(ctfe.DefaultRequestLog),
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	for path, h := range instance.Handlers {
		mux.Handle(path, h)
	}
	addr, err := s.serveHTTP(mux)
	if err != nil {
		return nil, err
	}
	s.CTLogURL = "http://" + addr + "/" + config.Config.Prefix

	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	s.stack.push(func(context.Context) error { transport.CloseIdleConnections(); return nil })
	client, err := ctclient.New(s.CTLogURL, &http.Client{Transport: transport, Timeout: 30 * time.Second},
		jsonclient.Options{PublicKeyDER: spki, Logger: log.New(io.Discard, "", 0)})
	if err != nil {
		return nil, err
	}
	s.ca.ct, s.otherCA.ct = client, client
	return key.Public(), nil
}

func ctConfig(treeID int64, key *ecdsa.PrivateKey, roots string) (*ctfe.ValidatedLogConfig, error) {
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	private, err := anypb.New(&keyspb.PrivateKey{Der: raw})
	if err != nil {
		return nil, err
	}
	return ctfe.ValidateLogConfig(&configpb.LogConfig{
		LogId:        treeID,
		Prefix:       "test",
		RootsPemFile: []string{roots},
		PrivateKey:   private,
		ExtKeyUsages: []string{"CodeSigning"},
	})
}

func (c *CA) root() *x509.Certificate { return c.chain[len(c.chain)-1] }

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
