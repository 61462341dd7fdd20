// Package rekorlog keeps records in Rekor v1, the transparency log of Sigstore.
//
// A record is logged as an entry of kind intoto 0.0.2, or dsse 0.0.1 where the
// log refuses that kind: a DSSE envelope around the statement of package
// record, signed with a Fulcio certificate. It is found through Rekor's search
// index by the statement's own subject.
//
// Nothing that Rekor answers is believed before it is proved, in this order.
// First that the log can have given it: as many entries as were asked for, the
// leaf hash that the entry's ID names, the signed entry timestamp, inclusion
// under a signed checkpoint, that this is of one history with those seen before,
// and the log index by the place in the tree. A failure of these is an error,
// [ErrLog] or [ErrFork]. Then the certificate's chain and its timestamp at the
// time thus proved, identity, signature, statement, reference. An entry that
// fails one of these is the log's but not ours, and is ignored: anyone can write
// there. In the other order a forged time would hide a record and make room for
// a second one.
//
// What is assumed of Rekor: what its index has shown once it goes on showing;
// what it will show at all it shows within the settle time of the entry's
// integration into its tree.
package rekorlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/tlogistry/tlogistry/internal/flight"
	"github.com/tlogistry/tlogistry/internal/keyless"
	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/tally"
)

var (
	// ErrLog says that an answer cannot have come from the log.
	ErrLog = errors.New("the log's answer cannot be verified")
	// ErrHidden says that an entry written does not show in the log's index,
	// or not as a record of this identity.
	ErrHidden = errors.New("the written entry does not show in the log's index")
)

const (
	// Bounds of what is remembered, in entries. A remembered reference takes
	// about 500 bytes, a foreign entry 150.
	maxRemembered = 16384
	maxForeign    = 16384
	maxUnnamed    = 1024
	maxUnsure     = 1024
	maxDisputed   = 1024

	// leastFresh is the least that [Log.fresh] returns. An entry's way from the
	// log to the index goes through the rest of its create call, which a log
	// under load makes long.
	leastFresh = 5 * time.Second
)

// A Signer is what a log needs to write. [keyless.Signer] is one.
type Signer interface {
	// Subject returns the identity that signs.
	Subject(ctx context.Context) (string, error)
	// Prepare begins what makes the next Sign faster, and does not wait for it.
	Prepare(ctx context.Context)
	// Sign signs a message.
	Sign(ctx context.Context, message []byte) (keyless.Signature, error)
}

// A Config says which log to use, and as whom.
type Config struct {
	URL     *url.URL
	Timeout time.Duration // limit of each call, and of the wait for the own entry to show
	Settle  time.Duration // least time between the answer to a write and the confirming look-up
	Signer  Signer
	Issuer  string // OIDC issuer in the certificates of the signer
	// Trusted are identities whose records count like the signer's own. The
	// signer's own may be among them.
	Trusted []record.Identity
	Trust   *Trust
	Logger  *slog.Logger

	// Admit is asked before each record is written. Its error is Add's, and
	// then nothing is written. Nil admits every record.
	Admit func() error

	// Transport is used for Rekor. Nil means a transport of the log's own.
	Transport http.RoundTripper
}

// A Log is a log on Rekor. It is safe for concurrent use.
type Log struct {
	c       Config
	client  *client
	gather  *gatherer
	history *history
	lookups *flight.Group[[]record.Sighting]
	adds    *flight.Group[record.Sighting]

	memory  *memory                       // of records, which never change
	foreign *lru.Cache[string, judgement] // by entry ID and the own subject that it is no record of
	unnamed *lru.Cache[string, time.Time] // entry IDs whose statement was not there, and when
	unsure  *lru.Cache[string, time.Time] // references whose record may have been written in vain, and when
}

// New returns a log. It asks nobody before the first use.
func New(c Config) *Log {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Admit == nil {
		c.Admit = func() error { return nil }
	}
	l := &Log{
		c:       c,
		client:  newClient(c.URL, c.Timeout, c.Transport),
		memory:  newMemory(),
		foreign: newCache[judgement](maxForeign),
		unnamed: newCache[time.Time](maxUnnamed),
		unsure:  newCache[time.Time](maxUnsure),
	}
	// A write may have to look up first, and a look-up to wait for a write.
	limit := l.writeLimit() + l.fresh()
	l.adds = flight.NewGroup[record.Sighting](limit)
	l.lookups = flight.NewGroup[[]record.Sighting](limit + 4*c.Timeout + l.fresh())
	l.gather = &gatherer{fetch: l.client.entries}
	l.history = newHistory(l.extends, 2*c.Timeout, c.Logger)
	return l
}

