package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tlogistry/tlogistry/e2e/sigstore"
)

// An observedLine is what a request's log line says of what it made.
type observedLine struct {
	Message   string
	Verdict   string
	Reference string
	LogIndex  *int64
	Trace     string `json:"logging.googleapis.com/trace"`
	SpanID    string `json:"logging.googleapis.com/spanId"`

	RegistryRequests, LogRequests, FulcioRequests, MetadataRequests int
	RegistryMs, LogMs, FulcioMs, MetadataMs                         float64
}

// lastLine waits for n lines of pulls and returns the last.
func (s *service) lastLine(t *testing.T, n int) observedLine {
	t.Helper()
	var lines []observedLine
	within(t, "line of the request", func() bool {
		lines = nil
		for text := range strings.Lines(s.logs.String()) {
			var l observedLine
			if json.Unmarshal([]byte(text), &l) == nil && l.Message == "request" && l.Reference != "" {
				lines = append(lines, l)
			}
		}
		return len(lines) == n
	})
	return lines[n-1]
}

// pulled makes a pull within a trace.
func (s *service) pulled(t *testing.T, tag, trace string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/v2/app/manifests/"+tag, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Traceparent", "00-"+trace+"-b7ad6b7169203331-01")
	resp, err := noRedirect.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

// TestObserve makes a first, a later and a refused pull, with an entry in the
// log that is none of ours. What the log lines, the OTLP collector and
// Prometheus are told is what the proxies in front of everything have counted.
func TestObserve(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	m := meters{rekor: proxied(t, w.RekorURL), fulcio: proxied(t, w.FulcioURL), metadata: proxied(t, w.MetadataHost)}
	w.tag(t, "v1", w.one)
	w.logged(t, "v1", proposal(t, w.author(t, "mallory@example.com"), w.statement(t, "v1", w.two)))
	c := newCollector(t)
	metrics := "127.0.0.1:" + freePort(t)
	// Nothing is exported at intervals, so what arrives was flushed at the end.
	svc := startProcess(t, exec.Command(command, "serve", "--metrics-address", metrics), w.env("HOME="+t.TempDir(),
		"REKOR_URL="+m.rekor.URL, "FULCIO_URL="+m.fulcio.URL, "GCE_METADATA_HOST="+m.metadata.Host,
		"OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL, "OTEL_SERVICE_NAME=front-under-test", "GOOGLE_CLOUD_PROJECT=acme",
		"OTEL_METRIC_EXPORT_INTERVAL=3600000", "OTEL_BSP_SCHEDULE_DELAY=3600000")...)

	index := ""
	sum := map[string]int{}
	traces := []string{strings.Repeat("1", 32), strings.Repeat("2", 32), strings.Repeat("3", 32)}
	lines := make([]observedLine, len(traces))
	for i, pull := range []struct {
		verdict string
		status  int
	}{{"first", 200}, {"served", 200}, {"moved", 403}} {
		m.reset()
		w.registry.Reset()
		if pull.verdict == "moved" {
			w.tag(t, "v1", w.two)
			w.registry.Reset()
		}
		a := svc.pulled(t, "v1", traces[i])
		a.mustStatus(t, pull.status)
		index = a.header.Get("Tlog-Logindex")
		l := svc.lastLine(t, i+1)
		lines[i] = l
		counted := map[string]int{"registry": w.registry.Counts().Total(), "log": m.rekor.Count(), "fulcio": m.fulcio.Count(), "metadata": m.metadata.Count()}
		said := map[string]int{"registry": l.RegistryRequests, "log": l.LogRequests, "fulcio": l.FulcioRequests, "metadata": l.MetadataRequests}
		if !maps.Equal(said, counted) {
			t.Errorf("%s: the line says %v, counted were %v", pull.verdict, said, counted)
		}
		for peer, n := range counted {
			sum[peer] += n
		}
		for peer, ms := range map[string]float64{"registry": l.RegistryMs, "log": l.LogMs, "fulcio": l.FulcioMs, "metadata": l.MetadataMs} {
			if (ms > 0) != (counted[peer] > 0) {
				t.Errorf("%s: %d requests to %s took %v ms", pull.verdict, counted[peer], peer, ms)
			}
		}
		if l.Verdict != pull.verdict || l.Reference != refOf("v1") || l.LogIndex == nil || fmt.Sprint(*l.LogIndex) != index || l.Trace != "projects/acme/traces/"+traces[i] {
			t.Errorf("the line says %+v", l)
		}
	}
	if sum["log"] < 4 || sum["fulcio"] != 1 || sum["metadata"] != 2 || sum["registry"] < 3 {
		t.Errorf("counted %v", sum)
	}
	var told map[string]int64
	within(t, "measure of the last pull", func() bool { // which is taken after its line
		told = prometheusSays(t, metrics)
		return told["tlogistry.pulls{verdict=moved}"] == 1
	})
	svc.stop(t)

	want := map[string]int64{
		"tlogistry.pulls{verdict=first}":  1,
		"tlogistry.pulls{verdict=served}": 1,
		"tlogistry.pulls{verdict=moved}":  1,

		"tlogistry.entries.ignored{}": 1,

		"tlogistry.memory.lookups{hit=false memory=records}":   1,
		"tlogistry.memory.lookups{hit=true memory=records}":    3, // one of them after the write
		"tlogistry.memory.lookups{hit=false memory=manifests}": 2,
		"tlogistry.memory.lookups{hit=true memory=manifests}":  1,
	}
	for series, n := range want {
		if got := c.values[series]; got != n {
			t.Errorf("the collector was told %d of %s, want %d", got, series, n)
		}
	}
	calls := map[string]int{}
	for series, n := range c.values {
		if peer, ok := strings.CutPrefix(series, "tlogistry.call.duration{peer="); ok {
			peer, _, _ = strings.Cut(peer, " ")
			calls[peer] += int(n)
		}
		if s := strings.TrimSuffix(series, "{}"); told[series] != n && told[s] != n {
			t.Errorf("%s: the collector was told %d, Prometheus %d", series, n, told[series])
		}
	}
	if !maps.Equal(calls, sum) {
		t.Errorf("the collector was told of calls %v, counted were %v", calls, sum)
	}
	if !maps.Equal(c.service, map[string]bool{"front-under-test": true}) {
		t.Errorf("sent by %v", c.service)
	}
	for i, l := range lines {
		span, calls := c.request(t, traces[i])
		said := map[string]int{}
		for peer, n := range map[string]int{"registry": l.RegistryRequests, "log": l.LogRequests, "fulcio": l.FulcioRequests, "metadata": l.MetadataRequests} {
			if n > 0 {
				said[peer] = n
			}
		}
		if !maps.Equal(calls, said) || span.Name != "GET manifest" || fmt.Sprintf("%x", span.ParentSpanId) != "b7ad6b7169203331" ||
			fmt.Sprintf("%x", span.SpanId) != l.SpanID || attribute(span.Attributes, "tlogistry.verdict") != l.Verdict ||
			attribute(span.Attributes, "tlogistry.reference") != refOf("v1") || attribute(span.Attributes, "tlogistry.log_index") != index {
			t.Errorf("trace of %+v: calls %v, %v", l, calls, span)
		}
	}
}

