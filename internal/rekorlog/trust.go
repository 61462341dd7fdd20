package rekorlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/tlogistry/tlogistry/internal/flight"
)

const (
	// trustAge is how old a trusted root from TUF may be before it is fetched
	// anew. Sigstore renews its TUF timestamp within days.
	trustAge = 12 * time.Hour
	// staleTrust is how old the trusted root may be when it does not trust what
	// may be this identity's or the log's.
	staleTrust = 10 * time.Minute
	// trustPause is the time after a failed fetch in which the trusted root
	// held is used without trying again.
	trustPause = 5 * time.Minute
	// eagerPause is that time for what the trusted root held does not trust: as
	// long as there is no newer one, it cannot be served.
	eagerPause = time.Second
	// trustLimit is the time that a fetch may take.
	trustLimit = time.Minute
	// maxTrustedRoot bounds a trusted root file, in bytes. Sigstore's has 7 KiB.
	maxTrustedRoot = 4 << 20
)

// errOutdated says that what is not trusted may be by a newer trusted root, which
// cannot be had.
var errOutdated = errors.New("the trusted root may be out of date, and cannot be renewed")

// A Trust holds the trusted root: which logs and authorities to believe.
// It is safe for concurrent use.
type Trust struct {
	// load returns one kept from before together with an error if there is no
	// better one.
	load    func(context.Context) (root.TrustedMaterial, error)
	maxAge  time.Duration
	flights *flight.Group[root.TrustedMaterial]

	mu      sync.Mutex
	current root.TrustedMaterial
	loaded  time.Time          // when its loading began; zero: it is one kept from before
	failed  time.Time          // when loading failed last
	cancel  context.CancelFunc // ends the loading under way; nil: there is none
	closed  bool
}

// FileTrust returns the trust in a trusted_root.json. It is read on first need,
// and again where it does not trust what may be this identity's or the log's.
func FileTrust(path string) *Trust {
	var p parser
	return newTrust(math.MaxInt64, func(context.Context) (root.TrustedMaterial, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, maxTrustedRoot))
		if err != nil {
			return nil, err
		}
		tr, err := p.parse(b)
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", path, err)
		}
		return tr, nil
	})
}

// A parser parses trusted roots, one after the other, and the same one once: what
// has been judged by it need not be judged again.
type parser struct {
	text   []byte
	parsed root.TrustedMaterial
}

func (p *parser) parse(text []byte) (root.TrustedMaterial, error) {
	if p.parsed != nil && bytes.Equal(text, p.text) {
		return p.parsed, nil
	}
	tr, err := root.NewTrustedRootFromJSON(text)
	if err != nil {
		return nil, err
	}
	p.text, p.parsed = text, tr
	return tr, nil
}

func newTrust(maxAge time.Duration, load func(context.Context) (root.TrustedMaterial, error)) *Trust {
	return &Trust{load: load, maxAge: maxAge, flights: flight.NewGroup[root.TrustedMaterial](2 * trustLimit)}
}

// Material returns the trusted root held. Where that is older than it may be, a
// newer one is loaded meanwhile, for later callers: who was trusted then is
// known, and who is not yet trusted is only missing, which judge sees. Only
// where none is held the caller waits.
func (t *Trust) Material(ctx context.Context) (root.TrustedMaterial, error) {
	if tm, _ := t.held(); tm != nil {
		t.Prepare(ctx)
		return tm, nil
	}
	return t.flights.Do(ctx, "", t.fetch(t.maxAge))
}

// Prepare begins to load the trusted root, if there is none yet or it is older
// than it may be, and does not wait for it.
func (t *Trust) Prepare(ctx context.Context) {
	if t.due(t.maxAge) && !t.loading() {
		t.flights.Start(ctx, "", t.fetch(t.maxAge))
	}
}

// Close ends loading under way. Nobody may wait for it any more. What is loaded
// can be used afterwards.
func (t *Trust) Close() {
	t.mu.Lock()
	t.closed = true
	if t.cancel != nil {
		t.cancel()
	}
	t.mu.Unlock()
	t.flights.Close()
}

