package cloudlog

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"time"
)

// A line is a JSON object that is being written.
type line struct {
	b       []byte
	project string
	depth   int // of groups around what is written
}

// Names that Cloud Logging takes out of the payload.
// https://cloud.google.com/logging/docs/structured-logging
const (
	traceField   = "logging.googleapis.com/trace"
	spanField    = "logging.googleapis.com/spanId"
	sampledField = "logging.googleapis.com/trace_sampled"
)

// attr writes an attribute: none that is empty, a group without a name as if
// its members stood in its place, as slog.Handler demands.
func (l *line) attr(a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		l.members(a.Key, v.Group())
		return
	}
	if a.Key == "" && v.Kind() == slog.KindAny && v.Any() == nil {
		return
	}
	if l.depth == 0 {
		switch a.Key {
		case "trace":
			l.trace(v.String())
			return
		case "spanId":
			a.Key = spanField
		case "traceSampled":
			a.Key = sampledField
		}
	}
	l.key(a.Key)
	l.value(v)
}

// trace writes the name of a trace.
func (l *line) trace(id string) {
	l.key(traceField)
	if l.project == "" {
		l.string(id)
		return
	}
	l.string("projects/" + l.project + "/traces/" + id)
}

func (l *line) members(name string, attrs []slog.Attr) {
	if name == "" {
		for _, a := range attrs {
			l.attr(a)
		}
		return
	}
	l.group(name, func() {
		for _, a := range attrs {
			l.attr(a)
		}
	})
}

// group writes a group with what members writes, and nothing if that is nothing.
func (l *line) group(name string, members func()) {
	before := len(l.b)
	l.key(name)
	l.b = append(l.b, '{')
	begin := len(l.b)
	l.depth++
	members()
	l.depth--
	if len(l.b) == begin {
		l.b = l.b[:before]
		return
	}
	l.b = append(l.b, '}')
}

// key writes a member's name. No value ends with the byte that opens an object.
func (l *line) key(name string) {
	if l.b[len(l.b)-1] != '{' {
		l.b = append(l.b, ',')
	}
	l.string(name)
	l.b = append(l.b, ':')
}

func (l *line) value(v slog.Value) {
	switch v.Kind() {
	case slog.KindString:
		l.string(v.String())
	case slog.KindInt64:
		l.b = strconv.AppendInt(l.b, v.Int64(), 10)
	case slog.KindUint64:
		l.b = strconv.AppendUint(l.b, v.Uint64(), 10)
	case slog.KindFloat64:
		l.float(v.Float64())
	case slog.KindBool:
		l.b = strconv.AppendBool(l.b, v.Bool())
	case slog.KindDuration:
		l.duration(v.Duration())
	case slog.KindTime:
		l.time(v.Time())
	default:
		l.any(v.Any())
	}
}

// string writes a string. Nearly all are printable ASCII; the rest is for
// encoding/json to write, which makes what is not UTF-8 into what is.
func (l *line) string(s string) {
	before := len(l.b)
	l.b = append(l.b, '"')
	plain := 0 // begin of what needs nothing done to it
	for i := 0; i < len(s); i++ {
		switch todo[s[i]] {
		case escaped: // docker's User-Agent has some of these
			l.b = append(append(l.b, s[plain:i]...), '\\')
			plain = i
		case other:
			text, _ := json.Marshal(s) // a string cannot fail
			l.b = append(l.b[:before], text...)
			return
		}
	}
	l.b = append(append(l.b, s[plain:]...), '"')
}

// What is to be done to a byte of a string.
const (
	nothing = iota
	escaped
	other
)

var todo = func() (of [256]uint8) {
	for c := range of {
		if c < ' ' || c > '~' {
			of[c] = other
		}
	}
	of['"'], of['\\'] = escaped, escaped
	return of
}()

// float writes a number, or a string for what is no number in JSON.
func (l *line) float(f float64) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		l.string(strconv.FormatFloat(f, 'g', -1, 64))
		return
	}
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	l.b = strconv.AppendFloat(l.b, f, format, -1, 64)
}

// duration writes seconds with nine decimals.
func (l *line) duration(d time.Duration) {
	l.b = append(l.b, '"')
	n := uint64(d)
	if d < 0 {
		l.b = append(l.b, '-')
		n = -n
	}
	const second = uint64(time.Second)
	l.b = strconv.AppendUint(l.b, n/second, 10)
	l.b = append(l.b, '.')
	point := len(l.b)
	// One more digit before the decimals keeps their leading zeros.
	l.b = strconv.AppendUint(l.b, second+n%second, 10)
	l.b = append(l.b[:point], l.b[point+1:]...)
	l.b = append(l.b, 's', '"')
}

// any writes any other value as slog's own handler does: an error by its text,
// the rest as encoding/json has it. A value that cannot be written must not
// keep the rest of the line from being read.
func (l *line) any(v any) {
	before := len(l.b)
	defer func() {
		if p := recover(); p != nil {
			l.b = l.b[:before]
			l.string(fmt.Sprintf("!PANIC: %v", p))
		}
	}()
	if err, ok := v.(error); ok {
		if _, ok := v.(json.Marshaler); !ok {
			l.string(err.Error())
			return
		}
	}
	text, err := json.Marshal(v)
	if err != nil {
		l.string("!ERROR: " + err.Error())
		return
	}
	l.b = append(l.b, text...)
}