// prometheusSays reads the service's own metrics, as the collector names them:
// counters and the counts of histograms.
func prometheusSays(t *testing.T, address string) map[string]int64 {
	t.Helper()
	resp, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, err)
	}
	told := map[string]int64{}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if i := strings.LastIndexByte(line, '}'); i >= 0 {
			name, value = line[:i+1], strings.TrimSpace(line[i+1:])
		}
		name, labels, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
		name = strings.TrimSuffix(strings.TrimSuffix(name, "_seconds_count"), "_total")
		rest, ours := strings.CutPrefix(name, "tlogistry_")
		var n int64
		if _, err := fmt.Sscan(value, &n); !ours || err != nil {
			continue
		}
		list := strings.Split(strings.ReplaceAll(labels, `"`, ""), ",")
		slices.Sort(list)
		told["tlogistry."+strings.ReplaceAll(rest, "_", ".")+"{"+strings.Join(list, " ")+"}"] = n
	}
	return told
}

// TestObserveNothing has no variable say where to export to: nobody is told
// anything, not even who listens at OpenTelemetry's default address.
func TestObserveNothing(t *testing.T) {
	w := newRekorWorld(t, sigstore.Options{})
	w.tag(t, "v1", w.one)
	var connected atomic.Int32
	if l, err := net.Listen("tcp", "127.0.0.1:4318"); err == nil { // else a collector runs on this machine
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.Config.ConnState = func(net.Conn, http.ConnState) { connected.Add(1) } // by default it would be asked over TLS
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.Listener.Close()
		s.Listener = l
		s.Start()
		defer s.Close()
	}
	c := newCollector(t)
	plain := w.direct(t, "OTEL_SERVICE_NAME=x", "OTEL_METRIC_EXPORT_INTERVAL=1", "OTEL_BSP_SCHEDULE_DELAY=1")
	disabled := w.direct(t, "OTEL_SDK_DISABLED=true", "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL, "OTEL_METRIC_EXPORT_INTERVAL=1", "OTEL_BSP_SCHEDULE_DELAY=1")
	for _, svc := range []*service{plain, disabled} {
		svc.get(t, "app", "v1").mustServe(t, w.one)
		svc.stop(t)
	}
	if n := connected.Load(); n > 0 || len(c.values)+len(c.spans) > 0 {
		t.Errorf("%d changes of connections at the default address, %d series and %d spans at the other", n, len(c.values), len(c.spans))
	}
}
