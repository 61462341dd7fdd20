package cloudlog

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// keptBuffer is the longest buffer that is kept for the next line, in bytes. A
// request's line has about 700.
const keptBuffer = 16 << 10

// A Handler writes records as JSON. Each is one Write. It is safe for
// concurrent use.
type Handler struct {
	out     *output
	project string
	given   []given // by WithAttrs and WithGroup, in that order
}

// An output is what a handler and those made from it write to.
type output struct {
	mu   sync.Mutex // held for each write, so that lines do not mix
	w    io.Writer
	bufs sync.Pool // of *[]byte
}

// A given is a group that was opened, or attributes.
type given struct {
	group string // empty for attributes
	attrs []slog.Attr
}

// NewHandler returns a handler that writes records from level INFO to w.
// Traces are named as those of a Google Cloud project if that is not empty:
// Cloud Logging reads both forms, and prefers the one without.
func NewHandler(w io.Writer, project string) *Handler {
	return &Handler{project: project, out: &output{w: w, bufs: sync.Pool{New: func() any {
		b := make([]byte, 0, 1024)
		return &b
	}}}}
}

// Enabled reports whether records of a level are written.
func (h *Handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo
}

// WithAttrs returns a handler that gives each record these attributes too.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(given{attrs: slices.Clone(attrs)}, len(attrs) == 0)
}

// WithGroup returns a handler that puts what follows into a group.
func (h *Handler) WithGroup(name string) slog.Handler {
	return h.with(given{group: name}, name == "")
}

func (h *Handler) with(g given, empty bool) *Handler {
	if empty {
		return h
	}
	more := *h
	more.given = append(slices.Clip(h.given), g)
	return &more
}

// Handle writes a record. Its error is the write's.
func (h *Handler) Handle(_ context.Context, r slog.Record) error {
	buf, _ := h.out.bufs.Get().(*[]byte)
	l := line{b: append((*buf)[:0], '{'), project: h.project}
	l.key("severity")
	l.string(severity(r.Level))
	l.key("message")
	l.string(r.Message)
	if !r.Time.IsZero() {
		l.key("time")
		l.time(r.Time)
	}
	l.given(h.given, r)
	l.b = append(l.b, '}', '\n')
	err := h.out.write(l.b)
	if cap(l.b) <= keptBuffer {
		*buf = l.b
		h.out.bufs.Put(buf)
	}
	return err
}

func (o *output) write(b []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, err := o.w.Write(b)
	return err
}

// given writes the attributes and groups of a handler, and in the innermost
// group those of the record.
func (l *line) given(list []given, r slog.Record) {
	if len(list) == 0 {
		r.Attrs(func(a slog.Attr) bool {
			l.attr(a)
			return true
		})
		return
	}
	g, rest := list[0], list[1:]
	if g.group != "" {
		l.group(g.group, func() { l.given(rest, r) })
		return
	}
	for _, a := range g.attrs {
		l.attr(a)
	}
	l.given(rest, r)
}

// severity returns Cloud Logging's name of a level.
func severity(level slog.Level) string {
	switch {
	case level < slog.LevelInfo:
		return "DEBUG"
	case level < slog.LevelWarn:
		return "INFO"
	case level < slog.LevelError:
		return "WARNING"
	}
	return "ERROR"
}

// time writes a time as RFC 3339 has it.
func (l *line) time(t time.Time) {
	l.b = append(l.b, '"')
	l.b = t.UTC().AppendFormat(l.b, time.RFC3339Nano)
	l.b = append(l.b, '"')
}
