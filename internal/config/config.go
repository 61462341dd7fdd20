// Package config reads the service's configuration from the environment.
//
// The variables are the same in every way of running it. They are documented
// at the fields of [Config]. Durations are in the form of time.ParseDuration.
// An empty variable counts as not set. A bad value is an error of one line that
// names the variable, the value and what is allowed.
package config

import (
	"net/url"
	"time"

	"github.com/tlogistry/tlogistry/internal/ociref"
)

// The transparency logs that TLOG can name.
const (
	Rekor = "rekor"
	Local = "local"
)

// A Config is a valid configuration.
type Config struct {
	// PORT: where to listen, 1 to 65535. Default 8080.
	Port string
	// HOST: the address to listen on. Default 127.0.0.1; every address, which
	// is the empty string, where K_SERVICE is set, as on Cloud Run.
	// LOCAL_ONLY=true means 127.0.0.1, as in Functions Framework samples.
	Host string

	// TLOG: which log, "rekor" or "local". Default rekor where K_SERVICE,
	// GCE_METADATA_HOST or REKOR_URL is set, else local. Nothing is probed.
	Log string
	// REKOR_URL: Rekor v1. Default https://rekor.sigstore.dev.
	RekorURL *url.URL
	// FULCIO_URL: Fulcio. Default https://fulcio.sigstore.dev.
	FulcioURL *url.URL
	// REKOR_TIMEOUT, FULCIO_TIMEOUT: each call's limit, above zero. Default 1m.
	RekorTimeout, FulcioTimeout time.Duration
	// REKOR_SETTLE: least time between the answer to a write and the confirming
	// look-up, zero or more. Default 250ms.
	RekorSettle time.Duration
	// AUDIENCE: audience of the identity token. Default sigstore.
	Audience string
	// TRUSTED_ROOT: path of a trusted_root.json. Default: trust comes from TUF.
	TrustedRoot string
	// TUF_URL: TUF repository. Default: Sigstore's public-good repository.
	TUFURL string
	// TUF_ROOT: path of the repository's initial root.json. Default: Sigstore's,
	// which is embedded. Needed when TUF_URL is set.
	TUFRoot string
	// IDENTITY: whose records count. Default: the metadata server's service account.
	Identity string
	// IDENTITY_ISSUER: issuer in the certificate. Default https://accounts.google.com.
	IdentityIssuer string
	// TLOG_DIR: the embedded log's directory. Default: tlogistry under the
	// user's data directory (XDG_DATA_HOME, else .local/share in HOME).
	LogDir string
	// WITNESS_POLICY: path of a file in Tessera's witness policy format. If
	// set, each checkpoint of the embedded log needs the cosignatures that it
	// asks for. Default: none.
	WitnessPolicy string

	// UPSTREAMS: registry=base URL, comma-separated: reach a registry somewhere
	// else, for example docker.io=http://localhost:5000. Default: none.
	Upstreams map[string]*url.URL
	// UPSTREAM_TIMEOUT: limit of a manifest exchange; for streamed blobs, of a
	// stall. Above zero. Default 30s.
	UpstreamTimeout time.Duration
	// ALLOW: patterns of repositories that may be pulled, comma-separated, in
	// the names that users type, such as docker.io/library/* or ghcr.io/acme/**.
	// Default: every repository.
	Allow []ociref.Pattern
}

// Load reads the configuration through getenv, which is os.Getenv outside tests.
func Load(getenv func(string) string) (Config, error) {
	r := reader{getenv: getenv}
	c := Config{
		Port:            r.port("PORT", "8080"),
		Host:            r.host(),
		Log:             r.log(),
		RekorURL:        r.url("REKOR_URL", "https://rekor.sigstore.dev"),
		FulcioURL:       r.url("FULCIO_URL", "https://fulcio.sigstore.dev"),
		RekorTimeout:    r.duration("REKOR_TIMEOUT", time.Minute, 1),
		FulcioTimeout:   r.duration("FULCIO_TIMEOUT", time.Minute, 1),
		RekorSettle:     r.duration("REKOR_SETTLE", 250*time.Millisecond, 0),
		Audience:        r.text("AUDIENCE", "sigstore"),
		TrustedRoot:     r.file("TRUSTED_ROOT"),
		TUFRoot:         r.file("TUF_ROOT"),
		WitnessPolicy:   r.file("WITNESS_POLICY"),
		Identity:        r.text("IDENTITY", ""),
		IdentityIssuer:  r.text("IDENTITY_ISSUER", "https://accounts.google.com"),
		Upstreams:       r.upstreams(),
		UpstreamTimeout: r.duration("UPSTREAM_TIMEOUT", 30*time.Second, 1),
		Allow:           r.allow(),
	}
	if r.text("TUF_URL", "") != "" {
		if u := r.url("TUF_URL", ""); u != nil {
			c.TUFURL = u.String()
		}
		if c.TUFRoot == "" {
			r.bad("TUF_ROOT", "", "the path of the initial root.json of TUF_URL")
		}
	}
	c.LogDir = r.logDir(c.Log)
	return c, r.err
}
