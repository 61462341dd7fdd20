package rekorlog

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// A repository that never answers is waited for as long as the fetch may take,
// and one whose answer never ends is not read to its end.
func TestTUFIsBounded(t *testing.T) {
	var sent atomic.Int64
	for name, answer := range map[string]http.HandlerFunc{
		"silent": func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"half an answer": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `{"signed":`)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		"endless": func(w http.ResponseWriter, r *http.Request) {
			for {
				n, err := w.Write(make([]byte, 64<<10))
				if sent.Add(int64(n)); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(answer)
			t.Cleanup(server.Close)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			tm, err := TUFTrust(TUF{URL: server.URL}).load(ctx)
			if tm != nil || err == nil {
				t.Errorf("got %v, %v", tm, err)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	t.Cleanup(func() {
		if n := sent.Load(); n > 64<<20 {
			t.Errorf("%d bytes of an endless answer were taken", n)
		}
	})
}
