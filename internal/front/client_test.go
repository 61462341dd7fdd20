package front

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/semaphore"
)

// A client that reads on, but too slowly for all of it, is not waited for.
func TestTakeLimit(t *testing.T) {
	ended := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cw := &clientWriter{ResponseWriter: w, stall: time.Minute, until: time.Now().Add(500 * time.Millisecond)}
		_, err := io.WriteString(cw, strings.Repeat("x", 64<<20))
		ended <- err
	}))
	defer server.Close()
	began := time.Now()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		select {
		case err := <-ended:
			if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took < 400*time.Millisecond || took > 20*time.Second {
				t.Errorf("it ended after %v with %v", took, err)
			}
			return
		case <-tick.C:
			_, _ = c.Read(make([]byte, 1<<10))
		}
	}
}

// A deadlined is a response that counts how often its deadline is set.
type deadlined struct {
	httptest.ResponseRecorder
	set int
}

func (w *deadlined) SetWriteDeadline(time.Time) error {
	w.set++
	return nil
}

// An answer that is written at once has one deadline; a client that takes longer
// over a stream gets its time anew.
func TestDeadlineIsSetAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &deadlined{ResponseRecorder: *httptest.NewRecorder()}
		cw := &clientWriter{ResponseWriter: w, stall: time.Minute}
		a := &answer{status: 200, header: jsonHeader(), body: make([]byte, 3*pieceSize)}
		if err := a.write(cw, http.MethodGet); err != nil || w.set != 1 {
			t.Errorf("%d deadlines for an answer in memory, want 1; %v", w.set, err)
		}
		time.Sleep(time.Second)
		if _, err := cw.Write([]byte("more")); err != nil || w.set != 2 {
			t.Errorf("%d deadlines a second later, want 2; %v", w.set, err)
		}
	})
}

// Of the buffers of many streams a few are kept, and each is one stream's at a time.
func TestBuffers(t *testing.T) {
	b := make(buffers, 2)
	held := make(map[*[pieceSize]byte]bool)
	for range 5 {
		held[b.take()] = true
	}
	if len(held) != 5 {
		t.Errorf("%d buffers for 5 streams", len(held))
	}
	for buffer := range held {
		b.give(buffer)
	}
	if len(b) != 2 {
		t.Errorf("%d buffers are kept, want 2", len(b))
	}
	if first, second := b.take(), b.take(); first == second || !held[first] || !held[second] {
		t.Error("the buffers that are kept are not the ones that are used next")
	}
}

// A handler keeps the buffer of a blob that it has passed through.
func TestSpareBuffer(t *testing.T) {
	const blob = "blob"
	h := New(Options{Upstream: answering(t, blob)})
	for range 2 {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", fmt.Sprintf("/v2/registry.test/app/blobs/sha256:%x", sha256.Sum256([]byte(blob))), nil))
		if w.Code != http.StatusOK || w.Body.String() != blob || len(h.spare) != 1 {
			t.Errorf("status %d, %q, %d buffers are kept, want 1", w.Code, w.Body, len(h.spare))
		}
	}
}

// Of large answers, as many are given at once as there is room for; short ones
// and those to HEAD need none.
func TestRoomForLargeAnswers(t *testing.T) {
	h := New(Options{})
	h.room = semaphore.NewWeighted(3 << 20)
	give := func(size int, method string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		err := h.give(&answer{status: 200, header: jsonHeader(), body: make([]byte, size)}, &clientWriter{ResponseWriter: w, stall: time.Minute}, method)
		if (w.Code == http.StatusServiceUnavailable) != errors.Is(err, errRoom) {
			t.Errorf("%d with %v", w.Code, err)
		}
		return w
	}
	if !h.room.TryAcquire(2 << 20) { // somebody reads
		t.Fatal("no room")
	}
	for _, test := range []struct {
		size   int
		method string
		want   int
	}{
		{2 << 20, "GET", 503}, {2 << 20, "HEAD", 200}, {64 << 10, "GET", 200}, {1 << 20, "GET", 200}, {1<<20 + 1, "GET", 503},
	} {
		if got := give(test.size, test.method); got.Code != test.want {
			t.Errorf("%s of %d bytes: %d, want %d", test.method, test.size, got.Code, test.want)
		}
	}
	refused := give(2<<20, "GET")
	want := `{"errors":[{"code":"UNAVAILABLE","message":"too many large answers are being read from this instance; try again later"}]}` + "\n"
	if refused.Body.String() != want || refused.Header().Get("Retry-After") != "10" {
		t.Errorf("%v %s", refused.Header(), refused.Body)
	}
	h.room.Release(2 << 20)
	if got := give(3<<20, "GET"); got.Code != 200 {
		t.Errorf("when there is room: %d", got.Code)
	}
}
