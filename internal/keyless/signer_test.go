package keyless

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sigstore/sigstore-go/pkg/sign"

	"github.com/tlogistry/tlogistry/internal/flight"
)

// A place is Tokens made of functions. One that is not set fails the caller.
type place struct {
	email func(context.Context) (string, error)
	token func(context.Context, string) (string, error)
}

func (p *place) Email(ctx context.Context) (string, error) {
	if p.email == nil {
		return "", errors.New("no address here")
	}
	return p.email(ctx)
}

func (p *place) Token(ctx context.Context, audience string) (string, error) {
	if p.token == nil {
		return "", errors.New("no token here")
	}
	return p.token(ctx, audience)
}

func key(t *testing.T) *sign.EphemeralKeypair {
	t.Helper()
	k, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSubjectConfigured(t *testing.T) {
	s := New(Config{Subject: "a@b.example", Tokens: &place{}})
	if got, err := s.Subject(t.Context()); got != "a@b.example" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	s.Close()
	if got, err := s.Subject(t.Context()); got != "a@b.example" || err != nil {
		t.Errorf("after Close: %q, %v", got, err)
	}
}

func TestSubjectIsAskedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		s := New(Config{Timeout: time.Minute, Tokens: &place{email: func(context.Context) (string, error) {
			asked.Add(1)
			time.Sleep(time.Second)
			return "a@b.example", nil
		}}})
		ask := func() {
			if got, err := s.Subject(t.Context()); got != "a@b.example" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		}
		var callers sync.WaitGroup
		for range 10 {
			callers.Go(ask)
		}
		callers.Wait()
		ask()
		if asked.Load() != 1 {
			t.Errorf("asked %d times", asked.Load())
		}
		s.Close()
		ask()
	})
}

func TestSubjectErrorIsNotKept(t *testing.T) {
	broken := errors.New("broken")
	asked := 0
	s := New(Config{Timeout: time.Minute, Tokens: &place{email: func(context.Context) (string, error) {
		if asked++; asked == 1 {
			return "half", broken
		}
		return "a@b.example", nil
	}}})
	got, err := s.Subject(t.Context())
	if want := "ask for the service account's address: broken"; got != "" || err == nil || err.Error() != want || !errors.Is(err, broken) {
		t.Errorf("got %q, %v, want %s", got, err, want)
	}
	if got, err := s.Subject(t.Context()); got != "a@b.example" || err != nil {
		t.Errorf("the second time: %q, %v", got, err)
	}
	s.Close()
}

// The answer is kept although nobody waits for it any more.
func TestSubjectOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Timeout: time.Minute, Tokens: &place{email: func(ctx context.Context) (string, error) {
			time.Sleep(10 * time.Second)
			return "a@b.example", ctx.Err()
		}}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Subject(ctx); err != context.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
		s.Close()
		if got, err := s.Subject(t.Context()); got != "a@b.example" || err != nil {
			t.Errorf("later: %q, %v", got, err)
		}
	})
}

func TestSubjectLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := New(Config{Timeout: time.Minute, Tokens: &place{email: func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}}})
		_, err := s.Subject(t.Context())
		if want := "ask for the service account's address: context deadline exceeded"; err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if took := time.Since(start); took != time.Minute {
			t.Errorf("it took %s", took)
		}
		s.Close()
	})
}

func TestClosed(t *testing.T) {
	s := New(Config{Tokens: &place{}})
	s.Close()
	if _, err := s.Subject(t.Context()); err != flight.ErrClosed {
		t.Errorf("Subject: %v", err)
	}
	if _, err := s.credential(t.Context()); err != flight.ErrClosed {
		t.Errorf("credential: %v", err)
	}
	s = New(Config{Subject: "a@b.example", Tokens: &place{}})
	s.Close()
	if _, err := s.Sign(t.Context(), nil); err != flight.ErrClosed {
		t.Errorf("Sign: %v", err)
	}
}

// Key and certificate sign without asking anybody, until a minute before the
// certificate's end.
func TestSignWithWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		s := New(Config{Subject: "a@b.example", Timeout: time.Minute, Tokens: &place{
			token: func(context.Context, string) (string, error) {
				asked++
				return "", errors.New("broken")
			},
		}})
		k := key(t)
		s.current = &credential{key: k, cert: []byte("certificate"), ends: time.Now().Add(10 * time.Minute)}
		message := []byte("DSSEv1 28 application/vnd.in-toto+json 2 {}")
		digest := sha256.Sum256(message)
		for _, after := range []time.Duration{0, 9*time.Minute - 1} {
			time.Sleep(after)
			if _, err := s.credential(t.Context()); err != nil {
				t.Errorf("credential: %v", err)
			}
			got, err := s.Sign(t.Context(), message)
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Certificate) != "certificate" {
				t.Errorf("certificate %q", got.Certificate)
			}
			if !ecdsa.VerifyASN1(k.GetPublicKey().(*ecdsa.PublicKey), digest[:], got.Bytes) {
				t.Error("the signature is not the key's over the message's SHA-256")
			}
		}
		if asked != 0 {
			t.Errorf("a token was asked for %d times", asked)
		}

		time.Sleep(time.Nanosecond) // a minute left
		const want = "ask for an identity token: broken"
		if _, err := s.credential(t.Context()); err == nil || err.Error() != want {
			t.Errorf("credential with a minute left: %v, want %s", err, want)
		}
		if got, err := s.Sign(t.Context(), message); err == nil || err.Error() != want || got.Bytes != nil || got.Certificate != nil {
			t.Errorf("Sign with a minute left: %+v, %v, want %s", got, err, want)
		}
		if asked != 2 {
			t.Errorf("a token was asked for %d times, want 2", asked)
		}
		s.Close()
	})
}

func TestOneRenewalAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var asked atomic.Int32
		s := New(Config{Subject: "a@b.example", Timeout: time.Minute, Tokens: &place{
			token: func(ctx context.Context, _ string) (string, error) {
				asked.Add(1)
				<-ctx.Done()
				return "", ctx.Err()
			},
		}})
		var callers sync.WaitGroup
		for range 10 {
			callers.Go(func() {
				_, err := s.credential(t.Context())
				if want := "ask for an identity token: context deadline exceeded"; err == nil || err.Error() != want {
					t.Errorf("got  %v\nwant %s", err, want)
				}
			})
		}
		synctest.Wait()
		s.Close()
		if took := time.Since(start); asked.Load() != 1 || took != time.Minute {
			t.Errorf("asked %d times, closed after %s", asked.Load(), took)
		}
		callers.Wait()
	})
}

func TestRenewNeedsSubject(t *testing.T) {
	s := New(Config{Timeout: time.Minute, Tokens: &place{}})
	_, err := s.credential(t.Context())
	if want := "ask for the service account's address: no address here"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	s.Close()
}
