package rekorlog

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tlogistry/tlogistry/internal/record"
)

// TestHiddenUntilTheEnd: an entry that no search shows is hidden, in whichever
// of them the time ends. Where none was answered nobody knows.
func TestHiddenUntilTheEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		answers int32 // searches answered; later ones hang
		fails   bool  // they fail at once instead
		hidden  bool
	}{
		"in the first search":      {0, false, false},
		"in the second search":     {1, false, true},
		"between searches":         {1 << 20, false, true},
		"the second search failed": {1, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits
			var asked atomic.Int32
			ended := make(chan struct{})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if asked.Add(1) > tc.answers {
					if tc.fails {
						w.WriteHeader(http.StatusBadRequest)
						return
					}
					<-ended
					return
				}
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write([]byte("[]"))
			}))
			defer server.Close()
			defer close(ended)
			log := identitiesOf(t, server.URL)
			log.c.Timeout, log.client.timeout = 3*time.Second, time.Minute
			err := log.confirm(t.Context(), record.Sighting{Ref: someRef, UUID: tree1 + leafA, By: own}, time.Now())
			if err == nil || errors.Is(err, ErrHidden) != tc.hidden {
				t.Errorf("got %v, want it to be %v: %t", err, ErrHidden, tc.hidden)
			}
		})
	}
}
