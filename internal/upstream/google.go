package upstream

import (
	"context"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	ggcr "github.com/google/go-containerregistry/pkg/v1/google"
	"golang.org/x/oauth2"

	"github.com/tlogistry/tlogistry/internal/flight"
)

// googleSuffix ends the name of every host of Artifact Registry. What is still
// called gcr.io is kept there, and has a name there: a repository of
// gcr.io/PROJECT is also at us-docker.pkg.dev/PROJECT/gcr.io.
const googleSuffix = ".pkg.dev"

// googleTimeout bounds each request for Google's credentials.
const googleTimeout = 10 * time.Second

// A google authenticates by Google's application default credentials: a key
// file in GOOGLE_APPLICATION_CREDENTIALS, gcloud's file, or the metadata server
// (at GCE_METADATA_HOST if set). They are looked for when they are first
// needed, again until they are found, and renewed before they end. Unlike
// go-containerregistry's own keychain it never runs gcloud. A key file can name
// a program as well; x/oauth2 runs none unless the operator sets
// GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES.
//
// None of this heeds a context, so who wants credentials at the same time shares
// one call, and gives up when its own context ends. The call ends by itself, as
// each of its requests does within googleTimeout; nobody waits for it.
type google struct {
	calls *flight.Group[*authn.AuthConfig]
	found authn.Authenticator // nil until found; for the one call under way
}

func newGoogle() *google {
	return &google{calls: flight.NewGroup[*authn.AuthConfig](googleTimeout)}
}

// AuthorizationContext returns a user and an access token as the password.
func (g *google) AuthorizationContext(ctx context.Context) (*authn.AuthConfig, error) {
	return g.calls.Do(ctx, "", func(context.Context) (*authn.AuthConfig, error) { return g.authorization() })
}

// Authorization makes a google an [authn.Authenticator].
func (g *google) Authorization() (*authn.AuthConfig, error) {
	return g.AuthorizationContext(context.Background())
}

func (g *google) authorization() (*authn.AuthConfig, error) {
	if g.found == nil {
		// What is found keeps the context for as long as it lives, so it is
		// not a request's. Its client is for files; the metadata server's
		// has its own limit.
		ctx := context.WithValue(context.Background(), oauth2.HTTPClient, &http.Client{Timeout: googleTimeout})
		found, err := ggcr.NewEnvAuthenticator(ctx)
		if err != nil {
			return nil, err
		}
		g.found = found
	}
	return g.found.Authorization()
}
