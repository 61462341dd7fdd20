package page

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tlogistry/tlogistry/internal/flight"
	"github.com/tlogistry/tlogistry/internal/ociref"
	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/upstream"
)

const (
	// maxOthers is how many entries of others a page reads at most.
	maxOthers = 50
	// maxCheckpoint bounds the checkpoint that a page shows, in bytes. It may
	// have any number of signatures by others.
	maxCheckpoint = 64 << 10
)

// A look is what was found out about a tag. It is not changed once it is made.
type look struct {
	at       time.Time
	outcome  record.Outcome
	sighting record.Sighting // of the record that decides; zero if outcome is Unseen
	proof    *record.Proof   // nil if it cannot be had

	current string // the digest that the registry serves; empty if it cannot be told
	reason  string // why it cannot

	identity string           // whose records count; empty if it has none or is not known
	others   []record.Witness // each other identity's first record, lowest index first
	more     int              // entries not read
	unasked  bool             // others could not be read
}

// A logError says that the log keeps a page from telling anything.
type logError struct{ err error }

func (e *logError) Error() string { return "cannot look up the tag: " + e.err.Error() }
func (e *logError) Unwrap() error { return e.err }

// find returns what is known of a tag, found out within the last moments or
// now. Whoever asks for one tag at the same time shares that. Its error is a
// logError.
func (p *Pages) find(ctx context.Context, req ociref.Request) (*look, error) {
	ref := req.String()
	if l, ok := p.looks.Get(ref); ok && time.Since(l.at) < fresh {
		return l, nil
	}
	l, err := p.flights.Do(ctx, ref, func(ctx context.Context) (*look, error) {
		l, err := p.ask(ctx, req)
		if err == nil {
			p.looks.Add(ref, l)
		}
		return l, err
	})
	if err != nil {
		return nil, &logError{err}
	}
	return l, nil
}

// ask asks the log and the registry at the same time. Only that the log cannot
// be asked for the record leaves nothing to tell.
func (p *Pages) ask(ctx context.Context, req ociref.Request) (*look, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := &look{at: time.Now()}
	var registry, others sync.WaitGroup
	registry.Go(func() { p.catch(ctx, func() { l.askRegistry(ctx, p, req) }) })
	others.Go(func() { p.catch(ctx, func() { l.askOthers(ctx, p, req) }) })
	sightings, err := p.c.Log.Lookup(ctx, req.String())
	if err != nil {
		cancel()
	}
	registry.Wait()
	if err == nil {
		l.outcome, l.sighting, err = record.Settle(ctx, l.current, sightings, p.c.Log.Resolve)
	}
	if err == nil && l.outcome != record.Unseen {
		l.prove(ctx, p)
	}
	if err != nil {
		cancel()
	}
	others.Wait()
	return l, err
}

// catch does a part of a look. A panic there leaves that part out.
func (p *Pages) catch(ctx context.Context, part func()) {
	var caught *flight.PanicError
	if errors.As(flight.Catch(part), &caught) {
		p.c.Logger.ErrorContext(ctx, "panic", "error", fmt.Sprint(caught.Value), "stack", string(caught.Stack))
	}
}

func (l *look) askRegistry(ctx context.Context, p *Pages, req ociref.Request) {
	l.reason = fmt.Sprintf("registry %s cannot be asked", req.Registry()) // until it has answered
	ctx, cancel := context.WithTimeout(ctx, partLimit)
	defer cancel()
	digest, err := p.c.Registry.Digest(ctx, req)
	var known *upstream.Error
	switch {
	case err == nil:
		l.current, l.reason = digest, ""
	case errors.As(err, &known):
		l.reason = known.Message
	}
	if err != nil {
		p.c.Logger.InfoContext(ctx, "tag page without the registry's digest", "reference", req.String(), "error", err.Error())
	}
}

func (l *look) prove(ctx context.Context, p *Pages) {
	ctx, cancel := context.WithTimeout(ctx, partLimit)
	defer cancel()
	proof, err := p.c.Log.Proof(ctx, l.sighting)
	if err == nil && len(proof.Checkpoint) > maxCheckpoint {
		err = fmt.Errorf("its checkpoint has %d bytes", len(proof.Checkpoint))
	}
	if err != nil {
		p.c.Logger.WarnContext(ctx, "tag page without the record's proof", "reference", l.sighting.Ref, "error", err.Error())
		return
	}
	l.proof = &proof
}

func (l *look) askOthers(ctx context.Context, p *Pages, req ociref.Request) {
	if p.c.Others == nil {
		return
	}
	l.unasked = true // until it has been answered
	ctx, cancel := context.WithTimeout(ctx, partLimit)
	defer cancel()
	own, err := p.c.Subject(ctx)
	var found []record.Witness
	if err == nil {
		l.identity = own
		found, l.more, err = p.c.Others(ctx, req.String(), maxOthers)
	}
	if err != nil {
		p.c.Logger.WarnContext(ctx, "tag page without others' records", "reference", req.String(), "error", err.Error())
		return
	}
	l.unasked = false
	seen := map[record.Identity]bool{{Issuer: p.c.Issuer, Subject: own}: true}
	for _, w := range found {
		long := len(w.Identity.Issuer)+len(w.Identity.Subject) > record.MaxSize // which no record's are
		if !seen[w.Identity] && !long {
			seen[w.Identity] = true
			l.others = append(l.others, w)
		}
	}
}
