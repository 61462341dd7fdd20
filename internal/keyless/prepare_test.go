package keyless

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Prepare does not wait, joins what is under way, and after a failure leaves a
// pause in which only those who sign try again.
func TestPrepare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		var asked atomic.Int32
		s := New(Config{Timeout: time.Minute, Subject: "a@b.example", Tokens: &place{token: func(ctx context.Context, _ string) (string, error) {
			asked.Add(1)
			time.Sleep(time.Second)
			return "", errors.Join(broken, ctx.Err())
		}}})
		defer s.Close()
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		s.Prepare(ctx)
		s.Prepare(ctx)
		cancel()
		if time.Since(start) != 0 {
			t.Errorf("it waits %v", time.Since(start))
		}
		if _, err := s.Sign(t.Context(), nil); !errors.Is(err, broken) || asked.Load() != 1 {
			t.Errorf("got %v, asked %d times", err, asked.Load())
		}
		s.Prepare(t.Context())
		synctest.Wait()
		if asked.Load() != 1 {
			t.Error("it tries again at once")
		}
		if _, err := s.Sign(t.Context(), nil); !errors.Is(err, broken) || asked.Load() != 2 {
			t.Errorf("who signs does not try again: %v, asked %d times", err, asked.Load())
		}
		time.Sleep(preparePause)
		s.Prepare(t.Context())
		synctest.Wait()
		if asked.Load() != 3 {
			t.Errorf("it does not try again after the pause: asked %d times", asked.Load())
		}
	})
}

func TestPrepareWithWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		s := New(Config{Timeout: time.Minute, Subject: "a@b.example", Tokens: &place{token: func(context.Context, string) (string, error) {
			asked.Add(1)
			return "", errors.New("no token here")
		}}})
		defer s.Close()
		s.current = &credential{key: key(t), ends: time.Now().Add(spare + time.Second)}
		s.Prepare(t.Context())
		synctest.Wait()
		if asked.Load() != 0 {
			t.Error("it renews a credential that is of use")
		}
		time.Sleep(2 * time.Second)
		s.Prepare(t.Context())
		synctest.Wait()
		if asked.Load() != 1 {
			t.Errorf("asked %d times", asked.Load())
		}
	})
}