// fresh returns a trusted root that is no older than staleTrust and has been
// loaded after a time, and waits for it: what was logged at that time may be by
// one that came in between. One loaded after the call will do, as clocks differ.
// Every error wraps errOutdated.
func (t *Trust) fresh(ctx context.Context, after time.Time) (root.TrustedMaterial, error) {
	called := time.Now()
	for {
		tm, loaded, failed := t.state()
		fresh := func(loaded time.Time) bool {
			return time.Since(loaded) <= staleTrust && (loaded.After(after) || !loaded.Before(called))
		}
		if fresh(loaded) {
			return tm, nil
		}
		if time.Since(failed) <= eagerPause {
			return nil, errOutdated
		}
		err := sleep(ctx, eagerPause-time.Since(loaded))
		if err == nil {
			_, err = t.flights.Do(ctx, "", func(ctx context.Context) (root.TrustedMaterial, error) {
				if tm, loaded, _ := t.state(); fresh(loaded) {
					return tm, nil
				}
				return t.renew(ctx)
			})
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errOutdated, err)
		}
	}
}

// fetch returns the call that loads the trusted root, unless that was done
// since the caller looked.
func (t *Trust) fetch(maxAge time.Duration) func(context.Context) (root.TrustedMaterial, error) {
	return func(ctx context.Context) (root.TrustedMaterial, error) {
		if !t.due(maxAge) {
			tm, _ := t.held()
			return tm, nil
		}
		return t.renew(ctx)
	}
}

// renew loads the trusted root. One kept from before serves where none is held,
// and does not pass for one that has just been loaded.
func (t *Trust) renew(ctx context.Context) (root.TrustedMaterial, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !t.begin(cancel) {
		return nil, flight.ErrClosed
	}
	began := time.Now()
	tm, err := t.load(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cancel = nil
	if err != nil {
		t.failed = time.Now()
		if tm == nil {
			return nil, fmt.Errorf("load the trusted root: %w", err)
		}
		if t.current == nil {
			t.current = tm
		}
		return t.current, nil
	}
	t.current, t.loaded, t.failed = tm, began, time.Time{}
	return tm, nil
}

// begin notes what ends the loading that begins, unless t is closed.
func (t *Trust) begin(cancel context.CancelFunc) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.cancel = cancel
	}
	return !t.closed
}

// judge calls f with the trusted root. If f fails for want of trust, it is
// called again with a trusted root that is no older than staleTrust, nor than
// what is not trusted, for which this waits. Where that cannot be had, the error wraps errOutdated: whether
// what is not trusted is this identity's cannot be told.
func (t *Trust) judge(ctx context.Context, f func(root.TrustedMaterial) error) error {
	tm, err := t.Material(ctx)
	if err != nil {
		return err
	}
	err = f(tm)
	if !errors.Is(err, errUntrusted) && !errors.Is(err, ErrUnsigned) {
		return err
	}
	var after time.Time
	if u := (*untrustedError)(nil); errors.As(err, &u) {
		after = u.at.Add(time.Second) // it is cut to whole seconds
	}
	again, terr := t.fresh(ctx, after)
	if terr != nil || again == tm {
		return errors.Join(err, terr)
	}
	return f(again)
}

// held returns the trusted root loaded, if any, and its age.
func (t *Trust) held() (root.TrustedMaterial, time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.current, time.Since(t.loaded)
}

// state returns the trusted root loaded, if any, when its loading began, and
// when loading failed last.
func (t *Trust) state() (root.TrustedMaterial, time.Time, time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.current, t.loaded, t.failed
}

// loading reports whether a trusted root is being loaded.
func (t *Trust) loading() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cancel != nil
}

// due reports whether the trusted root is to be loaded for who wants one no
// older than maxAge. It is not where that has just failed.
func (t *Trust) due(maxAge time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	pause := trustPause
	if maxAge < t.maxAge {
		pause = eagerPause
	}
	return t.current == nil || time.Since(t.loaded) > maxAge && time.Since(t.failed) > pause
}
