package keyless

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// A signer is ready if it knows whose it is and can have a token. What it holds
// it does not ask for again, and Fulcio is never asked.
func TestReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("down")
		var emailErr, tokenErr error
		emails, tokens := 0, 0
		s := New(Config{Timeout: time.Minute, Audience: "sigstore", FulcioURL: "http://fulcio.test",
			Transport: roundTrip(func(*http.Request) (*http.Response, error) {
				t.Error("Fulcio is asked")
				return nil, down
			}),
			Tokens: &place{
				email: func(context.Context) (string, error) { emails++; return "a@b.example", emailErr },
				token: func(context.Context, string) (string, error) {
					tokens++
					return lasting(time.Now(), time.Now().Add(time.Hour)), tokenErr
				},
			}})
		defer s.Close()
		step := func(want error, e, k int) {
			t.Helper()
			if err := s.Ready(t.Context()); !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
			if emails != e || tokens != k {
				t.Errorf("asked for %d addresses and %d tokens, want %d and %d", emails, tokens, e, k)
			}
		}
		emailErr, tokenErr = down, down
		step(down, 1, 0)
		emailErr = nil
		step(down, 2, 1)
		tokenErr = nil
		step(nil, 2, 2)
		tokenErr = down
		step(nil, 2, 2)
		time.Sleep(time.Hour)
		step(down, 2, 3)
	})
}
