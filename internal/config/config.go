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
	"github.com/tlogistry/tlogistry/internal/record"
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
	// K_SERVICE: set by Cloud Run, where the disk is the instance's memory and
	// ends with it. So nothing that TUF has answered is kept there for the next
	// start, as it is elsewhere, below tlogistry in the user's cache directory.
	CloudRun bool
	// IDENTITY: whose records count. Default: the metadata server's service account.
	Identity string
	// IDENTITY_ISSUER: issuer in the certificate. Default https://accounts.google.com.
	IdentityIssuer string
	// TRUSTED_IDENTITIES: issuer=identity pairs, comma-separated, whose records
	// count like the own: such as
	// https://accounts.google.com=tlogistry@project.iam.gserviceaccount.com. An
	// issuer is a URL without an equals sign, an identity an e-mail address or a
	// URI without a comma, each as the certificate has it. The own identity may
	// be among them, so that instances can share one list. Only with TLOG=rekor.
	// Default: none.
	Trusted []record.Identity
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
	// DOCKER_CONFIG: directory with a config.json as docker login writes it. Its
	// credentials are used for the registries that it names, on behalf of
	// whoever calls. This is the file's path. Default: every pull is anonymous.
	DockerConfig string
	// GOOGLE_REGISTRY_AUTH: true to use Google's application default credentials
	// for registries in pkg.dev, on behalf of whoever calls. Default false.
	GoogleRegistryAuth bool
	// REQUESTS_PER_MINUTE: how many requests below /v2/ and /tag/ are answered to one
	// client address, as many at once, up to 1000000. Default 0: no limit, as
	// all the engineers and nodes of a company may share one address.
	RequestsPerMinute int
	// NEW_RECORDS_PER_MINUTE: how many records this process writes, as many at
	// once, up to 1000000; 0 for no limit. Pulls of recorded tags are not
	// limited by it. Default 60 with TLOG=rekor, where strangers could fill a
	// log that is everybody's; 0 with TLOG=local.
	NewRecordsPerMinute int
	// TRUSTED_HOPS: how many proxies in front of this process add an address to
	// X-Forwarded-For, up to 16: a client's address is what the first of them
	// added. Default 1 where K_SERVICE is set, as on Cloud Run; else 0, the
	// connection's other end.
	TrustedHops int

	// LOG_FORMAT: how log lines are written, json or text. Default text where
	// standard error is a terminal, else json.
	LogFormat string
	// GOOGLE_CLOUD_PROJECT: ID of the project that the traces in log lines are
	// named by. Default: they are named by their IDs alone, as Cloud Logging
	// prefers.
	Project string

	// ALLOW: patterns of repositories that may be pulled, comma-separated, in
	// the names that users type, such as docker.io/library/* or ghcr.io/acme/**.
	// Default: every repository.
	Allow []ociref.Pattern
	// MUTABLE_TAGS: patterns of references that are passed through, neither
	// recorded nor looked up, comma-separated, in the names that users type, such
	// as docker.io/library/*:latest or ghcr.io/acme/**:nightly-*. Default: none,
	// which is the recommendation.
	Mutable []ociref.TagPattern
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
		CloudRun:        r.getenv("K_SERVICE") != "",
		WitnessPolicy:   r.file("WITNESS_POLICY"),
		Identity:        r.text("IDENTITY", ""),
		IdentityIssuer:  r.text("IDENTITY_ISSUER", "https://accounts.google.com"),
		Upstreams:       r.upstreams(),
		UpstreamTimeout: r.duration("UPSTREAM_TIMEOUT", 30*time.Second, 1),
		DockerConfig:    r.dockerConfig(),
		Allow:           r.allow(),
		Mutable:         r.mutable(),

		GoogleRegistryAuth: r.flag("GOOGLE_REGISTRY_AUTH"),
		RequestsPerMinute:  r.count("REQUESTS_PER_MINUTE", 0, maxPerMinute),
		TrustedHops:        r.hops(),
		LogFormat:          r.logFormat(),
		Project:            r.project(),
	}
	c.NewRecordsPerMinute = r.newRecords(c.Log)
	c.Trusted = r.trusted(c.Log)
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
