package keyless

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// jwt returns an unsigned token with these claims.
func jwt(claims string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
}

// lasting returns a token as Google makes them, of an identity that Fulcio's
// client can read.
func lasting(issued, expires time.Time) string {
	return jwt(fmt.Sprintf(`{"iat":%d,"exp":%d,"email":"a@b.example","email_verified":true}`, issued.Unix(), expires.Unix()))
}

func TestLifeLeft(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	tests := []struct {
		name, claims string
		want         time.Duration
	}{
		{"fresh", `{"iat":1700000000,"exp":1700003600}`, time.Hour},
		{"made earlier", `{"iat":1699997000,"exp":1700000600}`, 10 * time.Minute},
		{"this clock is slow", `{"iat":1700050000,"exp":1700053600}`, time.Hour},
		{"this clock is slow by little", `{"iat":1700000001,"exp":1700003601}`, time.Hour},
		{"expired, or this clock is fast", `{"iat":1699996390,"exp":1699999990}`, -10 * time.Second},
		{"expires now", `{"iat":1699996400,"exp":1700000000}`, 0},
		{"expired before it was issued", `{"iat":1700000100,"exp":1700000050}`, -50 * time.Second},
		{"no iat", `{"exp":1700000060}`, time.Minute},
		{"no exp", `{"iat":1700000000}`, -1_700_000_000 * time.Second},
		{"no claims", `{}`, -1_700_000_000 * time.Second},
		{"null", `null`, -1_700_000_000 * time.Second},
		{"other claims", `{"iat":1700000000,"exp":1700000300,"email":"a@b.example","aud":["x"]}`, 5 * time.Minute},
		{"more than a Duration holds", `{"exp":4000000000000}`, math.MaxInt64},
		{"beyond the end of time", `{"exp":9223372036854775807}`, math.MinInt64},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := lifeLeft(jwt(test.claims), now)
			if err != nil || got != test.want {
				t.Errorf("got %s, %v, want %s", got, err, test.want)
			}
		})
	}
	if got, err := lifeLeft(jwt(`{"iat":1700000000,"exp":1700003600}`), now.Add(time.Millisecond)); err != nil || got != time.Hour-time.Millisecond {
		t.Errorf("after a fraction of a second: %s, %v", got, err)
	}
}

func TestLifeLeftErrors(t *testing.T) {
	const (
		parts  = "it is not a JWT of three parts"
		base   = "its claims are not base64url"
		claims = "its claims are not JSON with numeric iat and exp"
	)
	tests := []struct{ name, token, want string }{
		{"empty", "", parts},
		{"two parts", "e30.e30", parts},
		{"four parts", "e30.e30.c2ln.", parts},
		{"not base64", "e30.!.c2ln", base},
		{"padded", "e30.e30=.c2ln", base},
		{"other alphabet", "e30.e+/=.c2ln", base},
		{"empty claims", "e30..c2ln", claims},
		{"not JSON", jwt("x"), claims},
		{"two values", jwt("{}{}"), claims},
		{"array", jwt("[]"), claims},
		{"exp as text", jwt(`{"exp":"1700003600"}`), claims},
		{"iat as text", jwt(`{"iat":"1700003600"}`), claims},
		{"fraction", jwt(`{"exp":1700003600.5}`), claims},
		{"too big", jwt(`{"exp":9223372036854775808}`), claims},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := lifeLeft(test.token, time.Unix(1_700_000_000, 0))
			if got != 0 || err == nil || err.Error() != test.want {
				t.Errorf("got %s, %v, want %s", got, err, test.want)
			}
		})
	}
}

