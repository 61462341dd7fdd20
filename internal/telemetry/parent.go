package telemetry

import (
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
)

const (
	traceDigits = 32
	spanDigits  = 16
)

// A Parent is the trace, and the span in it, that a request says it belongs to.
// Whoever asks says so: it is for who looks for what belongs together, and
// nothing may depend on it.
type Parent struct {
	Trace   string // 32 hex digits in lower case, not all zero; empty for none
	Span    string // 16 hex digits in lower case, not all zero; empty for none
	Sampled bool   // whether the caller keeps the trace
}

// ParseParent reads the parent in a request's header: a valid traceparent (W3C
// Trace Context, level 1, section 3.2), else a valid X-Cloud-Trace-Context
// (Google's older header). One that is there twice is read no more than one that
// is malformed: both mean no parent.
func ParseParent(h http.Header) Parent {
	if p, ok := w3c(only(h["Traceparent"])); ok {
		return p
	}
	p, _ := cloud(only(h["X-Cloud-Trace-Context"]))
	return p
}

func only(values []string) string {
	if len(values) != 1 {
		return ""
	}
	return values[0]
}

// w3c reads version, trace, parent span and flags, of 2, 32, 16 and 2 digits
// with a dash between them. Only later versions may have more, after a dash.
// Flags other than the lowest are reserved, and not for this version to judge.
func w3c(s string) (Parent, bool) {
	const length = 2 + 1 + traceDigits + 1 + spanDigits + 1 + 2
	if len(s) < length || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return Parent{}, false
	}
	version, p, flags := s[:2], Parent{Trace: s[3:35], Span: s[36:52]}, s[53:length]
	switch {
	case !digits(version) || version == "ff" || !digits(flags),
		version == "00" && len(s) != length,
		len(s) > length && s[length] != '-',
		!identifier(p.Trace, traceDigits) || !identifier(p.Span, spanDigits):
		return Parent{}, false
	}
	last, _ := strconv.ParseUint(flags[1:], 16, 8) // a digit, as was checked
	p.Sampled = last&1 == 1
	return p, true
}

// cloud reads TRACE_ID/SPAN_ID;o=OPTIONS, of which the trace is 32 hex digits,
// the span a decimal number of 64 bits, and the lowest bit of the options says
// whether the trace is kept. Span and options may be missing.
func cloud(s string) (Parent, bool) {
	const most = traceDigits + len("/18446744073709551615;o=255")
	if len(s) < traceDigits || len(s) > most {
		return Parent{}, false
	}
	p, rest := Parent{Trace: s[:traceDigits]}, s[traceDigits:]
	rest, options, given := strings.Cut(rest, ";o=")
	if given {
		n, err := strconv.ParseUint(options, 10, 8)
		if err != nil {
			return Parent{}, false
		}
		p.Sampled = n&1 == 1
	}
	if rest != "" {
		span, found := strings.CutPrefix(rest, "/")
		n, err := strconv.ParseUint(span, 10, 64)
		if !found || err != nil {
			return Parent{}, false
		}
		if n > 0 {
			p.Span = hex.EncodeToString(binary.BigEndian.AppendUint64(nil, n))
		}
	}
	if !identifier(p.Trace, traceDigits) {
		return Parent{}, false
	}
	return p, true
}

// identifier reports whether s is an identifier of n digits: not all are zero.
func identifier(s string, n int) bool {
	return len(s) == n && digits(s) && strings.Trim(s, "0") != ""
}

func digits(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
