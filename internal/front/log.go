package front

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/tlogistry/tlogistry/internal/ociref"
	"github.com/tlogistry/tlogistry/internal/record"
)

// NewLogger returns a logger that writes JSON lines with the field names that
// Cloud Logging gives a meaning: severity, message and time.
func NewLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{ReplaceAttr: cloudAttr}))
}

func cloudAttr(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.MessageKey:
		a.Key = "message"
	case slog.LevelKey:
		a.Key = "severity"
		if level, ok := a.Value.Any().(slog.Level); ok && level == slog.LevelWarn {
			a.Value = slog.StringValue("WARNING")
		}
	}
	return a
}

// A trace gathers what a request's log line says.
type trace struct {
	start    time.Time
	req      ociref.Request
	digest   string // of the manifest that the registry served
	outcome  record.Outcome
	sighting record.Sighting
	first    bool
	err      error
	gone     bool // the client went away before there was an answer
}

// statusClosed is logged where the client went away before there was an
// answer: what was written then reached nobody. The number is nginx's.
const statusClosed = 499

// seconds formats a duration in the only form that Cloud Logging reads.
func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', 9, 64) + "s"
}

// clip cuts what others chose to what a log line bears.
func clip(s string) string {
	const most = 2048 // bytes; more than any path of the registry API has
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// logRequest writes the one line of a request.
func (h *Handler) logRequest(r *http.Request, t *trace, w *countingWriter) {
	if h.o.Logger == nil {
		return
	}
	status := w.status
	if t.gone {
		status = statusClosed
	}
	attrs := []slog.Attr{
		slog.Group("httpRequest",
			"requestMethod", r.Method,
			"requestUrl", clip(r.URL.EscapedPath()),
			"status", status,
			"responseSize", w.size,
			"userAgent", clip(r.UserAgent()),
			"latency", seconds(time.Since(t.start))),
	}
	if t.req.Repo != "" {
		attrs = append(attrs, slog.String("kind", t.req.Kind.String()), slog.String("reference", t.req.String()))
	}
	if t.digest != "" {
		attrs = append(attrs, slog.String("digest", t.digest))
	}
	if t.sighting.UUID != "" {
		attrs = append(attrs,
			slog.String("outcome", t.outcome.String()),
			slog.String("recorded", t.sighting.Digest),
			slog.Int64("logIndex", t.sighting.Index),
			slog.Bool("firstSeen", t.first))
	}
	level := slog.LevelInfo
	if t.err != nil {
		attrs = append(attrs, slog.String("error", clip(t.err.Error())))
		level = slog.LevelWarn
		if status >= http.StatusInternalServerError {
			level = slog.LevelError
		}
	}
	// The request's context may have ended; the line is written all the same.
	h.o.Logger.LogAttrs(context.WithoutCancel(r.Context()), level, "request", attrs...)
}