func FuzzLifeLeft(f *testing.F) {
	f.Add(jwt(`{"iat":1700000000,"exp":1700003600}`), int64(1_700_000_000), int64(1_700_003_600), int64(1_700_000_010))
	f.Add("", int64(0), int64(0), int64(0))
	f.Add("e30.!.", int64(-1), int64(1), int64(1)<<39)
	f.Add(jwt(`{"exp":9223372036854775807,"iat":-9223372036854775808}`), int64(5), int64(4), int64(3))
	f.Fuzz(func(t *testing.T, token string, issued, expires, now int64) {
		if left, err := lifeLeft(token, time.Unix(now%(1<<40), 0)); err != nil && left != 0 {
			t.Errorf("%q: %s with error %v", token, left, err)
		}
		// Seconds far beyond what a Duration holds, so that it is cut there.
		issued, expires, now = issued%(1<<40), expires%(1<<40), now%(1<<40)
		left, err := lifeLeft(jwt(fmt.Sprintf(`{"iat":%d,"exp":%d}`, issued, expires)), time.Unix(now, 0))
		if err != nil {
			t.Fatal(err)
		}
		seconds := min(expires-now, expires-issued)
		want := time.Duration(math.MaxInt64)
		switch limit := int64(math.MaxInt64 / time.Second); {
		case seconds < -limit:
			want = math.MinInt64
		case seconds <= limit:
			want = time.Duration(seconds) * time.Second
		}
		if left != want {
			t.Errorf("issued %d, expires %d, now %d: %s, want %s", issued, expires, now, left, want)
		}
	})
}

// A token is used until a minute before its end, whatever this clock says.
func TestTokenIsHeld(t *testing.T) {
	tests := []struct {
		name            string
		issued, expires time.Duration // from now
		held            time.Duration
	}{
		{"fresh", 0, time.Hour, 59 * time.Minute},
		{"made earlier", -50 * time.Minute, 10 * time.Minute, 9 * time.Minute},
		{"this clock is slow", 10 * time.Hour, 11 * time.Hour, 59 * time.Minute},
		{"this clock is fast", -2 * time.Hour, -time.Hour, 0},
		{"a minute left", -59 * time.Minute, time.Minute, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				token := lasting(time.Now().Add(test.issued), time.Now().Add(test.expires))
				s := New(Config{Audience: "sigstore", Timeout: time.Minute, Tokens: &place{
					token: func(_ context.Context, audience string) (string, error) {
						if audience != "sigstore" {
							t.Errorf("asked for audience %q", audience)
						}
						asked++
						return token, nil
					},
				}})
				ask := func(after time.Duration, want int) {
					t.Helper()
					time.Sleep(after)
					if got, err := s.identityToken(t.Context()); got != token || err != nil {
						t.Errorf("got %q, %v", got, err)
					}
					if asked != want {
						t.Errorf("asked %d times, want %d", asked, want)
					}
				}
				ask(0, 1)
				if test.held == 0 {
					ask(0, 2)
					return
				}
				ask(test.held-1, 1)
				ask(1, 2)
			})
		})
	}
}

func TestDropToken(t *testing.T) {
	asked := 0
	s := New(Config{Tokens: &place{token: func(context.Context, string) (string, error) {
		asked++
		return lasting(time.Now(), time.Now().Add(time.Hour)), nil
	}}})
	for range 2 {
		if _, err := s.identityToken(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.dropToken()
	if _, err := s.identityToken(t.Context()); err != nil || asked != 2 {
		t.Errorf("asked %d times, want 2; %v", asked, err)
	}
}

// A token that cannot be had or read is not held.
func TestTokenErrorIsNotHeld(t *testing.T) {
	broken := errors.New("broken")
	answers := []struct {
		text string
		err  error
		want string
	}{
		{"", broken, "ask for an identity token: broken"},
		{lasting(time.Now(), time.Now().Add(time.Hour)), broken, "ask for an identity token: broken"},
		{"a.b", nil, "read the identity token: it is not a JWT of three parts"},
		{"", nil, "read the identity token: it is not a JWT of three parts"},
		{lasting(time.Now(), time.Now().Add(time.Hour)), nil, ""},
	}
	asked := 0
	s := New(Config{Tokens: &place{token: func(context.Context, string) (string, error) {
		a := answers[asked]
		asked++
		return a.text, a.err
	}}})
	for i, a := range answers {
		got, err := s.identityToken(t.Context())
		if a.want == "" {
			if err != nil || got != a.text {
				t.Errorf("answer %d: %q, %v", i, got, err)
			}
			continue
		}
		if err == nil || err.Error() != a.want || got != "" || errors.Is(err, broken) != (a.err != nil) {
			t.Errorf("answer %d: %q, %v, want %s", i, got, err, a.want)
		}
	}
	if asked != len(answers) {
		t.Errorf("asked %d times, want %d", asked, len(answers))
	}
}
