package front

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/tlogistry/tlogistry/internal/flight"
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
	if t.exempt {
		return h.byExemptTag(ctx, req, t)
	}
	m, sightings, err := h.fetch(ctx, req, t.name)
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
	a.fields = append(a.fields, tlogFields(s)...)
	if first {
		a.fields = append(a.fields, field{"Tlog-First-Seen", "true"})
	}
	return a, nil
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
	a.fields = append(a.fields, field{"Tlog-Exempt", "true"})
	return a, nil
}

// fetch asks the registry and the log at the same time, unless the log has
// nothing to ask. The registry's error comes first: where it has no such tag, the
// log does not matter.
func (h *Handler) fetch(ctx context.Context, req ociref.Request, ref string) (*upstream.Manifest, []record.Sighting, error) {
	if h.recaller != nil {
		if sightings, ok := h.recaller.Recall(ctx, ref); ok {
			m, err := h.o.Upstream.Manifest(ctx, req)
			return m, sightings, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type found struct {
		sightings []record.Sighting
		err       error
	}
	c := make(chan found, 1)
	go func() {
		var f found
		if p := flight.Catch(func() { f.sightings, f.err = h.o.Log.Lookup(ctx, ref) }); p != nil {
			f.err = p
		}
		c <- f
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
	outcome, s, err := record.Settle(ctx, digest, sightings, h.o.Log.Resolve)
	if err != nil {
		err = &logError{doing: "look up", err: err}
	}
	return outcome, s, err
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
	// A write that this pull shared may have been of another digest.
	return outcome, s, s.UUID == own.UUID && outcome == record.Same, nil
}

func manifestAnswer(m *upstream.Manifest) *answer {
	return &answer{
		status: http.StatusOK,
		shared: m.Header,
		fields: []field{{"Content-Type", m.MediaType}, {"Docker-Content-Digest", m.Digest}},
		body:   m.Bytes,
	}
}

// tlogFields name the record that decided. The names are the service's own.
func tlogFields(s record.Sighting) []field {
	return []field{
		{"Tlog-Integratedtime", s.Time.UTC().Format(time.RFC3339)},
		{"Tlog-Logindex", strconv.FormatInt(s.Index, 10)},
		{"Tlog-Uuid", s.UUID},
	}
}
