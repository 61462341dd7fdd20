package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tlogistry/tlogistry/internal/config"
	"github.com/tlogistry/tlogistry/internal/keyless"
	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/rekorlog"
	"github.com/tlogistry/tlogistry/internal/service"
	"github.com/tlogistry/tlogistry/internal/tilelog"
)

// A source is a log that is read and not trusted.
type source interface {
	// Lookup returns the proved records of a reference, lowest index first.
	Lookup(ctx context.Context, ref string) ([]record.Sighting, error)
	// Resolve names the digest of a record that came without one.
	Resolve(ctx context.Context, s record.Sighting, digest string) (record.Sighting, error)
	Close()
}

// sourceFlags say which log to read. What they leave open comes from the
// environment, as for serve.
type sourceFlags struct {
	identity, issuer, rekor, trustedRoot string
	trusted                              string // verify's alone
	tlog, key                            string
	anyone                               bool // verify's alone
}

func (f *sourceFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.identity, "identity", "", "`address` of the service account whose records count (IDENTITY)")
	flags.StringVar(&f.issuer, "issuer", "", "`URL` of its issuer (IDENTITY_ISSUER)")
	flags.StringVar(&f.rekor, "rekor", "", "`URL` of Rekor (REKOR_URL)")
	flags.StringVar(&f.trustedRoot, "trusted-root", "", "`path` of a trusted_root.json (TRUSTED_ROOT)")
	flags.StringVar(&f.tlog, "tlog", "", "read a tile log: the `URL` of one, or a directory")
	flags.StringVar(&f.key, "key", "", "verifier `key` of the tile log")
	for _, name := range []string{"identity", "issuer", "rekor", "trusted-root"} {
		cmd.MarkFlagsMutuallyExclusive("tlog", name)
	}
}

// config reads the environment with the flags laid over it. A flag about one
// log chooses that log, whatever the environment says.
func (f *sourceFlags) config() (config.Config, error) {
	set := map[string]string{
		"IDENTITY":        f.identity,
		"IDENTITY_ISSUER": f.issuer,
		"REKOR_URL":       f.rekor,
		"TRUSTED_ROOT":    f.trustedRoot,

		"TRUSTED_IDENTITIES": f.trusted,
	}
	if f.identity+f.issuer+f.rekor+f.trustedRoot+f.trusted != "" {
		set["TLOG"] = config.Rekor
	}
	if f.tlog != "" {
		set["TLOG"], set["TLOG_DIR"] = config.Local, f.tlog
	}
	if f.anyone && f.tlog+f.key+os.Getenv("TLOG")+os.Getenv("TLOG_DIR") == "" {
		set["TLOG"] = config.Rekor // as nothing names a log that has no others in it
	}
	c, err := config.Load(func(name string) string {
		if v := set[name]; v != "" {
			return v
		}
		if f.tlog != "" && name == "TRUSTED_IDENTITIES" {
			return "" // a tile log has no identities
		}
		return os.Getenv(name)
	})
	if err == nil && f.key != "" && c.Log != config.Local {
		err = errors.New("--key is of a tile log: set --tlog or TLOG=local")
	}
	return c, err
}

// open opens the log that flags and configuration name.
func (f *sourceFlags) open(ctx context.Context, c config.Config) (source, error) {
	if c.Log == config.Local {
		r, err := f.openTiles(c)
		if err != nil {
			return nil, err
		}
		return readTiles(ctx, r)
	}
	return openRekor(c)
}

// openTiles opens the tile log that is named, or the embedded log's directory.
func (f *sourceFlags) openTiles(c config.Config) (*tilelog.Reader, error) {
	where, key := c.LogDir, f.key
	if key == "" && f.tlog != "" {
		return nil, errors.New("--tlog needs --key, the log's verifier key: one that came with the log proves nothing")
	}
	if key == "" {
		var err error
		key, err = tilelog.VerifierKey(where)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("no log is named, and TLOG_DIR=%s has none: set --identity, of records in Rekor, or --tlog and --key", where)
		case err != nil:
			return nil, fmt.Errorf("TLOG_DIR: %w", err)
		}
		where = filepath.Join(where, "log")
	}
	return tilelog.OpenReader(where, key)
}

// openRekor opens Rekor to read the records of the configured identity, and of
// those that are trusted.
func openRekor(c config.Config) (*rekorSource, error) {
	trust, err := service.Trust(c)
	if err != nil {
		return nil, err
	}
	who := &reader{subject: c.Identity}
	if c.Identity == "" {
		who.tokens = keyless.Metadata()
	}
	return &rekorSource{rekorlog.New(rekorlog.Config{
		URL:     c.RekorURL,
		Timeout: c.RekorTimeout,
		Settle:  c.RekorSettle,
		Signer:  who,
		Issuer:  c.IdentityIssuer,
		Trusted: c.Trusted,
		Trust:   trust,
	})}, nil
}

type rekorSource struct{ *rekorlog.Log }

// errReadOnly says that this command signs nothing.
var errReadOnly = errors.New("this command only reads")

// A reader is an identity that signs nothing.
type reader struct {
	subject string
	tokens  keyless.Tokens // asked for the subject if that is empty
}

func (r *reader) Subject(ctx context.Context) (string, error) {
	if r.subject != "" {
		return r.subject, nil
	}
	email, err := r.tokens.Email(ctx)
	if err != nil {
		return "", fmt.Errorf("no --identity, and none of a metadata server: %w", err)
	}
	return email, nil
}

func (r *reader) Prepare(context.Context) {}

func (r *reader) Sign(context.Context, []byte) (keyless.Signature, error) {
	return keyless.Signature{}, errReadOnly
}

// A tileSource is a tile log read whole.
type tileSource struct {
	reader *tilelog.Reader
	first  map[string]record.Sighting // by reference
}

// readTiles reads and verifies a whole tile log.
func readTiles(ctx context.Context, r *tilelog.Reader) (*tileSource, error) {
	s := &tileSource{reader: r, first: make(map[string]record.Sighting)}
	cp, err := r.Checkpoint(ctx)
	if err == nil {
		err = r.Records(ctx, cp, func(index int64, _ []byte, rec tilelog.Record, err error) error {
			if _, known := s.first[rec.Ref]; err != nil || known {
				return nil // an audit reports these
			}
			sighting, err := rec.Sighting(index)
			s.first[rec.Ref] = sighting
			return err
		})
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return s, nil
}

func (s *tileSource) Lookup(_ context.Context, ref string) ([]record.Sighting, error) {
	if found, ok := s.first[ref]; ok {
		return []record.Sighting{found}, nil
	}
	return nil, nil
}

func (s *tileSource) Resolve(_ context.Context, found record.Sighting, _ string) (record.Sighting, error) {
	return found, nil
}

func (s *tileSource) Close() { s.reader.Close() }