// newCache returns a cache of n values. A constant size above zero cannot fail.
func newCache[V any](n int) *lru.Cache[string, V] {
	c, err := lru.New[string, V](n)
	if err != nil {
		panic(err)
	}
	return c
}

// Close waits for look-ups and writes under way, which their limits bound.
func (l *Log) Close() {
	l.adds.Close()
	l.lookups.Close()
	l.gather.close()
	l.history.close()
	l.c.Trust.Close()
	l.client.close()
}

// Identity returns who writes, whose records count.
func (l *Log) Identity(ctx context.Context) (record.Identity, error) {
	subject, err := l.c.Signer.Subject(ctx)
	if err != nil {
		return record.Identity{}, fmt.Errorf("whose records count: %w", err)
	}
	return record.Identity{Issuer: l.c.Issuer, Subject: subject}, nil
}

// Lookup returns the verified sightings of ref, lowest index first. Those seen
// before are remembered; the log is not asked for them again. Else what a write
// would need beside the log begins meanwhile: a first pull waits for the longer
// of the two.
func (l *Log) Lookup(ctx context.Context, ref string) ([]record.Sighting, error) {
	if s, ok := l.memory.get(ref); ok {
		tally.Note(ctx, tally.RecordHit, 1)
		return s, nil
	}
	tally.Note(ctx, tally.RecordMiss, 1)
	l.c.Signer.Prepare(ctx)
	l.c.Trust.Prepare(ctx)
	return l.lookups.Do(ctx, ref, func(ctx context.Context) ([]record.Sighting, error) {
		return l.look(ctx, ref)
	})
}

// look asks the log for the sightings of ref, and remembers them. A record of
// ref that this process is writing it waits for, and goes by what that finds:
// until then the writer's own entry may show alone.
func (l *Log) look(ctx context.Context, ref string) ([]record.Sighting, error) {
	for {
		if err := l.memory.written(ctx, ref); err != nil {
			return nil, err
		}
		if s, ok := l.memory.get(ref); ok {
			return s, nil
		}
		if err := l.memory.check(ref); err != nil {
			return nil, err
		}
		s, err := l.settled(ctx, ref)
		if err != nil || len(s) == 0 {
			return nil, err
		}
		s, ok, err := l.memory.found(ref, s)
		if err != nil {
			return nil, l.outranked(ctx, ref, err)
		}
		if ok {
			return s, nil
		}
	}
}

// settled asks the log for the sightings of ref, and where the first of them is
// fresh once more when it is that no longer: one with a lower index may be in
// the log already and not yet in its index.
func (l *Log) settled(ctx context.Context, ref string) ([]record.Sighting, error) {
	s, age, err := l.timely(ctx, ref)
	if err != nil || len(s) == 0 || age >= l.fresh() {
		return s, err
	}
	if l.c.Settle > 0 { // zero is meant: no wait
		if err := sleep(ctx, min(l.fresh()-age, l.fresh())); err != nil {
			return nil, err
		}
	}
	s, _, err = l.timely(ctx, ref)
	return s, err
}

// timely is search for whoever only reads: a look-up may take long where it has
// to wait for a write, but not where it has to wait for the log.
func (l *Log) timely(ctx context.Context, ref string) ([]record.Sighting, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*l.c.Timeout+l.c.Settle)
	defer cancel()
	return l.search(ctx, ref)
}

// writeLimit is how long a write may take: certificate, create, look-up and
// wait, each within its own limit.
func (l *Log) writeLimit() time.Duration { return 10*l.c.Timeout + 2*l.c.Settle }

// fresh returns how young a record may be that another one may still be about
// to outrank. Integrated times are cut to whole seconds.
func (l *Log) fresh() time.Duration { return max(leastFresh, l.c.Settle+time.Second) }

// remember keeps what a writer has found of ref.
func (l *Log) remember(ctx context.Context, ref string, s []record.Sighting) error {
	if err := l.memory.confirmed(ref, s); err != nil {
		return l.outranked(ctx, ref, err)
	}
	return nil
}

// outranked tells of a reference whose first record is another one than before.
func (l *Log) outranked(ctx context.Context, ref string, err error) error {
	l.c.Logger.ErrorContext(ctx, errOutranked.Error(), slog.String("reference", ref), slog.String("error", err.Error()))
	return err
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
