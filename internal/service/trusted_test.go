package service

import (
	"net/url"
	"slices"
	"testing"

	"github.com/tlogistry/tlogistry/internal/config"
	"github.com/tlogistry/tlogistry/internal/record"
)

// The command that a page shows trusts whom the instance trusts.
func TestFlagsOfTrusted(t *testing.T) {
	u, err := url.Parse(publicRekor)
	if err != nil {
		t.Fatal(err)
	}
	c := config.Config{RekorURL: u, IdentityIssuer: usualIssuer, Trusted: []record.Identity{
		{Issuer: usualIssuer, Subject: "old@example.com"},
		{Issuer: "https://ci.example", Subject: "https://ci.example/team"},
	}}
	want := []string{"--trusted", "https://accounts.google.com=old@example.com,https://ci.example=https://ci.example/team"}
	if got := rekorFlags(c); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
