package cloudlog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"time"
)

// The rules that every handler keeps, under the names that slog knows.
func TestHandlerKeepsTheRules(t *testing.T) {
	var b bytes.Buffer
	slogtest.Run(t, func(*testing.T) slog.Handler {
		b.Reset()
		return NewHandler(&b, "")
	}, func(t *testing.T) map[string]any {
		var m map[string]any
		if err := json.Unmarshal(b.Bytes(), &m); err != nil {
			t.Fatalf("%v: %s", err, &b)
		}
		for ours, theirs := range map[string]string{"severity": slog.LevelKey, "message": slog.MessageKey} {
			if v, ok := m[ours]; ok {
				m[theirs] = v
			}
		}
		return m
	})
}

type marshaled struct{ s string }

func (m marshaled) MarshalJSON() ([]byte, error) { return json.Marshal(m.s) }

type broken struct{}

func (broken) MarshalJSON() ([]byte, error) { return nil, errors.New("no") }

type panicking struct{}

func (panicking) Error() string { panic("twice") }

// Everything but the time, to the byte.
func TestLines(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678000000, time.FixedZone("", 3600))
	tests := []struct {
		name string
		log  func(*slog.Logger)
		want string
	}{
		{"levels", func(l *slog.Logger) { l.Info("m"); l.Warn("m"); l.Error("m"); l.Debug("not written") },
			`{"severity":"INFO","message":"m"}` + "\n" + `{"severity":"WARNING","message":"m"}` + "\n" + `{"severity":"ERROR","message":"m"}`},
		{"levels between", func(l *slog.Logger) {
			l.Log(t.Context(), slog.LevelWarn+1, "m")
			l.Log(t.Context(), slog.LevelError+9, "m")
		},
			`{"severity":"WARNING","message":"m"}` + "\n" + `{"severity":"ERROR","message":"m"}`},
		{"numbers", func(l *slog.Logger) {
			l.Info("m", "i", -1, "u", uint64(math.MaxUint64), "f", 0.125, "g", 1e21, "h", 1e-7, "z", 0.0, "n", math.NaN(), "b", true)
		}, `{"severity":"INFO","message":"m","i":-1,"u":18446744073709551615,"f":0.125,"g":1e+21,"h":1e-07,"z":0,"n":"NaN","b":true}`},
		{"durations", func(l *slog.Logger) {
			l.Info("m", "a", 1500*time.Millisecond, "b", time.Nanosecond, "c", -time.Second, "d", time.Duration(0), "e", time.Duration(math.MinInt64))
		}, `{"severity":"INFO","message":"m","a":"1.500000000s","b":"0.000000001s","c":"-1.000000000s","d":"0.000000000s","e":"-9223372036.854775808s"}`},
		{"times", func(l *slog.Logger) { l.Info("m", "t", at) }, `{"severity":"INFO","message":"m","t":"2026-01-02T02:04:05.678Z"}`},
		{"values", func(l *slog.Logger) {
			l.Info("m", "nil", nil, "err", errors.New("no \"x\""), "list", []string{"a"}, "m", marshaled{"b"}, "bad", broken{}, "p", panicking{})
		}, `{"severity":"INFO","message":"m","nil":null,"err":"no \"x\"","list":["a"],"m":"b","bad":"!ERROR: json: error calling MarshalJSON for type cloudlog.broken: no","p":"!PANIC: twice"}`},
		{"escapes", func(l *slog.Logger) { l.Info("a\nb", "\"k\\", "x\x00\xffé\u2028y<&>") },
			`{"severity":"INFO","message":"a\nb","\"k\\":"x\u0000\ufffdé\u2028y\u003c\u0026\u003e"}`},
		{"groups", func(l *slog.Logger) {
			l.With("a", 1).WithGroup("g").With("b", 2).WithGroup("empty").Info("m")
			l.WithGroup("g").Info("m", slog.Group("", slog.Int("c", 3)), slog.Group("none"), slog.Attr{})
		}, `{"severity":"INFO","message":"m","a":1,"g":{"b":2}}` + "\n" + `{"severity":"INFO","message":"m","g":{"c":3}}`},
		{"names of Cloud Logging", func(l *slog.Logger) {
			l.Info("m", "trace", "0af7", "spanId", "b7ad", "traceSampled", true, slog.Group("g", "trace", "x"))
		}, `{"severity":"INFO","message":"m","logging.googleapis.com/trace":"projects/acme/traces/0af7","logging.googleapis.com/spanId":"b7ad","logging.googleapis.com/trace_sampled":true,"g":{"trace":"x"}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			tt.log(slog.New(timeless{NewHandler(&b, "acme")}))
			if got := strings.TrimSuffix(b.String(), "\n"); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// timeless takes the time out of records.
type timeless struct{ slog.Handler }

func (h timeless) Handle(ctx context.Context, r slog.Record) error {
	r.Time = time.Time{}
	return h.Handler.Handle(ctx, r)
}
func (h timeless) WithAttrs(a []slog.Attr) slog.Handler { return timeless{h.Handler.WithAttrs(a)} }
func (h timeless) WithGroup(name string) slog.Handler   { return timeless{h.Handler.WithGroup(name)} }

// Loggers made from one do not get each other's attributes.
func TestSiblings(t *testing.T) {
	var b bytes.Buffer
	l := slog.New(timeless{NewHandler(&b, "")})
	for n := range 3 { // until the list has room for more
		l = l.With("n", n)
	}
	one, two := l.With("one", 1), l.With("two", 2)
	one.Info("m")
	two.Info("m")
	want := `{"severity":"INFO","message":"m","n":0,"n":1,"n":2,"one":1}` + "\n" + `{"severity":"INFO","message":"m","n":0,"n":1,"n":2,"two":2}` + "\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", &b, want)
	}
}

func TestTraceWithoutProject(t *testing.T) {
	var b bytes.Buffer
	slog.New(timeless{NewHandler(&b, "")}).Info("m", "trace", "0af7")
	if want := `{"severity":"INFO","message":"m","logging.googleapis.com/trace":"0af7"}` + "\n"; b.String() != want {
		t.Errorf("got %s, want %s", &b, want)
	}
}

// writes keeps what each Write was given.
type writes struct {
	mu  sync.Mutex
	all []string
	in  int // Writes under way
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	w.in++
	alone := w.in == 1
	w.mu.Unlock()
	text := string(p[:len(p)/2])
	time.Sleep(10 * time.Microsecond) // so that a second write would fall into it
	text += string(p[len(p)/2:])
	w.mu.Lock()
	defer w.mu.Unlock()
	w.in--
	if !alone {
		text = "two at once: " + text
	}
	w.all = append(w.all, text)
	return len(p), nil
}

// However many log at once, through whatever handlers of one output, each line
// is one Write, of that line alone.
func TestLinesDoNotMix(t *testing.T) {
	const workers, each = 16, 50
	w := &writes{}
	base := slog.New(NewHandler(w, ""))
	var wg sync.WaitGroup
	for n := range workers {
		wg.Go(func() {
			l := base.With("worker", n).WithGroup("g")
			for i := range each {
				l.Info(strings.Repeat("m", n*i), "i", i, "text", strings.Repeat(string(rune('a'+n)), 100*n))
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, text := range w.all {
		var line struct {
			Message string
			Worker  int
			G       struct {
				I    int
				Text string
			}
		}
		if err := json.Unmarshal([]byte(text), &line); err != nil || strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "}\n") {
			t.Fatalf("%v: %q", err, text)
		}
		if len(line.Message) != line.Worker*line.G.I || line.G.Text != strings.Repeat(string(rune('a'+line.Worker)), 100*line.Worker) {
			t.Errorf("mixed: %q", text)
		}
		seen[fmt.Sprint(line.Worker, line.G.I)] = true
	}
	if len(seen) != workers*each || len(w.all) != workers*each {
		t.Errorf("%d lines of %d, want %d", len(seen), len(w.all), workers*each)
	}
}

// A line that was very long does not hold its memory.
func TestLongLine(t *testing.T) {
	h := NewHandler(io.Discard, "")
	for range 20 {
		slog.New(h).Info(strings.Repeat("m", 1<<20))
		if b, _ := h.out.bufs.Get().(*[]byte); cap(*b) > keptBuffer {
			t.Fatalf("a buffer of %d bytes is kept", cap(*b))
		}
	}
}

// failing fails every write.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestWriteFails(t *testing.T) {
	err := NewHandler(failing{}, "").Handle(t.Context(), slog.NewRecord(time.Now(), slog.LevelInfo, "m", 0))
	if !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

func TestForms(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, tt := range []struct {
		form string
		w    io.Writer
		json bool
	}{{"", io.Discard, true}, {"", f, true}, {JSON, f, true}, {Text, f, false}, {Text, io.Discard, false}, {"xml", f, true}} {
		_, is := New(tt.w, tt.form, "").Handler().(*Handler)
		if is != tt.json {
			t.Errorf("form %q to %T: JSON is %t", tt.form, tt.w, is)
		}
	}
}

// A line is what slog's own handler would write of the same strings, and never
// more than a line.
func FuzzLine(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\", "\x00\n\r\t", "\xff\xfe", "é\u2028\u2029", "<script>&", "😀", "a\\\xc3"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		if key == "" {
			key = "k" // slog leaves such attributes in, and so does this handler
		}
		var ours, theirs bytes.Buffer
		r := slog.NewRecord(time.Time{}, slog.LevelInfo, value, 0)
		r.AddAttrs(slog.String("k:"+key, value), slog.Any("any", key), slog.Group(key, slog.String("in", value)))
		if err := NewHandler(&ours, "").Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		rename := &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			switch {
			case len(groups) == 0 && a.Key == slog.LevelKey:
				a.Key = "severity"
			case len(groups) == 0 && a.Key == slog.MessageKey:
				a.Key = "message"
			}
			return a
		}}
		if err := slog.NewJSONHandler(&theirs, rename).Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		var got, want map[string]any
		if err := json.Unmarshal(ours.Bytes(), &got); err != nil {
			t.Fatalf("%v: %q", err, &ours)
		}
		if err := json.Unmarshal(theirs.Bytes(), &want); err != nil {
			return // slog's own line is not JSON, so there is nothing to compare with
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || bytes.Count(ours.Bytes(), []byte("\n")) != 1 {
			t.Errorf("got  %q\nwant %q", &ours, &theirs)
		}
	})
}
