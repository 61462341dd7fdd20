package export_test

import (
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tlogistry/tlogistry/internal/export"
)

// How a collector is spoken to is for the standard variables to say as well.
func TestHeaders(t *testing.T) {
	got := make(chan string, 1)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Get("X-Team") }))
	defer s.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", s.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=blue")
	e, err := export.Start(t.Context(), export.Config{})
	if err != nil {
		t.Fatal(err)
	}
	measure(t, e)
	if err := e.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if team := <-got; team != "blue" {
		t.Errorf("sent with %q", team)
	}
}

// By gRPC a collector is asked over HTTP/2 in the clear.
func TestProtocol(t *testing.T) {
	asked := make(chan string, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = w.Write(make([]byte, 5)) // an empty message
		w.Header().Set("Grpc-Status", "0")
		asked <- r.URL.Path
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	defer s.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", s.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	e, err := export.Start(t.Context(), export.Config{})
	if err != nil {
		t.Fatal(err)
	}
	measure(t, e)
	if err := e.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := <-asked, "/opentelemetry.proto.collector.trace.v1.TraceService/Export"; got != want {
		t.Errorf("asked for %s, want %s", got, want)
	}
}

// slow is a client of Prometheus's kind that reads nothing for a while.
type slow struct {
	http.ResponseWriter
	begun chan<- struct{}
	until <-chan struct{}
}

func (s slow) Write(p []byte) (int, error) {
	select {
	case s.begun <- struct{}{}:
	case <-s.until:
	}
	<-s.until
	return len(p), nil
}

// So many may ask for the metrics at the same time and no more, as each answer
// takes time and memory.
func TestPrometheusAtOnce(t *testing.T) {
	const most = 4
	e, err := export.Start(t.Context(), export.Config{Prometheus: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	ask := func(w http.ResponseWriter) {
		e.Metrics.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	}
	begun, until := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	for range most {
		all.Go(func() { ask(slow{httptest.NewRecorder(), begun, until}) })
	}
	for range most {
		<-begun
	}
	w := httptest.NewRecorder()
	ask(w)
	close(until)
	all.Wait()
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("one more is answered %d", w.Code)
	}
	w = httptest.NewRecorder()
	if ask(w); w.Code != http.StatusOK {
		t.Errorf("afterwards it is answered %d", w.Code)
	}
}

// OTEL_METRICS_EXPORTER=prometheus listens where the standard variables say,
// until the end.
func TestPrometheusByVariable(t *testing.T) {
	port := freePort(t)
	t.Setenv("OTEL_METRICS_EXPORTER", "prometheus")
	t.Setenv("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1")
	t.Setenv("OTEL_EXPORTER_PROMETHEUS_PORT", port)
	e, err := export.Start(t.Context(), export.Config{})
	if err != nil {
		t.Fatal(err)
	}
	measure(t, e)
	address := "http://127.0.0.1:" + port + "/metrics"
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || !strings.Contains(string(b), "tlogistry_request_duration_seconds_count") {
		t.Errorf("%v, %s", err, b)
	}
	if err := e.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if resp, err := client.Get(address); err == nil {
		resp.Body.Close()
		t.Error("it still listens")
	}
}

// freePort returns a port at which nothing listens. It is below those that
// systems give to whoever asks for any.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(10_000 + rand.IntN(20_000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}
