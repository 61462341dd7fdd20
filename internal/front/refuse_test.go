package front

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// An error that nobody thought of is told to the log, not to the client.
func TestRefuseUnknown(t *testing.T) {
	a := refuse(errors.New("secret"))
	want := `{"errors":[{"code":"UNKNOWN","message":"internal error"}]}` + "\n"
	if a.status != http.StatusInternalServerError || string(a.body) != want {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestUnavailable(t *testing.T) {
	for _, method := range []string{"GET", "HEAD", "POST"} {
		w := httptest.NewRecorder()
		Unavailable(w, httptest.NewRequest(method, "/v2/", nil), "a <reason>")
		want := `{"errors":[{"code":"UNAVAILABLE","message":"a \u003creason\u003e"}]}` + "\n"
		if method == "HEAD" {
			want = ""
		}
		if w.Code != 503 || w.Body.String() != want || w.Header().Get("Retry-After") != "10" ||
			w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Content-Length") != "69" {
			t.Errorf("%s: %d %v %s", method, w.Code, w.Header(), w.Body)
		}
	}
}

// A closer is a stream that knows whether it was closed.
type closer struct {
	io.Reader
	closed int
}

func (c *closer) Close() error {
	c.closed++
	return nil
}

// A stream is closed whatever becomes of it.
func TestWriteClosesStream(t *testing.T) {
	for _, method := range []string{"GET", "HEAD"} {
		for _, r := range []io.Reader{strings.NewReader("whole"), iotest.ErrReader(errors.New("broken"))} {
			c := &closer{Reader: r}
			a := &answer{status: 200, stream: c}
			err := a.write(httptest.NewRecorder(), method)
			if c.closed != 1 {
				t.Errorf("%s: closed %d times, error %v", method, c.closed, err)
			}
		}
	}
}

// Without a limit for slow clients there is one; without a logger, no line.
func TestNewDefaults(t *testing.T) {
	h := New(Options{})
	if h.o.Stall != 30*time.Second {
		t.Errorf("stall %v", h.o.Stall)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/v2/", nil))
	if w.Code != 200 {
		t.Errorf("%d", w.Code)
	}
}

// A contextHandler remembers whether a line's context had ended.
type contextHandler struct {
	slog.Handler
	err error
}

func (h *contextHandler) Handle(ctx context.Context, _ slog.Record) error {
	h.err = ctx.Err()
	return nil
}

// The line of a request is written even where the request's context has ended.
func TestLogOutlivesRequest(t *testing.T) {
	lines := &contextHandler{Handler: slog.NewTextHandler(io.Discard, nil), err: errors.New("no line")}
	h := New(Options{Logger: slog.New(lines)})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/v2/", nil))
	if lines.err != nil {
		t.Error(lines.err)
	}
}
