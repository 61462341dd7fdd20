// Package cloudlog writes log records in the form that Google Cloud Logging
// reads from a process's output, one JSON object a line.
//
// It is a handler of log/slog. It differs from that package's own in names and
// in cost: severity and message are what Cloud Logging calls level and msg, a
// duration is a string such as "0.012000000s", which is how protocol buffers
// have it in JSON, and the top-level attributes trace, spanId and traceSampled
// get the names under which Cloud Logging takes them out of the payload. A
// service that answers from memory spends a good part of its time on its log,
// so nothing is allocated for a line.
package cloudlog

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/term"
)

// The forms of a log line.
const (
	JSON = "json"
	Text = "text"
)

// New returns a logger that writes lines of a form to w, from level INFO. In
// any other form than these two, such as the empty one, lines are text where w
// is a terminal and JSON elsewhere. Traces are named as those of a Google Cloud
// project if that is not empty.
func New(w io.Writer, form, project string) *slog.Logger {
	if form == Text || form != JSON && terminal(w) {
		return slog.New(slog.NewTextHandler(w, nil))
	}
	return slog.New(NewHandler(w, project))
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
