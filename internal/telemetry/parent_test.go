package telemetry

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	spanID  = "b7ad6b7169203331"
)

func TestParseParent(t *testing.T) {
	w3cName, cloudName := "Traceparent", "X-Cloud-Trace-Context"
	good := Parent{Trace: traceID, Span: spanID, Sampled: true}
	for _, tt := range []struct {
		name   string
		header []string // name, value
		want   Parent
	}{
		{"none", nil, Parent{}},
		{"sampled", []string{w3cName, "00-" + traceID + "-" + spanID + "-01"}, good},
		{"not sampled", []string{w3cName, "00-" + traceID + "-" + spanID + "-00"}, Parent{Trace: traceID, Span: spanID}},
		{"other flags", []string{w3cName, "00-" + traceID + "-" + spanID + "-fe"}, Parent{Trace: traceID, Span: spanID}},
		{"later version", []string{w3cName, "cc-" + traceID + "-" + spanID + "-01-what the future will be like"}, good},
		{"later version without more", []string{w3cName, "cc-" + traceID + "-" + spanID + "-01"}, good},
		{"later version, no dash", []string{w3cName, "cc-" + traceID + "-" + spanID + "-01x"}, Parent{}},
		{"version ff", []string{w3cName, "ff-" + traceID + "-" + spanID + "-01"}, Parent{}},
		{"version 00 with more", []string{w3cName, "00-" + traceID + "-" + spanID + "-01-x"}, Parent{}},
		{"upper case", []string{w3cName, "00-" + strings.ToUpper(traceID) + "-" + spanID + "-01"}, Parent{}},
		{"no trace", []string{w3cName, "00-" + strings.Repeat("0", 32) + "-" + spanID + "-01"}, Parent{}},
		{"no span", []string{w3cName, "00-" + traceID + "-" + strings.Repeat("0", 16) + "-01"}, Parent{}},
		{"no hex", []string{w3cName, "00-" + traceID[1:] + "g-" + spanID + "-01"}, Parent{}},
		{"flags no hex", []string{w3cName, "00-" + traceID + "-" + spanID + "-0g"}, Parent{}},
		{"short", []string{w3cName, "00-" + traceID + "-" + spanID + "-0"}, Parent{}},
		{"spaces", []string{w3cName, " 00-" + traceID + "-" + spanID + "-01"}, Parent{}},
		{"twice", []string{w3cName, "00-" + traceID + "-" + spanID + "-01", w3cName, "00-" + traceID + "-" + spanID + "-01"}, Parent{}},
		{"megabytes", []string{w3cName, "00-" + traceID + "-" + spanID + "-01" + strings.Repeat("x", 1<<20)}, Parent{}},

		{"cloud", []string{cloudName, traceID + "/13235353014750950193;o=1"}, good},
		{"cloud, not sampled", []string{cloudName, traceID + "/13235353014750950193;o=0"}, Parent{Trace: traceID, Span: spanID}},
		{"cloud, both bits", []string{cloudName, traceID + "/13235353014750950193;o=3"}, good},
		{"cloud, no options", []string{cloudName, traceID + "/74"}, Parent{Trace: traceID, Span: "000000000000004a"}},
		{"cloud, trace alone", []string{cloudName, traceID}, Parent{Trace: traceID}},
		{"cloud, trace and options", []string{cloudName, traceID + ";o=1"}, Parent{Trace: traceID, Sampled: true}},
		{"cloud, span 0", []string{cloudName, traceID + "/0;o=1"}, Parent{Trace: traceID, Sampled: true}},
		{"cloud, no trace", []string{cloudName, strings.Repeat("0", 32) + "/1;o=1"}, Parent{}},
		{"cloud, span too large", []string{cloudName, traceID + "/18446744073709551616"}, Parent{}},
		{"cloud, hex span", []string{cloudName, traceID + "/" + spanID}, Parent{}},
		{"cloud, signed span", []string{cloudName, traceID + "/+1"}, Parent{}},
		{"cloud, no slash", []string{cloudName, traceID + "1"}, Parent{}},
		{"cloud, bad options", []string{cloudName, traceID + "/1;o=x"}, Parent{}},
		{"cloud, more", []string{cloudName, traceID + "/1;o=1;p=1"}, Parent{}},
		{"cloud, short", []string{cloudName, traceID[1:] + "/1;o=1"}, Parent{}},
		{"cloud, long", []string{cloudName, traceID + "/" + strings.Repeat("0", 50) + "1;o=1"}, Parent{}},
		{"cloud, twice", []string{cloudName, traceID, cloudName, traceID}, Parent{}},

		{"both", []string{w3cName, "00-" + traceID + "-" + spanID + "-01", cloudName, strings.Repeat("1", 32) + "/1;o=0"}, good},
		{"the first is malformed", []string{w3cName, "x", cloudName, traceID + "/74;o=1"}, Parent{Trace: traceID, Span: "000000000000004a", Sampled: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			for i := 0; i < len(tt.header); i += 2 {
				h.Add(tt.header[i], tt.header[i+1])
			}
			if got := ParseParent(h); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

var parent = regexp.MustCompile(`^[0-9a-f]{32} [0-9a-f]{16}$`)

// Whatever is sent, what is read is well-formed, and of a traceparent of
// version 00 OpenTelemetry's own parser reads the same.
func FuzzParseParent(f *testing.F) {
	f.Add("00-"+traceID+"-"+spanID+"-01", traceID+"/74;o=1")
	f.Add("cc-"+traceID+"-"+spanID+"-01-x", traceID+";o=1")
	f.Add("00-"+traceID+"-"+spanID+"-ff", "/;o=")
	f.Add("", traceID+"/18446744073709551615;o=255")
	f.Fuzz(func(t *testing.T, w, c string) {
		h := http.Header{"Traceparent": {w}, "X-Cloud-Trace-Context": {c}}
		got := ParseParent(h)
		span := got.Span
		if span == "" {
			span = spanID
		}
		if got != (Parent{}) && !parent.MatchString(got.Trace+" "+span) {
			t.Errorf("%q, %q: %+v", w, c, got)
		}
		h.Del("X-Cloud-Trace-Context")
		got = ParseParent(h)
		ctx := propagation.TraceContext{}.Extract(t.Context(), propagation.HeaderCarrier(h))
		want := trace.SpanContextFromContext(ctx)
		if !strings.HasPrefix(w, "00-") || !strings.HasSuffix(w, "-00") && !strings.HasSuffix(w, "-01") {
			return // it refuses flags that are reserved
		}
		if want.IsValid() != (got != Parent{}) || want.IsValid() &&
			(want.TraceID().String() != got.Trace || want.SpanID().String() != got.Span || want.IsSampled() != got.Sampled) {
			t.Errorf("%q: got %+v, OpenTelemetry %v", w, got, want)
		}
	})
}
