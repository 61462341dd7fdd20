package sigstore

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/sigstore/fulcio/pkg/config"
	fulciopb "github.com/sigstore/fulcio/pkg/generated/protobuf"
	"github.com/sigstore/fulcio/pkg/server"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore/pkg/signature"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
)

// maxRequest is the request size that Fulcio's own command allows, in bytes.
const maxRequest = 4 << 20

// clientKeys are the kinds of keys that Fulcio's command certifies by default.
var clientKeys = []protocommon.PublicKeyDetails{
	protocommon.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256,
	protocommon.PublicKeyDetails_PKIX_ECDSA_P384_SHA_384,
	protocommon.PublicKeyDetails_PKIX_ECDSA_P521_SHA_512,
	protocommon.PublicKeyDetails_PKIX_RSA_PKCS1V15_2048_SHA256,
	protocommon.PublicKeyDetails_PKIX_RSA_PKCS1V15_3072_SHA256,
	protocommon.PublicKeyDetails_PKIX_RSA_PKCS1V15_4096_SHA256,
	protocommon.PublicKeyDetails_PKIX_ED25519,
}

func (s *Sigstore) startFulcio(ctx context.Context) error {
	cfg, err := s.fulcioConfig()
	if err != nil {
		return err
	}
	algorithms, err := signature.NewAlgorithmRegistryConfig(clientKeys)
	if err != nil {
		return err
	}
	ca := server.NewGRPCCAServer(s.ca.ct, s.ca.base, algorithms, server.NewIssuerPool(cfg))
	srv := grpc.NewServer(grpc.MaxRecvMsgSize(maxRequest), grpc.UnaryInterceptor(
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			return handle(config.With(ctx, cfg), req)
		}))
	fulciopb.RegisterCAServer(srv, ca)
	healthpb.RegisterHealthServer(srv, ca)
	conn, _, err := s.serveGRPC(srv)
	if err != nil {
		return err
	}
	gateway := runtime.NewServeMux(
		runtime.WithMetadata(bearerToken),
		runtime.WithHealthzEndpoint(healthpb.NewHealthClient(conn)))
	if err := fulciopb.RegisterCAHandler(ctx, gateway, conn); err != nil {
		return err
	}
	addr, err := s.serveHTTP(server.WithMaxBytes(gateway, maxRequest))
	if err != nil {
		return err
	}
	s.FulcioURL = "http://" + addr
	return nil
}

// fulcioConfig makes Fulcio accept the issuer, which must be running.
func (s *Sigstore) fulcioConfig() (*config.FulcioConfig, error) {
	raw, err := json.Marshal(config.FulcioConfig{OIDCIssuers: map[string]config.OIDCIssuer{
		s.IssuerURL: {IssuerURL: s.IssuerURL, ClientID: Audience, Type: config.IssuerTypeEmail},
	}})
	if err != nil {
		return nil, err
	}
	cfg, err := config.Read(raw)
	if err != nil {
		return nil, err
	}
	// Read only logs a failed discovery.
	if _, ok := cfg.GetVerifier(s.IssuerURL); !ok {
		return nil, errors.New("issuer cannot be discovered")
	}
	return cfg, nil
}

// bearerToken passes the token of a request's Authorization header on to where
// the gRPC server looks for it.
func bearerToken(_ context.Context, r *http.Request) metadata.MD {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	return metadata.Pairs(server.MetadataOIDCTokenKey, token)
}
