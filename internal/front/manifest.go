package front

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/tlogistry/tlogistry/internal/ociref"
	"github.com/tlogistry/tlogistry/internal/record"
	"github.com/tlogistry/tlogistry/internal/upstream"
)

// byDigest answers a manifest request by digest. The digest says all that a
// record could, so none is made and none is looked for.
func (h *Handler) byDigest(ctx context.Context, req ociref.Request) (*answer, error) {
	m, err := h.o.Upstream.Manifest(ctx, req)
	if err != nil {
		return nil, err
	}
	return manifestAnswer(m), nil
}

// byTag answers a manifest request by tag: served as recorded, or recorded and
// then served, or refused.
func (h *Handler) byTag(ctx context.Context, req ociref.Request, t *trace) (*answer, error) {
	if t.exempt = h.exempt(req); t.exempt {
		return h.byExemptTag(ctx, req, t)
	}
	m, sightings, err := h.fetch(ctx, req)
	if err != nil {
		return nil, err
	}
	t.digest = m.Digest
	outcome, s, err := h.decide(ctx, m.Digest, sightings)
	if err != nil {
		return nil, err
	}
	first := false
	if outcome == record.Unseen {
		if outcome, s, first, err = h.record(ctx, req, m.Digest); err != nil {
			return nil, err
		}
	}
	t.outcome, t.sighting, t.first = outcome, s, first
	if outcome != record.Same {
		return nil, &movedError{req: req, served: m.Digest, recorded: s}
	}
	a := manifestAnswer(m)
	maps.Copy(a.header, tlogHeader(s))
	if first {
		a.header.Set("Tlog-First-Seen", "true")
	}
	return a, nil
}

// exempt reports whether the operator lets a tag move.
func (h *Handler) exempt(req ociref.Request) bool {
	return slices.ContainsFunc(h.o.Mutable, func(p ociref.TagPattern) bool { return p.Match(req) })
}

// byExemptTag answers with what the registry serves now. The log is asked
// nothing: what it may say of the tag does not count.
func (h *Handler) byExemptTag(ctx context.Context, req ociref.Request, t *trace) (*answer, error) {
	m, err := h.o.Upstream.Manifest(ctx, req)
	if err != nil {
		return nil, err
	}
	t.digest = m.Digest
	a := manifestAnswer(m)
	a.header.Set("Tlog-Exempt", "true")
	return a, nil
}

// fetch asks the registry and the log at the same time. The registry's error
// comes first: where it has no such tag, the log does not matter.
func (h *Handler) fetch(ctx context.Context, req ociref.Request) (*upstream.Manifest, []record.Sighting, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type found struct {
		sightings []record.Sighting
		err       error
	}
	c := make(chan found, 1)
	go func() {
		s, err := h.o.Log.Lookup(ctx, req.String())
		c <- found{s, err}
	}()
	m, err := h.o.Upstream.Manifest(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	f := <-c
	if f.err != nil {
		return nil, nil, &logError{doing: "look up", err: f.err}
	}
	return m, f.sightings, nil
}

// decide applies the rule to sightings, naming the deciding one if it has to.
func (h *Handler) decide(ctx context.Context, digest string, sightings []record.Sighting) (record.Outcome, record.Sighting, error) {
	for {
		outcome, s := record.Decide(digest, sightings)
		if outcome != record.Unnamed {
			return outcome, s, nil
		}
		named, err := h.o.Log.Resolve(ctx, s, digest)
		switch {
		case errors.Is(err, record.ErrForeign):
			sightings = slices.DeleteFunc(slices.Clone(sightings), func(o record.Sighting) bool { return o.UUID == s.UUID })
			continue
		case err != nil:
			return outcome, s, &logError{doing: "look up", err: err}
		case named.Digest == "":
			return outcome, s, nil
		}
		outcome, s = record.Decide(digest, []record.Sighting{named})
		return outcome, s, nil
	}
}

// record writes the first record of a tag and decides by what the log then
// shows: another instance may have been first.
func (h *Handler) record(ctx context.Context, req ociref.Request, digest string) (record.Outcome, record.Sighting, bool, error) {
	own, err := h.o.Log.Add(ctx, req.String(), digest)
	switch {
	case errors.Is(err, record.ErrRecorded):
		own = record.Sighting{}
	case err != nil:
		return 0, own, false, &logError{doing: "record", err: err}
	}
	sightings, err := h.o.Log.Lookup(ctx, req.String())
	if err != nil {
		return 0, own, false, &logError{doing: "look up", err: err}
	}
	outcome, s, err := h.decide(ctx, digest, sightings)
	if err != nil {
		return outcome, s, false, err
	}
	if outcome == record.Unseen {
		err := errors.New("the record is not found again")
		return outcome, s, false, &logError{doing: "look up", err: err}
	}
	return outcome, s, s.UUID == own.UUID, nil
}

func manifestAnswer(m *upstream.Manifest) *answer {
	h := clone(m.Header)
	h.Set("Content-Type", m.MediaType)
	h.Set("Docker-Content-Digest", m.Digest)
	return &answer{status: http.StatusOK, header: h, body: m.Bytes}
}

// tlogHeader names the record that decided. The names are the service's own.
func tlogHeader(s record.Sighting) http.Header {
	h := make(http.Header, 3)
	h.Set("Tlog-Integratedtime", s.Time.UTC().Format(time.RFC3339))
	h.Set("Tlog-Logindex", strconv.FormatInt(s.Index, 10))
	h.Set("Tlog-Uuid", s.UUID)
	return h
}
