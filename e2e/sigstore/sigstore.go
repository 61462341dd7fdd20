// Package sigstore runs a whole Sigstore inside one test process.
//
// [Start] brings up, each on its own loopback port, an OpenID Connect issuer,
// a Google metadata server that hands out its tokens, Trillian with in-memory
// storage, a certificate transparency log, Fulcio, and Rekor v1 with search
// index and attestation store. Issuer and metadata server are this package's;
// everything else is the servers' own code, unmodified. A start takes some
// tens of milliseconds and needs neither network nor database.
//
// Faults belong outside the servers: put a [Proxy] in front of one.
package sigstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"
)

// DefaultEmail is the service account that the metadata server names when
// [Options] names none.
const DefaultEmail = "tlogistry@project.iam.gserviceaccount.com"

// Audience is the only audience that Fulcio accepts in an identity token.
const Audience = "sigstore"

// ErrRunning is returned by [Start] while another Sigstore is live.
var ErrRunning = errors.New("sigstore: already running in this process; close it first")

// Rekor keeps its configuration and its clients in package variables, so there
// can be one at a time.
var running atomic.Bool

// Options says how a Sigstore is to run. The zero value is ready to use.
type Options struct {
	// Email is the service account of the metadata server,
	// [DefaultEmail] if empty.
	Email string

	// SequenceEvery is the interval at which a sequencer integrates queued
	// leaves, as in production; creating an entry then takes 100 ms and more.
	// Zero integrates a leaf inside the call that queues it: about 1 ms.
	SequenceEvery time.Duration

	// Kinds are the entry kinds that Rekor accepts for submission, any of
	// intoto, dsse and hashedrekord. Nil means all three.
	Kinds []string

	// NoAttestations runs Rekor without an attestation store.
	NoAttestations bool

	// Dir is an existing directory that receives trusted_root.json, which
	// then stays after Close. If empty, a temporary directory is used.
	Dir string
}

// kinds are the entry kinds compiled in, see rekor.go.
var kinds = []string{"intoto", "dsse", "hashedrekord"}

func (o Options) withDefaults() (Options, error) {
	if o.Email == "" {
		o.Email = DefaultEmail
	}
	if o.Kinds == nil {
		o.Kinds = kinds
	}
	for _, k := range o.Kinds {
		if !slices.Contains(kinds, k) {
			return o, fmt.Errorf("sigstore: entry kind %q is not one of %v", k, kinds)
		}
	}
	if o.SequenceEvery < 0 {
		return o, fmt.Errorf("sigstore: negative sequencing interval %v", o.SequenceEvery)
	}
	return o, nil
}

// A Sigstore is a running set of servers. Its methods may be called
// concurrently; Close must be called once everybody else is done.
type Sigstore struct {
	RekorURL  string // such as "http://127.0.0.1:40001"
	FulcioURL string
	IssuerURL string // also the value of the "iss" claim and of the certificate's issuer extension
	CTLogURL  string

	// MetadataHost is the host:port of the metadata server,
	// for the environment variable GCE_METADATA_HOST.
	MetadataHost string

	// TrustedRootPath is the file that holds [Sigstore.TrustedRoot].
	TrustedRootPath string

	email        string
	trustedRoot  []byte
	attestations string // directory
	issuer       *issuer
	ca, otherCA  *CA
	stack        stack
}

// Start starts a Sigstore and returns it when every server answers.
// The context bounds the start only; [Sigstore.Close] ends what was started.
// While one is live, Start returns [ErrRunning].
func Start(ctx context.Context, o Options) (*Sigstore, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if !running.CompareAndSwap(false, true) {
		return nil, ErrRunning
	}
	s := &Sigstore{email: o.Email}
	s.stack.push(func(context.Context) error { running.Store(false); return nil })
	if err := s.start(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("sigstore: %w", err), s.Close())
	}
	return s, nil
}

// start brings the servers up in the order of their needs: Fulcio discovers
// the issuer and submits to the CT log, which like Rekor stores in Trillian.
func (s *Sigstore) start(ctx context.Context, o Options) error {
	quiet()
	private, err := os.MkdirTemp("", "sigstore-")
	if err != nil {
		return err
	}
	s.stack.push(func(context.Context) error { return os.RemoveAll(private) })

	if s.issuer, err = s.startIssuer(); err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	if s.MetadataHost, err = s.OtherMetadata(o.Email); err != nil {
		return fmt.Errorf("metadata server: %w", err)
	}
	tlog, err := s.startTrillian(ctx, o.SequenceEvery)
	if err != nil {
		return fmt.Errorf("trillian: %w", err)
	}
	if s.ca, err = newCA("sigstore"); err != nil {
		return fmt.Errorf("certificate authority: %w", err)
	}
	if s.otherCA, err = newCA("somebody else"); err != nil {
		return fmt.Errorf("certificate authority: %w", err)
	}
	ctKey, err := s.startCTLog(ctx, tlog, private)
	if err != nil {
		return fmt.Errorf("ct log: %w", err)
	}
	if err := s.startFulcio(ctx); err != nil {
		return fmt.Errorf("fulcio: %w", err)
	}
	rekorKey, err := s.startRekor(tlog, private, o)
	if err != nil {
		return fmt.Errorf("rekor: %w", err)
	}
	if s.trustedRoot, err = s.makeTrustedRoot(ctKey, rekorKey); err != nil {
		return fmt.Errorf("trusted root: %w", err)
	}
	dir := o.Dir
	if dir == "" {
		dir = private
	}
	s.TrustedRootPath = filepath.Join(dir, "trusted_root.json")
	return os.WriteFile(s.TrustedRootPath, s.trustedRoot, 0o644)
}

// Close stops every server, frees the ports and removes temporary files.
// Requests under way have a second to end. A second call does nothing.
func (s *Sigstore) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return s.stack.unwind(ctx)
}

// TrustedRoot returns the trust root of these servers as JSON of media type
// application/vnd.dev.sigstore.trustedroot+json;version=0.1.
func (s *Sigstore) TrustedRoot() []byte { return slices.Clone(s.trustedRoot) }

// Env returns the environment, as NAME=value, in which `tlogistry serve` uses
// these servers under the identity of the metadata server.
func (s *Sigstore) Env() []string {
	return []string{
		"REKOR_URL=" + s.RekorURL,
		"FULCIO_URL=" + s.FulcioURL,
		"TRUSTED_ROOT=" + s.TrustedRootPath,
		"GCE_METADATA_HOST=" + s.MetadataHost,
		"IDENTITY_ISSUER=" + s.IssuerURL,
	}
}
